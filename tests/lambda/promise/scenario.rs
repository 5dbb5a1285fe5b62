//! One scenario: what is built, how it is bundled, and what really happens.

use std::fs;
use std::path::Path;
use std::process::Command;

use cargo_lambda_bundle::elf::Arch;

/// The line that a program prints when its `main` came to the end.
pub const STARTED: &str = "started-as-promised";

/// What the answer is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A bundle for the embedded table of provided.al2023.
    Table,
    /// A bundle for `baseline capture` of the root in which it is started.
    Captured,
    /// A bundle with its own C library, for the table.
    LibcBundle,
}

/// The root in which a scenario is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The libraries of Debian 12 (glibc 2.36), or of its cross packages, under the names of the al2023 table.
    Host,
    /// The libraries of Debian 11 (glibc 2.31).
    Bullseye,
}

/// What a scenario is known to do when it is started, so that a row that no longer shows its case is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `main` comes to its end.
    Starts,
    /// It does not, and stdout and stderr together have this text.
    Fails(&'static str),
}

/// Who starts the archive, and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Our bundle of `prog`, a function.
    Function,
    /// Our bundle of all programs of `extensions/`.
    Extensions,
    /// The directory `task`, zipped by Info-ZIP, for `verify` to judge.
    Archive,
}

#[derive(Clone, Copy, Debug)]
enum Language {
    C,
    Cxx,
    Rust,
    /// C, by `musl-gcc`.
    Musl,
}

#[derive(Clone, Debug)]
enum Step {
    Compile { language: Language, source: String, output: &'static str, flags: String },
    Shell(String),
}

/// A row.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, which the list of exceptions uses.
    pub name: String,
    /// Flags of our command, besides those that every row has.
    pub flags: String,
    /// The function's environment beyond Lambda's own.
    pub env: Vec<(&'static str, &'static str)>,
    /// What is asked.
    pub asked: &'static [Question],
    /// Whether it is built and started for arm64, too.
    pub on_arm64: bool,
    /// Where it is started.
    pub system: System,
    /// What happens then.
    pub claim: Claim,
    /// What is started.
    pub kind: Kind,
    /// The finding that answers a wish of the user that cannot be done, whatever starts without it.
    pub refused_wish: Option<&'static str>,
    /// A file that the archive must not have.
    pub absent: Option<&'static str>,
    steps: Vec<Step>,
}

/// What the machine has for building: for `arch`, and for another system.
pub struct Toolchain<'a> {
    pub arch: Arch,
    /// The root of Debian 11.
    pub bullseye: &'a Path,
}

/// A scenario that starts, is a function, and is asked for the table and for the captured root.
pub fn row(name: impl Into<String>) -> Scenario {
    Scenario {
        name: name.into(),
        flags: String::new(),
        env: Vec::new(),
        asked: &[Question::Table, Question::Captured],
        on_arm64: false,
        system: System::Host,
        claim: Claim::Starts,
        kind: Kind::Function,
        refused_wish: None,
        absent: None,
        steps: Vec::new(),
    }
}

impl Scenario {
    /// A copy under another name, for rows that begin alike.
    pub fn named(&self, name: &str) -> Scenario {
        Scenario { name: name.to_owned(), ..self.clone() }
    }

    fn compile(mut self, language: Language, source: String, output: &'static str, flags: &str) -> Self {
        self.steps.push(Step::Compile { language, source, output, flags: flags.to_owned() });
        self
    }

    /// A shared library of C. Its SONAME is its file name, unless the flags give another or `-Wl,-h,`.
    ///
    /// Libraries of `new/` are linked with; those of `lib/` are what the bundle gets.
    pub fn library(self, output: &'static str, source: &str, flags: &str) -> Self {
        let flags = shared(output, flags);
        self.compile(Language::C, source.to_owned(), output, &flags)
    }

    /// A shared library of C++.
    pub fn cxx_library(self, output: &'static str, source: &str, flags: &str) -> Self {
        let flags = shared(output, flags);
        self.compile(Language::Cxx, source.to_owned(), output, &flags)
    }

