//! The program itself, on small files and projects: exit status, stdout and stderr together.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod baseline;
mod baseline_probe;
mod bundles;
mod capture;
mod causes;
mod checkout;
mod cli;
mod companions;
mod completions;
mod damaged;
mod directories;
mod explain;
mod faults;
mod findings;
mod fresh;
mod given;
mod growth;
mod hostile;
mod hosts;
mod include;
mod inputs;
mod interrupts;
mod joint;
mod linked;
mod lints;
mod many;
mod modules;
mod next_steps;
mod origins;
mod pipelines;
mod processors;
mod recipes;
mod runtimes;
mod screens;
mod settings;
mod shipped;
mod snapshots;
mod split;
mod started;
mod strip;
mod tables;
mod template;
mod traced;
mod tree;
mod workspace;
