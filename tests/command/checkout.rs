//! A stranger's checkout: without `--build` none of its programs is run and nothing is written outside of it, whatever
//! its manifests and configurations say.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod writes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::command::{BINARY, Ran, finish};
use crate::support::scene::Scene;
use crate::support::tools;

const PACKAGE: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";

/// A checkout in `ws`, with a built program that needs rustc's library, and traps. Beside it is the user's own.
struct Checkout {
    scene: Scene,
}

impl Checkout {
    fn new() -> Checkout {
        let checkout = Checkout { scene: Scene::new() };
        let scene = &checkout.scene;
        // rustc is asked for the directory of its library.
        let std = "libs/libstd-0123456789abcdef.so";
        scene.library(std, "int top(void) { return 0; }", "-g");
        scene.c(
            "int top(void); int main(void) { return top(); }",
            "ws/target/release/app",
            &format!("-g {std}"),
        );
        scene.dir("libs");
        scene.file("ws/src/main.rs", "fn main() {}\n").file("ws/Cargo.toml", PACKAGE);
        for name in ["evil.sh", "evil", "bin/evil", "strip", "bin/strip", "objcopy", "bin/objcopy", "cc"] {
            checkout.trap(&format!("ws/{name}"));
        }
        for name in ["rustc", "bin/rustc", "tools/bin/rustc", "tools/bin/cargo", "lsb_release", "getconf"] {
            checkout.trap(&format!("ws/{name}"));
        }
        checkout
    }

    /// A program that leaves a file behind if it is ever started.
    fn trap(&self, path: &str) {
        let script = format!("#!/bin/sh\necho \"$0 $*\" >> {}\nexit 1\n", self.scene.at("ran").display());
        self.scene.file(path, script).mode(path, 0o755);
    }

    fn ws(&self) -> PathBuf {
        self.scene.at("ws")
    }

    fn table(&self, table: &str) -> &Checkout {
        self.scene.file("ws/Cargo.toml", format!("{PACKAGE}[package.metadata.lambda-bundle]\n{table}\n"));
        self
    }

    fn config(&self, text: &str) -> &Checkout {
        self.scene.file("ws/.cargo/config.toml", text);
        self
    }

    fn command(&self, words: &str) -> assert_cmd::Command {
        let mut command = self.scene.command(words);
        command.current_dir(self.ws()).env("XDG_CACHE_HOME", self.scene.at("cache"));
        command.env_remove("RUSTUP_TOOLCHAIN");
        if let Ok(other) = std::env::var("BUNDLE_BINARY") {
            let mut changed = self.scene.other_command(&other);
            changed.args(words.split_whitespace()).current_dir(self.ws());
            changed.env("XDG_CACHE_HOME", self.scene.at("cache")).env_remove("RUSTUP_TOOLCHAIN");
            return changed;
        }
        command
    }

    fn run(&self, words: &str) -> Ran {
        finish(&mut self.command(words))
    }

    /// Runs every command that builds nothing, and checks that no trap was started.
    #[track_caller]
    fn starts_nothing(&self, what: &str, path: Option<&str>) {
        let mut commands =
            vec!["-o out.zip", "check", "size", "explain", "config", "check --binary target/release/app"];
        if tools::takes_a_part("commands for each setting of a checkout") {
            // What writes does all that the others do.
            commands.truncate(1);
        }
        for words in commands {
            let mut command = self.command(words);
            if let Some(path) = path {
                command.env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()));
            }
            let ran = finish(&mut command);
            self.check(&format!("{what}: {words}"), &ran);
        }
    }

    #[track_caller]
    fn check(&self, what: &str, ran: &Ran) {
        assert!(matches!(ran.code, Some(0 | 1 | 2 | 101)), "{what}: {ran}");
        if self.scene.has("ran") {
            panic!("{what} ran {}{ran}", self.scene.text("ran"));
        }
    }
}

