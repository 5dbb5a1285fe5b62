//! Programs of other makers that are started: a C compiler that is asked for its directories, a program that strips.

pub mod compiler;
pub mod strip;
