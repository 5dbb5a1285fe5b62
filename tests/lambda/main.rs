//! What is written, really started: in roots like that of a function, on its kernel, by the tools around it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

#[path = "../support/mod.rs"]
mod support;

mod aws;
mod canaries;
mod companions;
mod foreign;
mod harness;
mod haskell;
mod klibc;
mod layers;
mod links;
mod pins;
mod private;
mod promise;
mod rebind;
mod seeds;
mod starts;
mod tails;
mod together;
mod wrappers;
mod zigbuild;
