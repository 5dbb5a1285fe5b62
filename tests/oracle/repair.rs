//! Edits to ELF files: the rules on files built in code, real linkers' output, and this machine's programs.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

#[path = "repair/built.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod built;
#[path = "repair/fixture.rs"]
mod fixture;
#[path = "repair/rows.rs"]
mod rows;
#[path = "repair/rules.rs"]
mod rules;
#[path = "repair/survey.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod survey;
#[path = "repair/toolchains.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod toolchains;