    /// A shared library of C, linked with musl.
    pub fn musl_library(self, output: &'static str, source: &str, flags: &str) -> Self {
        let flags = shared(output, flags);
        self.compile(Language::Musl, source.to_owned(), output, &flags)
    }

    /// `prog`: declarations, and what `main` does before it says that it started.
    pub fn program(self, declarations: &str, body: &str, flags: &str) -> Self {
        self.compile(Language::C, main_function(declarations, body), "prog", flags)
    }

    /// The same under another name.
    pub fn other_program(self, output: &'static str, declarations: &str, body: &str, flags: &str) -> Self {
        self.compile(Language::C, main_function(declarations, body), output, flags)
    }

    /// The same in C++.
    pub fn cxx_program(self, declarations: &str, body: &str, flags: &str) -> Self {
        self.compile(Language::Cxx, main_function(declarations, body), "prog", flags)
    }

    /// The same in C, linked with musl.
    pub fn musl_program(self, declarations: &str, body: &str, flags: &str) -> Self {
        self.compile(Language::Musl, main_function(declarations, body), "prog", flags)
    }

    /// The same in Rust.
    pub fn rust_program(self, declarations: &str, body: &str, flags: &str) -> Self {
        let source = format!(
            "{declarations}\nfn main() {{ {body}; println!(\"{STARTED}\"); \
             if std::env::args().count() > 9 {{ println!(\"AWS_LAMBDA_RUNTIME_API\") }} }}\n"
        );
        self.compile(Language::Rust, source, "prog", flags)
    }

    /// C as it is, with nothing added.
    pub fn source(self, output: &'static str, source: &str, flags: &str) -> Self {
        self.compile(Language::C, source.to_owned(), output, flags)
    }

    /// A step of `sh -e`, in the directory of the scenario. `$CC`, `$ARCH` and `$BULLSEYE` are set.
    pub fn sh(mut self, script: impl Into<String>) -> Self {
        self.steps.push(Step::Shell(script.into()));
        self
    }

    /// Flags of our command.
    pub fn flags(mut self, flags: &str) -> Self {
        self.flags = format!("{} {flags}", self.flags);
        self
    }

    /// A variable of the function, which our command is told.
    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// What happens when it is started: not this, as its output says.
    pub fn fails(mut self, text: &'static str) -> Self {
        self.claim = Claim::Fails(text);
        self
    }

    /// A wish cannot be done, which this finding says.
    pub fn refuses_the_wish(mut self, code: &'static str) -> Self {
        self.refused_wish = Some(code);
        self
    }

    /// No file of this name is shipped.
    pub fn without(mut self, file: &'static str) -> Self {
        self.absent = Some(file);
        self
    }

    /// On arm64 as well.
    pub fn arm64(mut self) -> Self {
        self.on_arm64 = true;
        self
    }

    /// The questions in place of the usual ones.
    pub fn asked(mut self, questions: &'static [Question]) -> Self {
        self.asked = questions;
        self
    }

    /// Only for the captured root: the table knows nothing newer than Amazon Linux's own libraries.
    pub fn captured_only(self) -> Self {
        self.asked(&[Question::Captured])
    }

    /// With `--libc bundle` as well.
    pub fn libc_bundle_too(self) -> Self {
        self.asked(&[Question::Table, Question::Captured, Question::LibcBundle])
    }

    /// With `--libc bundle` only.
    pub fn libc_bundle_only(self) -> Self {
        self.asked(&[Question::LibcBundle])
    }

    /// In the root of Debian 11, for its capture.
    pub fn on_bullseye(mut self) -> Self {
        self.system = System::Bullseye;
        self.captured_only()
    }

    /// `verify` judges the directory `task`, as zipped.
    pub fn archive(mut self) -> Self {
        self.kind = Kind::Archive;
        self
    }

    /// All programs in `extensions/` go into one archive.
    pub fn extensions(mut self) -> Self {
        self.kind = Kind::Extensions;
        self
    }

