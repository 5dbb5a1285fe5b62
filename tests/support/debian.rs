//! Roots of other Debian releases, unpacked from their packages: libraries built against another glibc.
//!
//! apt runs with directories of its own: this system's sources, lists and packages stay as they are.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::tools;

/// A root: packages of one release, with all they depend on.
pub struct Root {
    /// The directory's name.
    name: &'static str,
    suite: &'static str,
    /// Debian's word for it.
    arch: &'static str,
    packages: &'static [&'static str],
}

/// glibc 2.31, also to link against, and Lambda's kernel, 5.10.
pub const DEBIAN_11: Root = Root {
    name: "debian-11",
    suite: "bullseye",
    arch: "amd64",
    packages: &["libc6-dev", "libpq5", "libsqlite3-0", "libstdc++6", "linux-image-cloud-amd64"],
};

/// glibc 2.41, also to link against.
pub const DEBIAN_13: Root = Root {
    name: "debian-13",
    suite: "trixie",
    arch: "amd64",
    packages: &["libc6-dev", "libpq5", "librdkafka1", "libsqlite3-0", "libstdc++6"],
};

/// What the script of `baseline probe` calls, with OpenSSL and libacl: glibc 2.31, 2.36 and 2.41.
pub const SHELLS: [Root; 3] = [
    Root {
        name: "shell-11",
        suite: "bullseye",
        arch: "amd64",
        packages: &["bash", "coreutils", "libacl1", "libssl1.1", "libstdc++6"],
    },
    Root {
        name: "shell-12",
        suite: "bookworm",
        arch: "amd64",
        packages: &["bash", "coreutils", "libacl1", "libssl3", "libstdc++6"],
    },
    Root {
        name: "shell-13",
        suite: "trixie",
        arch: "amd64",
        packages: &["bash", "coreutils", "libacl1", "libssl3t64", "libstdc++6"],
    },
];

/// The same as [`DEBIAN_13`] for aarch64.
pub const DEBIAN_13_ARM64: Root = Root {
    name: "debian-13-arm64",
    suite: "trixie",
    arch: "arm64",
    packages: &["libc6-dev", "libgcc-s1", "libpq5", "librdkafka1"],
};

/// musl 1.2.5, which does not define names such as `open64`.
pub const MUSL_1_2_5: Root = Root { name: "musl-1.2.5", suite: "trixie", arch: "amd64", packages: &["musl"] };

/// Programs of C, C++ (ninja), Python and Rust (ripgrep) for aarch64.
pub const PROGRAMS_ARM64: Root = Root {
    name: "programs-arm64",
    suite: "bookworm",
    arch: "arm64",
    packages: &[
        "bash",
        "coreutils",
        "curl",
        "jq",
        "ninja-build",
        "openssl",
        "python3-minimal",
        "ripgrep",
        "sqlite3",
    ],
};

/// klibc's library, and what links programs with it.
pub const KLIBC: Root =
    Root { name: "klibc", suite: "bookworm", arch: "amd64", packages: &["libklibc-dev", "klibc-utils"] };

/// The same library for aarch64.
pub const KLIBC_ARM64: Root =
    Root { name: "klibc-arm64", suite: "bookworm", arch: "arm64", packages: &["libklibc"] };

impl Root {
    /// Where the root is; made once per target directory.
    ///
    /// `None`, after a word on stderr, if the packages cannot be had; in CI that is a failure.
    #[track_caller]
    pub fn unpacked(&self) -> Option<PathBuf> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // The packages are in the name: a list that grew is another root.
        let name = format!("{}+{}", self.name, self.packages.join("+"));
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if root.is_dir() {
            return Some(root);
        }
        if !tools::require("apt-get", "apt") || !tools::require("dpkg-deb", "dpkg") {
            return None;
        }
        let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        let mut why = String::new();
        for mirror in mirrors() {
            match self.download(work.path(), &mirror) {
                Ok(()) => {
                    let unpacked = unpack(work.path());
                    // In one step: a test that was stopped half-way leaves no half of a root.
                    if let Err(error) = fs::rename(&unpacked, &root) {
                        assert!(root.is_dir(), "{}: {error}", root.display());
                    }
                    return Some(root);
                }
                Err(error) => why.push_str(&format!("\n{mirror}: {error}")),
            }
        }
        let suite = self.suite;
        tools::skip(&format!("packages of Debian's {suite}, which apt-get could not download:{why}"));
        None
    }

    fn download(&self, work: &Path, mirror: &str) -> Result<(), String> {
        for directory in ["state/lists/partial", "cache/archives/partial", "empty"] {
            fs::create_dir_all(work.join(directory)).unwrap();
        }
        fs::write(work.join("status"), "").unwrap();
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let source = format!("deb [signed-by={keyring}] {mirror} {} main\n", self.suite);
        fs::write(work.join("sources.list"), source).unwrap();
        let (at, arch) = (work.display(), self.arch);
        let conf = format!(
            r#"Dir::State "{at}/state";
Dir::State::status "{at}/status";
Dir::Cache "{at}/cache";
Dir::Etc::sourcelist "{at}/sources.list";
Dir::Etc::sourceparts "{at}/empty";
Dir::Etc::preferences "{at}/no-preferences";
Dir::Etc::preferencesparts "{at}/empty";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Retries "2";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#
        );
        fs::write(work.join("apt.conf"), conf).unwrap();
        apt_get(work, &["update", "--error-on=any"])?;
        apt_get(work, &[&["install", "--yes", "--download-only"], self.packages].concat())
    }
}

/// Where this machine gets its own Debian from, as apt says it.
fn mirrors() -> Vec<String> {
    let format = "$(REPO_URI) $(ORIGIN)";
    let output =
        Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let mut mirrors: Vec<String> = Vec::new();
    for line in text.lines() {
        // Security updates are in a place of their own, without old releases.
        let Some((uri, "Debian")) = line.split_once(' ') else { continue };
        let uri = uri.trim_end_matches('/').to_owned();
        if !uri.ends_with("-security") && !mirrors.contains(&uri) {
            mirrors.push(uri);
        }
    }
    mirrors
}

fn apt_get(work: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("apt-get")
        // Not by APT_CONFIG: this one is read after the system's, and what it clears stays clear.
        .arg("--config-file")
        .arg(work.join("apt.conf"))
        .arg("--quiet")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

fn unpack(work: &Path) -> PathBuf {
    let root = work.join("root");
    for package in fs::read_dir(work.join("cache/archives")).unwrap() {
        let package = package.unwrap().path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            let status = Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root).status().unwrap();
            assert!(status.success(), "dpkg-deb -x {}", package.display());
        }
    }
    // Since Debian 13 no library package brings these links.
    for name in ["lib", "lib64"] {
        if !root.join(name).exists() {
            symlink(format!("usr/{name}"), root.join(name)).unwrap();
        }
    }
    // An absolute link leads a linker out of the root.
    let relative =
        "cd \"$0\" && find . -lname '/*' -exec sh -c 'ln -snrf \".$(readlink \"$0\")\" \"$0\"' {} ';'";
    let status = Command::new("sh").args(["-c", relative]).arg(&root).status().unwrap();
    assert!(status.success(), "links of {}", root.display());
    root
}
