//! External programs: a C compiler that names its library directories, rpm, and a program that strips.

pub mod compiler;
pub mod rpm;
pub mod strip;
