//! Programs and libraries from real toolchains, and running them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The machine that a test builds for.
#[derive(Clone, Copy, PartialEq)]
pub enum Machine {
    X86_64,
    /// Run by user-mode emulation, which computes AT_PHDR from `e_phoff`, as kernels before 5.10.110.
    Aarch64,
}

impl Machine {
    pub fn compiler(self) -> &'static str {
        match self {
            Machine::X86_64 => "gcc",
            Machine::Aarch64 => "aarch64-linux-gnu-gcc",
        }
    }

    pub fn loader(self) -> &'static str {
        match self {
            Machine::X86_64 => "/lib64/ld-linux-x86-64.so.2",
            Machine::Aarch64 => "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1",
        }
    }
}

/// Three directories of libraries: `ours`, `system` with other copies of them, and `loader` with an ld.so.
pub struct World {
    dir: TempDir,
    pub machine: Machine,
}

impl World {
    /// Builds the libraries, `ours` with `flags`.
    pub fn new(machine: Machine, flags: &[&str]) -> World {
        let world = World { dir: tempfile::tempdir().unwrap(), machine };
        let greet = source("greet.c");
        std::fs::write(world.path("versions"), "GREET_1 { global: greet; counted; call; };").unwrap();
        for who in ["ours", "system"] {
            let directory = world.path(who);
            std::fs::create_dir(&directory).unwrap();
            let flags = if who == "ours" { flags } else { &[] };
            let quoted = format!("-DWHO=\"{who}\"");
            for (name, text) in [
                ("libdeep.so.1", "const char *deep(void) { return WHO; }"),
                ("libplugin.so", "const char *plugin(void) { return WHO; }"),
                (
                    "libextra.so.1",
                    "#include <unistd.h>\n__attribute__((constructor)) static void loaded(void) { write(1, \"extra: \" WHO \"\\n\", sizeof WHO + 7); }",
                ),
            ] {
                let file = world.path("library.c");
                std::fs::write(&file, text).unwrap();
                world.compile(
                    &directory.join(name),
                    flags,
                    &["-shared", "-fPIC", &quoted, &soname(name)],
                    &[&file],
                );
            }
            let deep = directory.join("libdeep.so.1");
            let library = directory.join("libgreet.so.1");
            let script = format!("-Wl,--version-script={}", world.path("versions").display());
            world.compile(
                &library,
                flags,
                &["-shared", "-fPIC", "-fexceptions", &quoted, &soname("libgreet.so.1"), &script],
                &[&greet, &deep],
            );
            std::os::unix::fs::symlink("libgreet.so.1", directory.join("libgreet.so")).unwrap();
        }
        std::fs::create_dir(world.path("loader")).unwrap();
        copy(Path::new(machine.loader()), &world.path("loader/ld.so"));
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn compile(&self, output: &Path, flags: &[&str], more: &[&str], inputs: &[&Path]) {
        let mut command = Command::new(self.machine.compiler());
        command.arg("-O1").arg("-o").arg(output).args(more).args(inputs).args(flags);
        must(&mut command);
    }

    /// The C++ program, or the C one for a compiler of C, linked by `compiler`.
    pub fn program(&self, name: &str, compiler: &[&str], flags: &[&str]) -> PathBuf {
        let output = self.path(name);
        let mut command = Command::new(compiler[0]);
        command.args(&compiler[1..]).args(["-g", "-O1", "-pthread", "-rdynamic", "-o"]).arg(&output);
        if compiler[0] == "g++" {
            command.args(["-x", "c++"]);
        }
        command.arg(source("program.c")).args(["-x", "none"]).args(flags);
        let library = self.path("ours/libgreet.so.1");
        command.arg(library).arg(format!("-Wl,-rpath-link,{}", self.text("ours"))).arg("-ldl");
        must(&mut command);
        output
    }

    /// The Rust program.
    pub fn rust(&self, name: &str, flags: &[&str]) -> PathBuf {
        let output = self.path(name);
        let mut command = rustc();
        command.args(["--edition=2024", "-O", "-Cdebuginfo=1", "-L"]).arg(self.path("ours"));
        command.arg(format!("-Clink-arg=-Wl,-rpath-link,{}", self.text("ours")));
        if self.machine == Machine::Aarch64 {
            command.args(["--target=aarch64-unknown-linux-gnu", "-Clinker=aarch64-linux-gnu-gcc"]);
        }
        command.args(flags).arg("-o").arg(&output).arg(source("program.rs"));
        must(&mut command);
        output
    }

    /// Runs a program with `LD_LIBRARY_PATH`, as Lambda does.
    pub fn run(&self, program: &Path, library_path: &str) -> Output {
        let value = format!("LD_LIBRARY_PATH={}", self.text(library_path));
        let mut command = match self.machine {
            Machine::X86_64 => Command::new(program),
            Machine::Aarch64 => {
                let mut command = Command::new("qemu-aarch64-static");
                command.args(["-L", "/usr/aarch64-linux-gnu", "-E", &value]).arg(program);
                command
            }
        };
        if self.machine == Machine::X86_64 {
            command.env("LD_LIBRARY_PATH", self.path(library_path));
        }
        command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
    }
}

pub fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn soname(name: &str) -> String {
    format!("-Wl,-soname,{name}")
}

pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/repair").join(name)
}

/// Runs a command that has to succeed.
#[track_caller]
pub fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Writes an executable file.
///
/// By another process: while this one has a file open for writing, a child that another test starts may
/// inherit it, and executing the file then fails with "text file busy".
#[track_caller]
pub fn write(path: &Path, bytes: &[u8]) {
    let part = path.with_extension("part");
    std::fs::write(&part, bytes).unwrap();
    copy(&part, path);
    std::fs::remove_file(part).unwrap();
}

/// Copies an executable file, by another process.
#[track_caller]
pub fn copy(from: &Path, to: &Path) {
    must(Command::new("install").args(["-m", "0755"]).arg(from).arg(to));
}

/// The file without its section header table.
pub fn without_sections(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    bytes
}
