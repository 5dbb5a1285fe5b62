//! File reads and writes.
pub mod build_world;
