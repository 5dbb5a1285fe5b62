//! The model beside the real thing: loaders, linkers and toolchains.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

#[path = "../support/mod.rs"]
mod support;

mod compilers;
mod differential;
mod instructions;
mod ld_so;
mod musl_loader;
mod mutants;
mod older_ld_so;
mod opened;
mod plan_worlds;
mod programs;
mod readelf;
mod repair;
mod symbols;
