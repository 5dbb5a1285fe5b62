//! Every kind of finding: a real program or archive that has it, and one close to it that does not.
//!
//! What each says, and all the ways to it, are tested where they are at home; here no kind is without a pair.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::command::{command, finish, run};
use crate::support::compile::{CC, Compiler, ZIG_2_34, ZIG_2_39, require_library, require_zig};
use crate::support::findings::check_message;
use crate::support::tools;
use cargo_lambda_bundle::audit::Code;

#[test]
fn every_finding_has_a_trigger_and_a_near_miss() {
    if !tools::require("cc", "gcc") || !tools::require("zip", "zip") {
        return;
    }
    let mut wrong = String::new();
    for code in Code::ALL {
        let dir = tempfile::tempdir().unwrap();
        let scene = Scene { dir: dir.path() };
        let Some([trigger, near_miss]) = scene.pair(*code) else { continue };
        for (arguments, expected) in [(trigger, true), (near_miss, false)] {
            let ran = run(dir.path(), &format!("{arguments} --message-format json"));
            let findings = ran.json()["artifacts"][0]["findings"].clone();
            let findings = findings.as_array().unwrap_or_else(|| panic!("{arguments}: {ran}"));
            // In JSON a finding has no others of the same cause in its message.
            findings.iter().for_each(|it| check_message(it["message"].as_str().unwrap()));
            let has = findings.iter().any(|finding| finding["code"] == code.as_str());
            if has != expected {
                wrong.push_str(&format!("{}: {has} of `{arguments}`: {ran}\n", code.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A directory for one kind of finding.
struct Scene<'a> {
    dir: &'a Path,
}

const EMPTY: &str = "int main(void) { return 0; }";
const TOP: &str = "int top(void); int main(void) { return top(); }";
const CHECK: &str = "check --binary app";
/// Of the user's own, which changes the runtime's.
const TABLE: &str = "runtime mine\nroot provided.al2023\narch x86_64\n";

impl Scene<'_> {
    /// The commands that give a finding and do not, after what they need was made; `None` for want of a tool.
    ///
    /// A new kind of finding does not compile without its own.
    fn pair(&self, code: Code) -> Option<[String; 2]> {
        let own = |arguments: [&str; 2]| Some(arguments.map(str::to_owned));
        let checks = |more: [&str; 2]| Some(more.map(|more| format!("{CHECK} {more}")));
        let programs = Some(["check --binary app".to_owned(), "check --binary near".to_owned()]);
        let archives = Some(["verify app.zip".to_owned(), "verify near.zip".to_owned()]);
        match code {
            Code::MissingLibrary => {
                self.library("libs/libtop.so.1", "top");
                self.c("app", TOP, "libs/libtop.so.1");
                checks(["", "--library-path libs"])
            }
            Code::GlibcRebound => {
                if !require_zig() {
                    return None;
                }
                // What `strtol` becomes with the headers of glibc 2.38.
                let source = "long __isoc23_strtol(const char *, char **, int);\n\
                    int main(int c, char **v) { return (int)__isoc23_strtol(v[0], 0, 0); }";
                ZIG_2_39.compile(self.dir, source, "app", "");
                checks(["", "--repair never"])
            }
            Code::VersionTooNew => {
                if !require_zig() {
                    return None;
                }
                let source = "#include <sys/pidfd.h>\n\
                    int main(int c, char **v) { return pidfd_getpid(c); }";
                ZIG_2_39.compile(self.dir, source, "app", "");
                ZIG_2_34.compile(self.dir, "int main(void) { return 0; }", "near", "");
                programs
            }
            Code::InterpreterMissing => {
                self.c("app", EMPTY, "-Wl,--dynamic-linker=/opt/fnord/ld-linux-x86-64.so.2");
                checks(["--repair never", ""])
            }
            Code::BrokenStaticPie => {
                self.library("libtop.so.1", "top");
                let flags = "-nostdlib -pie -Wl,--no-dynamic-linker";
                let library = format!("-Wl,--no-as-needed {}/libtop.so.1", self.dir.display());
                self.c("app", "void _start(void) {}", &format!("{flags} {library}"));
                self.c("near", "void _start(void) {}", flags);
                programs
            }
            Code::RelrUnsupported => {
                // A static program relocates itself.
                self.c("app", EMPTY, "-Wl,-z,pack-relative-relocs");
                self.c("near", EMPTY, "-static-pie -Wl,-z,pack-relative-relocs");
                programs
            }
            Code::UndefinedSymbol => {
                self.library("linked/libtop.so.1", "top");
                self.library("other/libtop.so.1", "bottom");
                self.c("app", TOP, "linked/libtop.so.1 -Wl,-z,now");
                checks(["--library-path other", "--library-path linked"])
            }
            Code::WrongArch => {
                self.c("app", EMPTY, "");
                checks(["--arch arm64", "--arch x86_64"])
            }
            Code::NotElf => {
                self.c("app", EMPTY, "");
                self.file("bootstrap", "exec ./app\n");
                self.zip("app.zip", &["bootstrap", "app"]);
                self.file("bootstrap", "#!/bin/sh\nexec ./app\n");
                self.zip("near.zip", &["bootstrap", "app"]);
                archives
            }
            Code::TemplateMismatch | Code::TemplateUnknown => {
                self.c("bootstrap", EMPTY, "");
                self.zip("app.zip", &["bootstrap"]);
                let wrong = if code == Code::TemplateMismatch { "arm64" } else { "!Ref Open" };
                for (name, arch) in [("wrong", wrong), ("right", "x86_64")] {
                    let properties =
                        format!("CodeUri: app.zip, Runtime: provided.al2023, Architectures: [{arch}]");
                    let function =
                        format!("{{Type: AWS::Serverless::Function, Properties: {{{properties}}}}}");
                    self.file(&format!("{name}.yaml"), format!("Resources:\n  App: {function}\n"));
                }
                own(["verify --template wrong.yaml app.zip", "verify --template right.yaml app.zip"])
            }
            Code::NotExecutable => {
                self.c("bootstrap", EMPTY, "");
                self.mode("bootstrap", 0o644);
                self.zip("app.zip", &["bootstrap"]);
                self.mode("bootstrap", 0o755);
                self.zip("near.zip", &["bootstrap"]);
                archives
            }
            Code::RepairConflict => {
                // The runtime's libxml2 needs nodes of libz that this one lacks.
                self.library("libs/libz.so.1", "top");
                self.library("libs/libxml2.so.2", "other");
                self.c("app", TOP, "-Wl,--no-as-needed libs/libz.so.1 libs/libxml2.so.2");
                self.c("near", TOP, "libs/libz.so.1");
                let more = "--library-path libs --bundle-lib libz.so.1";
                programs.map(|programs| programs.map(|check| format!("{check} {more}")))
            }
            Code::NotEditable => {
                // Without a note to give up, and with so much in .bss that none can be added.
                self.library("libs/libz.so.1", "top");
                let source = "int top(void); char big[17 << 20]; void _start(void) { big[top()] = 1; }";
                let flags = "-nostartfiles -fcf-protection=none libs/libz.so.1";
                self.c("app", source, &format!("{flags} -Wl,--build-id=none"));
                self.c("near", source, &format!("{flags} -Wl,--build-id"));
                let more = "--library-path libs --bundle-lib libz.so.1";
                programs.map(|programs| programs.map(|check| format!("{check} {more}")))
            }
            Code::LibcMixed => {
                self.library("libs/libz.so.1", "top");
                self.c("app", TOP, "libs/libz.so.1");
                let libc = "--libc bundle --library-path libs";
                checks([&format!("{libc} --exclude-lib libz.so.1"), libc])
            }
            Code::SizeLimit => {
                self.c("app", EMPTY, "");
                self.zeros("data", 262_144_000);
                self.zeros("less", 262_000_000);
                checks(["--include data", "--include less"])
            }
            Code::SizeBudget => {
                self.c("app", EMPTY, "");
                self.zeros("data", 1_000_000);
                checks(["--include data --max-size 1MB", "--include data --max-size 1.1MB"])
            }
            Code::SizeGrown => {
                self.c("app", EMPTY, "");
                self.zeros("data", 1_000);
                run(self.dir, "--binary app -o before.zip -q").exits(0);
                let size = "size --binary app --include data --against before.zip --max-growth";
                Some([format!("{size} 1%"), format!("{size} 1kB")])
            }
            Code::CratesUnknown => {
                self.c("app", EMPTY, "");
                self.file("mark.s", ".section .comment\n.asciz \"rustc version 1.90.0\"\n");
                self.c("rust", EMPTY, "mark.s");
                Some(["--binary rust --sbom sbom.json", "--binary app --sbom sbom.json"].map(str::to_owned))
            }
            Code::BootstrapMissing => {
                self.c("bootstrap", EMPTY, "");
                self.c("build/bootstrap", EMPTY, "");
                self.zip("app.zip", &["build/bootstrap"]);
                self.zip("near.zip", &["bootstrap"]);
                archives
            }
            Code::NotStarted => {
                self.c("bootstrap", EMPTY, "");
                self.file("handler.py", "");
                self.zip("app.zip", &["bootstrap"]);
                self.zip("near.zip", &["bootstrap", "handler.py"]);
                own(["verify app.zip --runtime python3.13", "verify near.zip --runtime python3.13"])
            }
            Code::VersionRecent => {
                if !tools::require("c++", "g++") {
                    return None;
                }
                let cpp = |name: &str, body: &str| {
                    let source = format!(
                        "#include <condition_variable>\nstd::mutex m; std::condition_variable v;\n\
                        int main() {{ std::unique_lock<std::mutex> l(m); {body} }}"
                    );
                    Compiler(&["c++"]).compile(self.dir, &source, name, "");
                };
                cpp("app", "v.wait(l);");
                cpp("near", "v.notify_one();");
                programs.map(|programs| programs.map(|check| format!("{check} --repair never")))
            }
            Code::VersionUnknown | Code::NamesOnly => {
                self.c("app", EMPTY, "");
                self.file("list", "/lib64/ld-linux-x86-64.so.2\n/lib64/libc.so.6\n");
                checks(["--baseline list", ""])
            }
            Code::VersionSkew => {
                for (directory, version) in [("newer", "99"), ("older", "0")] {
                    let file = format!("libunistring.so.2.{version}.0");
                    let soname = "-shared -Wl,-soname,libunistring.so.2";
                    self.c(&format!("{directory}/{file}"), "int top(void) { return 0; }", soname);
                    symlink(&file, self.dir.join(directory).join("libunistring.so.2")).unwrap();
                }
                self.c("app", TOP, "newer/libunistring.so.2");
                checks(["--library-path newer", "--library-path older"])
            }
            Code::LibcBundled => {
                self.c("app", EMPTY, "");
                checks(["--libc bundle", ""])
            }
            Code::Shadowed => {
                self.library("lib/libz.so.1", "top");
                self.c("bootstrap", TOP, "lib/libz.so.1");
                self.zip("app.zip", &["bootstrap", "lib/libz.so.1"]);
                own(["verify app.zip", "verify app.zip --env LD_LIBRARY_PATH=/var/task/lib:/lib64"])
            }
            Code::DoubtfulLibrary => {
                self.library("libs/liblz4.so.1", "top");
                self.library("libs/libz.so.1", "top");
                self.c("app", TOP, "libs/liblz4.so.1");
                self.c("near", TOP, "libs/libz.so.1");
                programs.map(|programs| programs.map(|check| format!("{check} --library-path libs")))
            }
            Code::StaticGlibcNss => {
                let looks_up = "#include <netdb.h>\n\
                    int main(void) { struct addrinfo *a; return getaddrinfo(\"a\", \"1\", 0, &a); }";
                self.c("app", looks_up, "-static");
                self.c("near", looks_up, "");
                programs
            }
            Code::StaticTls => {
                let library = |bytes: &str, name: &str| {
                    let source = format!(
                        "__thread char a[{bytes}] __attribute__((tls_model(\"initial-exec\"))); char *f(void) {{ return a; }}"
                    );
                    CC.compile(self.dir, &source, name, &format!("-shared -fPIC -Wl,-soname,{name}"));
                };
                library("1800", "libbig.so.1");
                library("1600", "libsmall.so.1");
                CC.compile(self.dir, EMPTY, "app", "");
                own([
                    "check --binary app --library-path . --dlopen libbig.so.1",
                    "check --binary app --library-path . --dlopen libsmall.so.1",
                ])
            }
            Code::Dlopen => {
                let opens = |name: &str| {
                    format!(
                        "#include <dlfcn.h>\nint main(void) {{ return dlopen(\"{name}\", RTLD_NOW) != 0; }}"
                    )
                };
                self.c("app", &opens("libfnord.so.7"), "");
                self.c("near", &opens("libz.so.1"), "");
                programs
            }
            Code::CaBundle => {
                if !require_library("libssl.a", "libssl-dev") {
                    return None;
                }
                let source = "#include <openssl/ssl.h>\nint main(void) { SSL_CTX *c = SSL_CTX_new(TLS_client_method()); \
                    return SSL_CTX_set_default_verify_paths(c); }";
                self.c("app", source, "-Wl,-Bstatic -lssl -lcrypto -Wl,-Bdynamic");
                self.c("near", source, "-lssl -lcrypto");
                programs
            }
            Code::CpuLevel => {
                self.c("app", EMPTY, "-Wl,-z,x86-64-v4");
                self.c("near", EMPTY, "-Wl,-z,x86-64-v3");
                programs
            }
            Code::CompanionData => {
                let converts = "#include <iconv.h>\nint main(void) { return iconv_open(\"A\", \"B\") != 0; }";
                self.c("app", converts, "");
                checks(["--libc bundle", ""])
            }
            Code::NotARuntime => {
                CC.compile_as_is(self.dir, EMPTY, "app", "");
                self.c("near", EMPTY, "");
                programs
            }
            Code::StaleBinary => {
                self.file("Cargo.toml", "[package]\nname = \"app\"\nedition = \"2021\"\n[workspace]\n");
                self.file("src/main.rs", "fn main() {}\n");
                finish(command("cargo", self.dir).args(["build", "--release", "-q"])).exits(0);
                let source = fs::File::options().write(true).open(self.dir.join("src/main.rs")).unwrap();
                source.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
                own(["check", "check --binary target/release/app"])
            }
            Code::BaselineOld => {
                self.c("app", EMPTY, "");
                // The day of the research does not count.
                let table = |evidence: &str, recorded: &str| {
                    let keep = "keep X ld-linux-x86-64.so.2 libc.so.6";
                    format!("{TABLE}recorded {recorded}\nevidence X probe {evidence} a list\n{keep}\n")
                };
                self.file("old", table("2020-01-01", "2999-01-01"));
                self.file("new", table("2999-01-01", "2020-01-01"));
                checks(["--baseline old", "--baseline new"])
            }
            Code::RuntimeDeprecated => {
                self.c("app", EMPTY, "");
                self.file("past", format!("{TABLE}deprecated 2020-01-01\n"));
                self.file("future", format!("{TABLE}deprecated 2999-01-01\n"));
                checks(["--baseline past", "--baseline future"])
            }
            Code::SuspiciousInclude => {
                self.c("app", EMPTY, "");
                self.file("config/.env", "KEY=1\n");
                checks(["--include config", "--include config/.env"])
            }
            Code::DirectUploadLimit => {
                self.c("bootstrap", EMPTY, "");
                self.zeros("data", 53_000_000);
                self.zip("app.zip", &["-0", "bootstrap", "data"]);
                self.zip("near.zip", &["-1", "bootstrap", "data"]);
                archives
            }
        }
    }

    /// Compiles a program that names the Runtime API.
    fn c(&self, output: &str, source: &str, flags: &str) {
        CC.compile(self.dir, source, output, flags);
    }

    /// Compiles a library that defines a function, and has its file's name.
    fn library(&self, path: &str, function: &str) {
        let soname = path.rsplit('/').next().unwrap_or(path);
        let source = format!("int {function}(void) {{ return 0; }}");
        self.c(path, &source, &format!("-shared -fPIC -Wl,-soname,{soname}"));
    }

    fn file(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("a file in `dir`")).unwrap();
        fs::write(&path, text).unwrap();
        self.set_mode(&path, 0o755);
    }

    /// A sparse file.
    fn zeros(&self, path: &str, bytes: u64) {
        fs::File::create(self.dir.join(path)).unwrap().set_len(bytes).unwrap();
    }

    fn mode(&self, path: &str, mode: u32) {
        self.set_mode(&self.dir.join(path), mode);
    }

    fn set_mode(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn zip(&self, name: &str, arguments: &[&str]) {
        finish(command("zip", self.dir).args(["-q", name]).args(arguments)).exits(0);
    }
}
