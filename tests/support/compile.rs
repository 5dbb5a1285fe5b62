//! Programs and libraries made by real compilers from a few lines of C.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::tools;

/// A compiler with the arguments that come before all others.
#[derive(Clone, Copy)]
pub struct Compiler<'a>(pub &'a [&'a str]);

/// This machine's C compiler.
pub const CC: Compiler<'static> = Compiler(&["cc"]);

macro_rules! zig {
    ($target:literal) => {
        // Not the checks of undefined behaviour: their library takes zig longer than all else that it builds for a target.
        Compiler(&["python3", "-m", "ziglang", "cc", "-fno-sanitize=undefined", "-target", $target])
    };
}

/// A compiler that links against glibc 2.39, whatever this machine has.
pub const ZIG_2_39: Compiler<'static> = zig!("x86_64-linux-gnu.2.39");

/// A compiler that links against glibc 2.34.
pub const ZIG_2_34: Compiler<'static> = zig!("x86_64-linux-gnu.2.34");

/// A compiler that links against glibc 2.26.
pub const ZIG_2_26: Compiler<'static> = zig!("x86_64-linux-gnu.2.26");

/// A compiler that links with musl.
pub const ZIG_MUSL: Compiler<'static> = zig!("x86_64-linux-musl");

impl Compiler<'_> {
    /// Compiles `source` to the file `output` in `dir`. Arguments, split at white space, follow the source.
    ///
    /// A program names the Runtime API, as functions do: without a trace of it, each would be warned of.
    #[track_caller]
    pub fn compile(self, dir: &Path, source: &str, output: &str, arguments: &str) {
        const SIGN: &str = "\n__attribute__((used)) static const char sign[] = \"AWS_LAMBDA_RUNTIME_API\";\n";
        let is_program = source.contains("main(") || source.contains("_start(");
        let sign = if is_program { SIGN } else { "" };
        self.compile_as_is(dir, &format!("{source}{sign}"), output, arguments);
    }

    /// As [`compile`](Self::compile), with nothing added.
    #[track_caller]
    pub fn compile_as_is(self, dir: &Path, source: &str, output: &str, arguments: &str) {
        let language = if self.0[0] == "c++" { "cc" } else { "c" };
        let file = dir.join(format!("{output}.{language}"));
        fs::create_dir_all(file.parent().expect("a file in `dir`")).unwrap();
        fs::write(&file, source).unwrap();
        let output = Command::new(self.0[0])
            .args(&self.0[1..])
            .arg(&file)
            .args(["-o", output])
            .args(arguments.split_whitespace())
            .current_dir(dir)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.0[0]));
        assert!(output.status.success(), "{:?}: {}", self.0, String::from_utf8_lossy(&output.stderr));
        // No source beside what the tests look at.
        fs::remove_file(file).unwrap();
    }
}

/// Arguments that make a C compiler link as Rust does by default, with the LLD that comes with rustc.
pub fn rust_lld() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().expect("rustc runs");
    let sysroot = String::from_utf8(output.stdout).expect("a path in UTF-8");
    format!("-B{}/lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld -fuse-ld=lld", sysroot.trim())
}

/// Whether this machine has the compiler that links against any glibc.
#[track_caller]
pub fn require_zig() -> bool {
    let answers =
        Command::new("python3").args(["-m", "ziglang", "version"]).output().is_ok_and(|o| o.status.success());
    answers || tools::skip("zig (pip install ziglang)")
}

/// Whether this is Debian 12, whose libraries the test knows by name.
#[track_caller]
pub fn require_debian_12() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let has = |line: &str| release.lines().any(|known| known.replace('"', "") == line);
    has("ID=debian") && has("VERSION_ID=12")
        || tools::skip("Debian 12: it names the libraries of that system")
}

/// Whether this system's linker finds a library file of this name.
#[track_caller]
pub fn require_library(file: &str, package: &str) -> bool {
    let output = Command::new("cc").arg(format!("-print-file-name={file}")).output();
    // It answers with the bare name if there is no such file.
    let found = output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().contains('/'));
    found || tools::skip(&format!("{file} (apt: {package})"))
}

/// What Debian 12's libpq needs and AL2023 lacks, with it.
pub const SHIPPED_WITH_LIBPQ: [&str; 7] = [
    "libgnutls.so.30",
    "libhogweed.so.6",
    "liblber-2.5.so.0",
    "libldap-2.5.so.0",
    "libnettle.so.8",
    "libpq.so.5",
    "libsasl2.so.2",
];