#[test]
fn no_setting_of_a_manifest_runs_a_program_of_the_checkout() {
    let checkout = Checkout::new();
    let inside = checkout.ws().join("evil.sh").display().to_string();
    for table in [
        "cc = \"./evil.sh\"".to_owned(),
        "cc = \"bin/evil\"".to_owned(),
        "cc = \"../ws/evil.sh\"".to_owned(),
        format!("cc = \"{inside}\""),
        "cc = \"evil\"".to_owned(),
        "strip = true".to_owned(),
        "strip = true\ndebug-symbols = \"debug\"".to_owned(),
        "build = true".to_owned(),
        "build-with = \"zigbuild\"".to_owned(),
    ] {
        checkout.table(&table).starts_nothing(&table, None);
        let workspace = PACKAGE.replace("[workspace]", "[workspace.metadata.lambda-bundle]");
        checkout.scene.file("ws/Cargo.toml", format!("{workspace}{table}\n"));
        checkout.starts_nothing(&table, None);
    }
}

#[test]
fn no_element_of_path_means_the_checkout() {
    let checkout = Checkout::new();
    let ws = checkout.ws().display().to_string();
    checkout.scene.link("ws/bin", "link");
    for path in ["", ".", "bin", "./bin", &ws, &format!("{ws}/bin"), &format!("{ws}/../link")] {
        for table in ["cc = \"evil\"", "strip = true", "strip = true\ndebug-symbols = \"debug\""] {
            checkout.table(table).starts_nothing(&format!("PATH={path}, {table}"), Some(path));
        }
        let config = "[build]\ntarget = \"host-tuple\"\n";
        checkout.config(config).table("").starts_nothing(&format!("PATH={path}"), Some(path));
        checkout.scene.remove("ws/.cargo/config.toml");
    }
}

#[test]
fn no_configuration_of_cargo_runs_a_program_of_the_checkout() {
    let checkout = Checkout::new();
    let ws = checkout.ws().display().to_string();
    for config in [
        "[build]\nrustc = \"./evil.sh\"".to_owned(),
        "[build]\nrustc = \"bin/evil\"".to_owned(),
        "[build]\nrustc = \"evil\"".to_owned(),
        format!("[build]\nrustc = \"{ws}/evil.sh\""),
        "[build]\nrustc-wrapper = \"./evil.sh\"\nrustc-workspace-wrapper = \"./evil.sh\"".to_owned(),
        "[build]\nrustdoc = \"./evil.sh\"\ntarget = \"host-tuple\"".to_owned(),
        format!("[env]\nRUSTC = \"{ws}/evil.sh\"\nPATH = {{ value = \"{ws}\", force = true }}"),
        format!("[env]\nCARGO = \"{ws}/evil.sh\"\nRUSTC_WRAPPER = \"{ws}/evil.sh\""),
        "[alias]\nmetadata = \"run\"\nlambda-bundle = \"run\"".to_owned(),
        "[target.x86_64-unknown-linux-gnu]\nlinker = \"./evil.sh\"\nrunner = \"./evil.sh\"".to_owned(),
        format!("[registry]\nglobal-credential-providers = [\"{ws}/evil.sh\"]"),
        "[credential-alias]\ncargo = [\"./evil.sh\"]".to_owned(),
        "include = [\"more.toml\"]".to_owned(),
    ] {
        checkout.scene.file("ws/.cargo/more.toml", "[build]\nrustc = \"./evil.sh\"\n");
        checkout.config(&config).table("strip = true").starts_nothing(&config, None);
    }
}

#[test]
fn the_toolchain_file_runs_no_toolchain_of_the_checkout() {
    let checkout = Checkout::new();
    let tools = checkout.ws().join("tools").display().to_string();
    for name in ["rust-toolchain.toml", "rust-toolchain"] {
        checkout.scene.file(format!("ws/{name}"), format!("[toolchain]\npath = \"{tools}\"\n"));
        checkout.starts_nothing(name, None);
        checkout.run("check").exits(101).says(&[
            &format!("ws/{name}` names the toolchain `{tools}`\n"),
            &format!("help: if you trust it, say so with the variable `RUSTUP_TOOLCHAIN={tools}`\n"),
        ]);
        // The user's own word counts.
        let mut trusting = checkout.command("check");
        finish(trusting.env("RUSTUP_TOOLCHAIN", &tools)).exits(101);
        assert!(checkout.scene.has("ran"));
        checkout.scene.remove("ran").remove(&format!("ws/{name}"));
    }
}

