//! The places of a bundle's files: names in the archive, and paths on Lambda.
//!
//! Paths on Lambda are absolute throughout: without /proc, `$ORIGIN` vanishes silently.

use crate::archive::BOOTSTRAP;

/// The shapes of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleKind {
    /// A function on a `provided.*` runtime: `bootstrap` at the root, unpacked to /var/task.
    Function,
    /// A layer, unpacked to /opt.
    Layer,
    /// A layer of extensions: programs in `extensions/`.
    Extension,
}

/// The formats of a written bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A ZIP archive.
    Zip,
    /// Its contents as files in a directory.
    Dir,
}

impl BundleKind {
    /// The word of the command line and the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            BundleKind::Function => "function",
            BundleKind::Layer => "layer",
            BundleKind::Extension => "extension",
        }
    }

    /// The directory into which Lambda unpacks the archive.
    pub fn root(self) -> &'static str {
        match self {
            BundleKind::Function => "/var/task",
            BundleKind::Layer | BundleKind::Extension => "/opt",
        }
    }
}

/// The variable that names a program which a language's runtime executes in front of its own.
pub const WRAPPER_VARIABLE: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// The number of layers that Lambda attaches to a function at most.
pub const MOST_LAYERS: usize = 5;

/// The directories of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The shape.
    pub kind: BundleKind,
    /// The name of the program.
    pub program: String,
    /// The directory of libraries that the system lacks; it is on Lambda's LD_LIBRARY_PATH.
    pub lib: String,
    /// The directory of libraries that displace the system's; it is on no library path.
    pub pinned: String,
    /// The directory of a C library and all libraries that use it; it is on no library path.
    pub private: String,
}

impl Layout {
    /// The layout of a function.
    pub fn function() -> Layout {
        Layout {
            kind: BundleKind::Function,
            program: BOOTSTRAP.to_owned(),
            lib: "lib".to_owned(),
            pinned: "lib/pinned".to_owned(),
            private: "libc".to_owned(),
        }
    }

    /// The layout of a layer with its main program at `program`, such as `bootstrap` or `extensions/telemetry`.
    ///
    /// Layers merge in /opt, so directories that are on no library path are below the program's name.
    pub fn layer(kind: BundleKind, program: &str, name: &str) -> Layout {
        Layout {
            kind,
            program: program.to_owned(),
            lib: "lib".to_owned(),
            pinned: format!("lambda-bundle/{name}/pinned"),
            private: format!("lambda-bundle/{name}/libc"),
        }
    }

    /// The path on Lambda of a name in the archive.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.kind.root())
    }

    /// The name in the archive of a path on Lambda; for a path outside it, the path itself.
    pub fn name<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.kind.root()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
    }

    /// The name in the archive of the program with that file name.
    pub fn program_of(kind: BundleKind, name: &str) -> String {
        match kind {
            BundleKind::Function => BOOTSTRAP.to_owned(),
            BundleKind::Layer => format!("bin/{name}"),
            BundleKind::Extension => format!("extensions/{name}"),
        }
    }

    /// The path on Lambda of [`Layout::pinned`].
    pub fn pinned_path(&self) -> String {
        self.path(&self.pinned)
    }
}
