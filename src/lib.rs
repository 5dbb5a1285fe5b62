//! Check a program against AWS Lambda's runtimes, and write a reproducible ZIP that starts there.
//!
//! Facts flow one way. A step takes plain data from the step before and returns plain data:
//!
//! ```text
//! argv, env                       -- cli, settings --> Settings     all choices made
//! Settings                        -- workspace ------> Artifact     the built bootstrap
//! bytes                           -- elf ------------> ElfFacts     what one file says
//! ElfFacts + World                -- loader ---------> Closure      what ld.so would do there
//! Closures of both worlds         -- plan -----------> BundlePlan   every entry
//! the plan's Lambda world, again  -- audit ----------> [Finding]    what would break on Lambda
//! BundlePlan                      -- archive --------> ZIP bytes -- disk --> file
//! [Finding], BundlePlan           -- report ---------> text / JSON -- ui --> terminal
//! ```
//!
//! The core (`elf` to `report`) opens no file, reads no environment and no clock, and prints nothing.
//!
//! The product is the command: releases promise stability for its flags, exit status, JSON and archives. This library
//! serves only the command and its tests, and any release may change it.

pub mod archive;
pub mod audit;
pub mod baseline;
pub mod cli;
pub mod command;
pub mod date;
pub mod disk;
pub mod elf;
pub mod environment;
pub mod error;
pub mod include;
pub mod lambda;
pub mod layout;
pub mod loader;
pub mod nearest;
pub mod packages;
mod parallel;
pub mod paths;
pub mod patterns;
pub mod plan;
pub mod proof;
pub mod repair;
pub mod report;
pub mod settings;
pub mod template;
pub mod text;
pub mod tools;
pub mod ui;
pub mod workspace;
pub mod world;
