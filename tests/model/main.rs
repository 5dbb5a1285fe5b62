//! The library on values in memory: needs no other tool and takes seconds. The inner loop.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

#[path = "../support/mod.rs"]
mod support;

mod archive;
mod deflate;
mod elf;
mod floors;
mod kept;
mod plan;
mod properties;
mod readme;
mod total;
mod unpacked;
mod world;