#[test]
fn what_is_not_run_says_the_next_step() {
    let checkout = Checkout::new();
    let ws = checkout.ws().display().to_string();
    checkout.table("cc = \"./evil.sh\"");
    checkout.run("check").exits(101).says(&[
        "error: `--cc ./evil.sh` names a program by its path, and it would be run (from \
         `[package.metadata.lambda-bundle]` of `Cargo.toml`)\n",
        "help: name it as it is on PATH, or if you trust it, use the flag `--cc ./evil.sh`\n",
    ]);
    checkout.run("check --cc ./evil.sh").exits(101);
    assert!(checkout.scene.has("ran"), "a flag is the user's word");
    checkout.scene.remove("ran");
    checkout.table("build = true");
    checkout.run("check").exits(101).says(&[
        "error: `build` in `[package.metadata.lambda-bundle]` of `Cargo.toml` has no meaning in a manifest\n",
        "help: use `--build`, or set `CARGO_LAMBDA_BUNDLE_BUILD`\n",
    ]);
    checkout.table("").config("[build]\nrustc = \"./evil.sh\"\n");
    checkout.run("check").exits(101).says(&[
        &format!("error: `build.rustc` of cargo's configuration in `{ws}` is `./evil.sh`\n"),
        &format!("help: if you trust it, say so with the variable `RUSTC={ws}/./evil.sh`\n"),
    ]);
    checkout.trap("ws/only/cargo");
    let inside = checkout.ws().join("only");
    finish(checkout.command("check").env("PATH", inside)).exits(101).says(&[
        "error: could not find `cargo` outside of the checkout\n",
        &format!("help: if you trust it, say so with the variable `CARGO={ws}/only/cargo`\n"),
    ]);
    assert!(!checkout.scene.has("ran"));
    let mut trusting = checkout.command("check");
    finish(trusting.env("RUSTC", checkout.ws().join("evil.sh"))).exits(1);
    assert!(checkout.scene.has("ran"), "a variable is the user's word");
}

#[test]
fn programs_of_the_user_go_on_working() {
    let checkout = Checkout::new();
    let scene = &checkout.scene;
    scene.c("int main(void) { return 0; }", "ws/target/release/app", "-g");
    // A compiler and a wrapper by name, on a PATH outside.
    scene.file("bin/own-cc", "#!/bin/sh\nexec cc \"$@\"\n").mode("bin/own-cc", 0o755);
    checkout.config("[build]\nrustc-wrapper = \"sccache\"\n").table("cc = \"own-cc\"\nstrip = true");
    let path = format!("{}:{}", scene.at("bin").display(), std::env::var("PATH").unwrap());
    for words in ["check --allow not-a-runtime", "-o out.zip --allow not-a-runtime"] {
        finish(checkout.command(words).env("PATH", &path)).exits(0);
    }
    // A configuration outside of the checkout is the user's own.
    scene.c("int top(void); int main(void) { return top(); }", "ws/target/release/app", {
        "-g libs/libstd-0123456789abcdef.so"
    });
    checkout.config("").table("");
    let script = format!("#!/bin/sh\necho {}\n", scene.at("libs").display());
    scene.file("own/rustc", script).mode("own/rustc", 0o755);
    scene.file("own/.cargo/config.toml", "[build]\nrustc = \"../own/rustc\"\n");
    let mut command = checkout.command("check -v --allow not-a-runtime");
    let ran = finish(command.env("CARGO_HOME", scene.at("own/.cargo"))).exits(0);
    ran.line("Shipping", "libstd-0123456789abcdef.so");
}

