//! The function of `testdata/hello`, built by cargo.

use std::path::PathBuf;

use super::{function, tools};

/// The SONAME of the library that the function needs and Lambda lacks.
pub const SONAME: &str = "libgreeting.so.1";

/// What cargo built.
pub struct Built {
    /// The program.
    pub program: PathBuf,
    /// `OUT_DIR` of the build script, which has the shared library where the target links dynamically.
    pub out_dir: PathBuf,
}

/// The function's own manifest.
pub fn manifest() -> PathBuf {
    function::project("hello").join("Cargo.toml")
}

/// Whether this machine can build the function for `target`; if not, it is said why.
#[track_caller]
pub fn require(target: &str) -> bool {
    let arch = target.split('-').next().expect("a split has a first part");
    let (compiler, package) = match arch {
        _ if arch == std::env::consts::ARCH => ("cc".into(), "gcc".into()),
        _ => (format!("{arch}-linux-gnu-gcc"), format!("gcc-{}-linux-gnu", arch.replace('_', "-"))),
    };
    tools::require_target(target) && tools::require(&compiler, &package)
}

/// Builds the function for `target`, profile release.
pub fn build(target: &str) -> Built {
    let messages = function::build("hello", target, &[]);
    Built {
        program: messages.path("compiler-artifact", "executable"),
        out_dir: messages.path("build-script-executed", "out_dir"),
    }
}
