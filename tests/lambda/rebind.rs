//! Rebinding: what is linked to today's glibc starts on an older one, and does the same.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests prepare files and run programs"
)]

#[path = "rebind/compat.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod compat;
#[path = "rebind/edit.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod edit;
#[path = "rebind/friends.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod friends;
#[path = "rebind/functions.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod functions;
#[path = "rebind/starts.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod starts;
#[path = "rebind/tools.rs"]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tools;