/// Every setting and file of a hostile checkout at once, and each command: what `strace` sees of programs and of writes.
#[test]
fn a_hostile_checkout_is_seen_to_do_nothing() {
    if !tools::require("strace", "strace") {
        return;
    }
    let checkout = Checkout::new();
    let scene = &checkout.scene;
    scene.file("victim", "mine");
    let ws = checkout.ws().display().to_string();
    checkout.config(&format!(
        "[build]\nrustc = \"evil\"\nrustc-wrapper = \"./evil.sh\"\ntarget-dir = \"target\"\n[env]\n\
         PATH = {{ value = \"{ws}\", force = true }}\n[alias]\nmetadata = \"run\"\n"
    ));
    scene.file("ws/CargoLambda.toml", "[build]\ninclude = [\"v:../victim\"]\ncompiler = \"./evil.sh\"\n");
    scene.link("/", "ws/root");
    let outside = scene.path().display();
    let lines = [
        "cc = \"evil\"".to_owned(),
        "strip = true".to_owned(),
        format!("debug-symbols = \"{outside}/debug\""),
        "output = \"../victim\"".to_owned(),
        format!("sbom = \"root{outside}/victim\""),
        format!("licenses = \"{outside}/victim\""),
        "split-layer = \"../../victim\"".to_owned(),
        "include = [\"/proc/self/environ=e\", \"/dev/zero=z\", \"../victim=v\"]".to_owned(),
        "sysroot = \"root\"".to_owned(),
    ];
    // All together, and each of them alone, so that no refusal of one hides what another does.
    let mut tables: Vec<String> = lines.to_vec();
    tables.push(lines.join("\n"));
    for table in tables {
        checkout.table(&format!("{table}\nlibrary-path = [\"../libs\"]\nallow = [\"not-a-runtime\"]"));
        for words in ["check", "size", "explain", "config", "", "--dir"] {
            let ran = checkout.traced(words);
            checkout.check(&format!("{table}: {words}"), &ran.0);
            let foreign: Vec<&String> = ran.1.iter().filter(|path| checkout.is_foreign(path)).collect();
            assert!(foreign.is_empty(), "{table}: {words} touched {foreign:?}: {}", ran.0);
        }
        assert_eq!(scene.text("victim"), "mine", "{table}");
    }
}

impl Checkout {
    /// Runs the tool in `strace`. Returns the files that were started inside the checkout or written, too.
    fn traced(&self, words: &str) -> (Ran, BTreeSet<String>) {
        let mut strace = self.scene.other_command("strace");
        let binary = std::env::var("BUNDLE_BINARY").unwrap_or_else(|_| BINARY.to_owned());
        let trace = self.scene.at("trace");
        let calls = "trace=execve,execveat,openat,open,creat,rename,renameat,renameat2,mkdir,mkdirat,unlink,\
                     unlinkat,rmdir,link,linkat,symlink,symlinkat,chmod,fchmodat,truncate";
        strace.args(["-f", "-qq", "-y", "-s", "4096", "-e", calls, "-o"]).arg(&trace).arg(binary);
        strace.args(words.split_whitespace()).current_dir(self.ws()).env_remove("RUSTUP_TOOLCHAIN");
        let ran =
            finish(strace.env("XDG_CACHE_HOME", self.scene.at("cache")).env("TMPDIR", self.scene.at("libs")));
        let text = std::fs::read_to_string(trace).unwrap();
        let mut touched = BTreeSet::new();
        for line in text.lines() {
            let opened = line.contains(" open") && !line.contains("O_WRONLY") && !line.contains("O_RDWR");
            if line.contains(" = -1 ") || opened || line.contains("resumed") || line.contains("+++") {
                continue;
            }
            let started = line.contains("execve");
            let names = line.split('"').skip(1).step_by(2).take(if started { 1 } else { 2 });
            let base = line.split_once("AT_FDCWD<").and_then(|(_, rest)| rest.split('>').next());
            let base = base.map_or_else(|| self.ws(), PathBuf::from);
            touched.extend(names.map(|name| {
                let path = base.join(name).display().to_string();
                if started { format!("started {path}") } else { path }
            }));
        }
        (ran, touched)
    }

    /// Whether a program is the checkout's, or a written file is none of the checkout's, of the records' or temporary.
    fn is_foreign(&self, path: &str) -> bool {
        match path.strip_prefix("started ") {
            Some(program) => Path::new(program).starts_with(self.ws()),
            None => {
                let allowed = ["ws", "cache", "libs"].map(|name| self.scene.at(name));
                let real = Path::new(path).parent().and_then(|directory| directory.canonicalize().ok());
                let real = real.unwrap_or_else(|| PathBuf::from(path));
                let own = allowed.iter().any(|directory| real.starts_with(directory));
                // rustup and cargo keep records of their own.
                let of_cargo = path.contains("/.rustup/") || path.contains("/.cargo/");
                !own && !of_cargo && !path.starts_with("/dev/") && !path.starts_with("/proc/self/")
            }
        }
    }
}