    /// Builds everything in `dir`.
    #[track_caller]
    pub fn build(&self, dir: &Path, toolchain: &Toolchain) {
        for step in &self.steps {
            match step {
                Step::Compile { language, source, output, flags } => {
                    let command = compiler(*language, toolchain.arch);
                    let flags = flags.replace("{bullseye}", &toolchain.bullseye.display().to_string());
                    compile_step(dir, &command, (*language, source), output, &flags, &self.name);
                }
                Step::Shell(script) => {
                    let output = Command::new("sh")
                        .args(["-ec", script])
                        .current_dir(dir)
                        .env("CC", compiler(Language::C, toolchain.arch).0)
                        .env("ARCH", toolchain.arch.as_str())
                        .env("BULLSEYE", toolchain.bullseye)
                        .output()
                        .expect("sh starts");
                    let text = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{}: {script}: {text}", self.name);
                }
            }
        }
    }
}

fn shared(output: &str, flags: &str) -> String {
    let name = Path::new(output).file_name().and_then(|name| name.to_str()).expect("a file name");
    let soname = match flags.contains("soname") {
        true => String::new(),
        false => format!("-Wl,-soname,{name} "),
    };
    format!("-shared -fPIC {soname}{flags}")
}

/// A C program whose `main` says that it came to its end. It names the Runtime API, as functions do.
fn main_function(declarations: &str, body: &str) -> String {
    format!(
        "#include <stdio.h>\n#include <stdlib.h>\n{declarations}\n\
         __attribute__((used)) static const char sign[] = \"AWS_LAMBDA_RUNTIME_API\";\n\
         int main(int argc, char **argv) {{ {body}; puts(\"{STARTED}\"); return 0; }}\n"
    )
}

/// The compiler and what comes before all other arguments.
struct Compiler(&'static str, &'static [&'static str]);

fn compiler(language: Language, arch: Arch) -> Compiler {
    const QUIET: &[&str] = &["-w"];
    match (language, arch) {
        (Language::C, Arch::X86_64) => Compiler("cc", QUIET),
        (Language::C, Arch::Arm64) => Compiler("aarch64-linux-gnu-gcc", QUIET),
        (Language::Cxx, Arch::X86_64) => Compiler("c++", QUIET),
        (Language::Musl, Arch::X86_64) => Compiler("musl-gcc", QUIET),
        (Language::Rust, Arch::X86_64) => {
            Compiler("rustc", &["--edition=2021", "-Cdebuginfo=0", "-Awarnings"])
        }
        (Language::Rust, Arch::Arm64) => {
            let arguments = &[
                "--edition=2021",
                "-Cdebuginfo=0",
                "-Awarnings",
                "--target=aarch64-unknown-linux-gnu",
                "-Clinker=aarch64-linux-gnu-gcc",
            ];
            Compiler("rustc", arguments)
        }
        (Language::Cxx | Language::Musl, Arch::Arm64) => unreachable!("rows of these are for x86_64 only"),
    }
}

#[track_caller]
fn compile_step(
    dir: &Path,
    compiler: &Compiler,
    source: (Language, &str),
    output: &str,
    flags: &str,
    row: &str,
) {
    let (language, source) = source;
    let suffix = match language {
        Language::C | Language::Musl => "c",
        Language::Cxx => "cc",
        Language::Rust => "rs",
    };
    let file = dir.join(format!("{output}.{suffix}"));
    fs::create_dir_all(file.parent().expect("a file in `dir`")).unwrap();
    fs::write(&file, source).unwrap();
    let name = match compiler.0 {
        "rustc" => std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()),
        other => other.to_owned(),
    };
    let ran = Command::new(&name)
        .args(compiler.1)
        .arg(&file)
        .args(["-o", output])
        .args(flags.split_whitespace())
        .current_dir(dir)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(ran.status.success(), "{row}: {output}: {}", String::from_utf8_lossy(&ran.stderr));
    // Nothing lies beside what is bundled.
    fs::remove_file(file).unwrap();
}
