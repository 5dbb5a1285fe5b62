//! What several integration tests share.
//!
//! Each test program takes what it needs, so none uses all of it.
#![allow(dead_code, reason = "each test program uses a part of this module")]

pub mod archive;
pub mod command;
pub mod compile;
#[cfg(unix)]
pub mod debian;
pub mod dns;
pub mod elf;
pub mod fields;
pub mod findings;
pub mod function;
pub mod hello;
pub mod kept;
#[cfg(unix)]
pub mod kernel;
#[cfg(unix)]
pub mod lambda_root;
pub mod maps;
#[cfg(target_os = "linux")]
pub mod objects;
#[cfg(unix)]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]
pub mod older_glibc;
#[cfg(unix)]
pub mod probe;
#[cfg(target_arch = "x86_64")]
pub mod processor;
pub mod readme;
#[cfg(target_os = "linux")]
pub mod real_loader;
pub mod runtime_api;
pub mod scene;
pub mod schema;
pub mod tools;
pub mod total;
pub mod workspace;
