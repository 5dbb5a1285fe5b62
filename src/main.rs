//! The `cargo lambda-bundle` command.
fn main() {}
