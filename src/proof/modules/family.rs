//! Which files are builds of one module, by their names.

use crate::paths;

/// The words that the names of all builds of a module share, and the place of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    /// The words of the package, or of the directory outside of packages.
    stem: Vec<String>,
    /// The words of the file's name.
    file: Vec<String>,
    /// Whether the package is one build: its name is that of a system and an architecture, such as
    /// `@img/sharp-linux-x64`.
    pub is_of_platform_package: bool,
    /// Whether the file is in `prebuilds/`, where a file is chosen by its directory and not by its name.
    ///
    /// Source: `load.resolve` in npm's node-gyp-build, node-gyp-build.js.
    is_prebuilt: bool,
    /// Whether a compiler made the file, in `build/Release/`: it is opened before any other, if it fits or not.
    ///
    /// Source: `load.resolve` in npm's node-gyp-build; `bindings` tries `build/Release` before `lib/binding`, too.
    pub is_compiled: bool,
}

/// The systems in the names of builds.
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "freebsd",
    "linux",
    "linuxglibc",
    "linuxmusl",
    "mac",
    "macos",
    "macosx",
    "netbsd",
    "openbsd",
    "openharmony",
    "osx",
    "sunos",
    "win",
    "win32",
    "windows",
];

/// The architectures in the names of builds.
const ARCHITECTURES: &[&str] = &[
    "32",
    "64",
    "aarch64",
    "amd64",
    "arm",
    "arm64",
    "armhf",
    "armv6",
    "armv6l",
    "armv7",
    "armv7l",
    "armv8",
    "i386",
    "i686",
    "ia32",
    "loong64",
    "mips64el",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390x",
    "universal",
    "universal2",
    "x64",
    "x86",
];

/// The C libraries and vendors in the names of builds, and what distinguishes the names of programs.
const OTHERS: &[&str] = &[
    "apple",
    "eabi",
    "exe",
    "glibc",
    "gnu",
    "gnueabihf",
    "msvc",
    "musl",
    "musleabihf",
    "pc",
    "unknown",
    "wasm32",
];

impl Family {
    /// Returns the family of a file by its name in the archive.
    pub fn of(name: &str) -> Family {
        let file = module_name(paths::file_name(name));
        let Some(package) = package_of(name) else {
            return Family {
                stem: words(paths::parent(name)),
                file: words(file),
                is_of_platform_package: false,
                is_prebuilt: false,
                is_compiled: false,
            };
        };
        let of_package = package.rsplit_once(NODE_MODULES).map_or(package, |(_, package)| package);
        let below = name[package.len()..].trim_start_matches('/');
        let is_direct =
            |directory: &str| below.strip_prefix(directory).is_some_and(|file| !file.contains('/'));
        // node-oracledb has its builds for all systems there.
        let is_named_build = has(file, SYSTEMS) || has(file, ARCHITECTURES);
        Family {
            stem: words(of_package),
            file: words(file),
            is_of_platform_package: has(of_package, SYSTEMS) && has(of_package, ARCHITECTURES),
            is_prebuilt: below.starts_with("prebuilds/"),
            is_compiled: is_direct("build/Release/") && name.ends_with(".node") && !is_named_build,
        }
    }

    /// Whether both are builds of one module.
    pub fn is_same(&self, other: &Family) -> bool {
        let is_any = |family: &Family| family.is_of_platform_package || family.is_prebuilt;
        self.stem == other.stem
            && (is_any(self) || is_any(other) || self.file == other.file)
            && self.is_compiled == other.is_compiled
    }

    /// Whether this build is opened in the place of the other.
    pub fn serves(&self, other: &Family) -> bool {
        !other.is_compiled && self.is_same(&Family { is_compiled: self.is_compiled, ..other.clone() })
    }
}

const NODE_MODULES: &str = "node_modules/";

/// Returns the directory of the npm package in which a file is.
pub(super) fn package_of(name: &str) -> Option<&str> {
    let (at, _) = name.rmatch_indices(NODE_MODULES).find(|(at, _)| *at == 0 || name[..*at].ends_with('/'))?;
    let start = at + NODE_MODULES.len();
    let n_parts = if name[start..].starts_with('@') { 2 } else { 1 };
    let (end, _) = name[start..].match_indices('/').nth(n_parts - 1)?;
    Some(&name[..start + end])
}

/// Returns the part of a module's file name before the tags of its build.
fn module_name(file: &str) -> &str {
    match file.rsplit_once('.') {
        Some((stem, "node")) => stem,
        Some((stem, "so" | "pyd")) => stem.split('.').next().unwrap_or(stem),
        _ => file,
    }
}

fn words(path: &str) -> Vec<String> {
    let is_of_build = |word: &&str| [SYSTEMS, ARCHITECTURES, OTHERS].iter().any(|known| known.contains(word));
    split(path).filter(|word| !is_of_build(word)).map(str::to_owned).collect()
}

fn has(path: &str, known: &[&str]) -> bool {
    split(path).any(|word| known.contains(&word))
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Family, package_of};

    #[test]
    fn a_package_is_the_innermost_one() {
        let check = |name: &str, package: Option<&str>| assert_eq!(package_of(name), package, "{name}");
        check("node_modules/a/x.node", Some("node_modules/a"));
        check("nodejs/node_modules/@a/b/lib/x.node", Some("nodejs/node_modules/@a/b"));
        check(
            "node_modules/.pnpm/@a+b@1/node_modules/@a/b/x.node",
            Some("node_modules/.pnpm/@a+b@1/node_modules/@a/b"),
        );
        check("my_node_modules/a/x.node", None);
        check("node_modules/x.node", None);
    }

    #[test]
    fn builds_of_one_module_serve_each_other() {
        let serves = |one: &str, other: &str| {
            Family::of(&format!("node_modules/{one}")).serves(&Family::of(&format!("node_modules/{other}")))
        };
        for (one, other) in [
            (
                "@img/sharp-linux-x64/lib/sharp-linux-x64.node",
                "@img/sharp-darwin-arm64/lib/sharp-darwin-arm64.node",
            ),
            ("b/prebuilds/linux-x64/b.glibc.node", "b/prebuilds/darwin-x64+arm64/node.napi.node"),
            ("b/build/Release/b.node", "b/prebuilds/win32-x64/b.node"),
            ("b/build/Release/b.node", "b/build/Release/obj.target/b.node"),
            (
                "s/lib/binding/napi-v6-linux-glibc-x64/s.node",
                "s/lib/binding/napi-v6-darwin-unknown-arm64/s.node",
            ),
            ("@x/y/y.linux-x64-gnu.node", "@x/y/y.darwin-arm64.node"),
            ("o/build/Release/o-26.0.0-linux-x64.node", "o/build/Release/o-26.0.0-win32-x64.node"),
            ("@esbuild/linux-x64/bin/esbuild", "@esbuild/win32-x64/esbuild.exe"),
        ] {
            assert!(serves(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("a/prebuilds/linux-x64/a.node", "b/prebuilds/darwin-x64/a.node"),
            ("@img/sharp-libvips-linux-x64/lib/l.node", "@img/sharp-darwin-x64/lib/l.node"),
            // The compiled one is opened first.
            ("b/prebuilds/linux-x64/b.node", "b/build/Release/b.node"),
            ("b/build/Release/a.node", "b/lib/c.node"),
        ] {
            assert!(!serves(one, other), "{one} {other}");
        }
    }
}
