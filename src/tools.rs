//! External programs: a C compiler that names its library directories, and a program that strips.

pub mod compiler;
pub mod strip;
