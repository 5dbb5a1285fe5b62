//! Finding built programs, with the real cargo on small projects without dependencies.
//!
//! Most rows put a stand-in where cargo would have put the program; those on build scripts and sources build.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_lambda_bundle::environment::Environment;
use cargo_lambda_bundle::error::Error;
use cargo_lambda_bundle::workspace::{
    BuiltProgram, LibraryDirOrigin, Origin, Selection, find, rustc_target_libdir,
};
use tempfile::TempDir;

const X86_64: u8 = 62;
const AARCH64: u8 = 183;
const GNU: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";

/// A project in a directory of its own, with the environment pinned.
struct Fixture {
    _keep: TempDir,
    root: Utf8PathBuf,
    environment: Environment,
}

impl Fixture {
    fn new(files: &[(&str, &str)]) -> Fixture {
        let keep = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(keep.path().canonicalize().unwrap()).unwrap();
        // rustup's proxies need these to start the real cargo and rustc.
        let kept = ["PATH", "HOME", "CARGO", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "SYSTEMROOT"];
        let mut vars: Vec<(OsString, OsString)> =
            kept.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect();
        vars.push(("CARGO_HOME".into(), root.join("cargo-home").into_string().into()));
        let project = root.join("project");
        let environment = Environment { current_dir: project, vars };
        let fixture = Fixture { _keep: keep, root, environment };
        fs::create_dir(fixture.path("")).unwrap();
        for (path, text) in files {
            fixture.file(path, text);
        }
        fixture
    }

    fn path(&self, path: &str) -> Utf8PathBuf {
        self.root.join("project").join(path)
    }

    fn file(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// A stand-in for a built program, as far as it is looked at; `mark` makes it differ from others.
    fn program(&self, path: &str, machine: u8, mark: &str) -> &Self {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend([machine, 0]);
        bytes.extend(mark.as_bytes());
        self.file(path, bytes);
        self
    }

    fn var(mut self, name: &str, value: &str) -> Fixture {
        self.environment.vars.push((name.into(), value.into()));
        self
    }

    fn without_var(mut self, name: &str) -> Fixture {
        self.environment.vars.retain(|(key, _)| key != name);
        self
    }

    fn in_dir(mut self, path: &str) -> Fixture {
        self.environment.current_dir = self.path(path);
        self
    }

    fn cargo(&self, args: &[&str]) {
        let mut command = Command::new("cargo");
        command.env_clear().envs(self.environment.vars.iter().map(|(name, value)| (name, value)));
        let output = command.current_dir(&self.environment.current_dir).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn find(&self, selection: &Selection) -> Vec<BuiltProgram> {
        find(selection, &self.environment).unwrap_or_else(|error| panic!("{}", self.text(&error)))
    }

    /// One line for each artifact: package, name, where from, target, profile, path.
    #[track_caller]
    fn check(&self, selection: Selection, expected: &[&str]) {
        let lines: Vec<String> = self.find(&selection).iter().map(|artifact| self.line(artifact)).collect();
        assert_eq!(lines, expected);
    }

    fn line(&self, artifact: &BuiltProgram) -> String {
        assert!(artifact.path.is_absolute());
        let origin = match artifact.origin {
            Origin::Cargo => "cargo",
            Origin::CargoLambda => "cargo-lambda",
            Origin::Built => "built",
        };
        let target = artifact.target.as_deref().unwrap_or("-");
        let profile = artifact.profile.as_deref().unwrap_or("-");
        let path = artifact.path.strip_prefix(self.path("")).unwrap_or(&artifact.path);
        format!("{} {} {origin} {target} {profile} {path}", artifact.package, artifact.name)
    }

    /// The error as printed, with the project's directory as `[P]`.
    #[track_caller]
    fn check_error(&self, selection: Selection, expected: &[&str]) {
        let error = find(&selection, &self.environment).unwrap_err();
        assert_eq!(self.text(&error).lines().collect::<Vec<_>>(), expected);
    }

    fn text(&self, error: &Error) -> String {
        let mut text = error.to_string();
        for cause in error.causes() {
            text.push_str(&format!("\ncaused by: {cause}"));
        }
        if let Some(help) = error.help_text() {
            text.push_str(&format!("\nhelp: {help}"));
        }
        text.replace(self.root.join("project").as_str(), "[P]")
    }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn all() -> Selection {
    Selection::default()
}

fn packages(names: &[&str]) -> Selection {
    Selection { packages: strings(names), ..all() }
}

fn bins(names: &[&str]) -> Selection {
    Selection { bins: strings(names), ..all() }
}

fn targets(names: &[&str]) -> Selection {
    Selection { targets: strings(names), ..all() }
}

fn profile(name: &str) -> Selection {
    Selection { profile: Some(name.to_owned()), ..all() }
}

fn manifest(name: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"1.23.4\"\nedition = \"2021\"\n")
}

const MAIN: &str = "fn main() {}\n";

/// One package, one binary: `orders`.
fn single() -> Fixture {
    Fixture::new(&[("Cargo.toml", &manifest("orders")), ("src/main.rs", MAIN)])
}

/// A virtual workspace of `a` and `b`; both have a binary of that name.
fn workspace(root: &str) -> Fixture {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &format!("[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n{root}")),
        ("a/Cargo.toml", &manifest("a")),
        ("a/src/main.rs", MAIN),
        ("b/Cargo.toml", &manifest("b")),
        ("b/src/main.rs", MAIN),
    ]);
    fixture.program("target/release/a", X86_64, "a").program("target/release/b", X86_64, "b");
    fixture
}

#[test]
fn a_package_has_its_main_its_src_bin_and_its_renamed_binaries() {
    let renamed = "[[bin]]\nname = \"renamed-bin\"\npath = \"src/other.rs\"\n";
    let fixture = Fixture::new(&[
        ("Cargo.toml", &(manifest("orders") + renamed)),
        ("src/main.rs", MAIN),
        ("src/other.rs", MAIN),
        ("src/bin/admin.rs", MAIN),
        ("src/bin/import/main.rs", MAIN),
        ("src/lib.rs", ""),
    ]);
    for name in ["admin", "import", "orders", "other", "renamed-bin"] {
        fixture.program(&format!("target/release/{name}"), X86_64, name);
    }
    let expected = [
        "orders admin cargo - release target/release/admin",
        "orders import cargo - release target/release/import",
        "orders orders cargo - release target/release/orders",
        "orders renamed-bin cargo - release target/release/renamed-bin",
    ];
    fixture.check(all(), &expected);
    fixture.check(Selection { all_bins: true, ..all() }, &expected);
    fixture.check(bins(&["renamed-bin", "admin"]), &[expected[0], expected[3]]);
    fixture.check(bins(&["*-bin"]), &[expected[3]]);
}

#[test]
fn metadata_from_a_file_takes_the_place_of_cargo() {
    let fixture = single();
    fixture.program("target/release/orders", X86_64, "").program("elsewhere/release/orders", X86_64, "");
    let mut command = Command::new("cargo");
    command.env_clear().envs(fixture.environment.vars.iter().map(|(name, value)| (name, value)));
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    let output = command.current_dir(&fixture.environment.current_dir).output().unwrap();
    fixture.file("metadata.json", output.stdout);
    let fixture = fixture.without_var("CARGO").var("CARGO", "/nowhere/cargo");
    let from = |path: &str| Selection { metadata_path: Some(path.into()), ..all() };
    fixture.check(from("metadata.json"), &["orders orders cargo - release target/release/orders"]);
    let elsewhere = Selection { target_dir: Some("elsewhere".into()), ..from("metadata.json") };
    fixture.check(elsewhere, &["orders orders cargo - release elsewhere/release/orders"]);

    let help = "help: write it with `cargo metadata --format-version 1 --no-deps > FILE`";
    fixture.check_error(from("none.json"), &["`none.json`, for `--metadata-path`, does not exist", help]);
    fixture.file("metadata.json", "{}");
    let error = find(&from("metadata.json"), &fixture.environment).unwrap_err();
    assert_eq!(error.to_string(), "`metadata.json` is not the output of `cargo metadata`");
}

#[test]
fn an_example_is_a_program_only_when_named() {
    let fixture = single();
    fixture.file("examples/try-me.rs", MAIN);
    fixture.program("target/release/orders", X86_64, "").program(
        "target/release/examples/try-me",
        X86_64,
        "",
    );
    fixture.check(all(), &["orders orders cargo - release target/release/orders"]);
    fixture.check(
        Selection { examples: strings(&["try-me"]), ..all() },
        &["orders try-me cargo - release target/release/examples/try-me"],
    );
}

#[test]
fn a_workspace_is_selected_as_cargo_does() {
    let a = "a a cargo - release target/release/a";
    let b = "b b cargo - release target/release/b";
    let fixture = workspace("");
    fixture.check(all(), &[a, b]);
    fixture.check(packages(&["b"]), &[b]);
    fixture.check(packages(&["b@1.23", "a@1.23.4"]), &[a, b]);
    fixture.check(packages(&["[ab]"]), &[a, b]);
    fixture.check(packages(&[&format!("path+file://{}", fixture.path("b"))]), &[b]);
    fixture.check(Selection { workspace: true, exclude: strings(&["a"]), ..all() }, &[b]);
    let manifest_path = Some("b/Cargo.toml".into());
    fixture.check(Selection { manifest_path, ..all() }, &[b]);

    let fixture = workspace("default-members = [\"a\"]\n");
    fixture.check(all(), &[a]);
    fixture.check(Selection { workspace: true, ..all() }, &[a, b]);
    fixture.in_dir("b/src").check(all(), &[b]);
}

#[test]
fn the_profile_has_a_directory() {
    let fixture = single();
    fixture.file("Cargo.toml", manifest("orders") + "[profile.lambda]\ninherits = \"release\"\n");
    fixture.program("target/debug/orders", X86_64, "").program("target/lambda/orders", X86_64, "");
    fixture.check(profile("dev"), &["orders orders cargo - dev target/debug/orders"]);
    fixture.check(profile("test"), &["orders orders cargo - test target/debug/orders"]);
    fixture.check(profile("lambda"), &["orders orders cargo - lambda target/lambda/orders"]);
    fixture.program("target/release/orders", X86_64, "");
    fixture.check(profile("bench"), &["orders orders cargo - bench target/release/orders"]);
}

#[test]
fn a_target_has_a_directory() {
    let fixture = single();
    for target in [GNU, ARM, "foo"] {
        fixture.program(&format!("target/{target}/release/orders"), X86_64, target);
    }
    let expected =
        |target: &str| format!("orders orders cargo {target} release target/{target}/release/orders");
    fixture.check(targets(&[GNU]), &[&expected(GNU)]);
    fixture.check(targets(&[GNU, ARM, GNU]), &[&expected(GNU), &expected(ARM)]);
    fixture.check(targets(&["x86_64-unknown-linux-gnu.2.34"]), &[&expected(GNU)]);
    fixture.check(targets(&["path/to/foo.json"]), &[&expected("foo")]);
}

#[test]
fn the_configuration_names_the_target() {
    let fixture = single();
    let gnu = format!("orders orders cargo {GNU} release target/{GNU}/release/orders");
    let arm = format!("orders orders cargo {ARM} release target/{ARM}/release/orders");
    fixture.program(&format!("target/{GNU}/release/orders"), X86_64, "x");
    fixture.program(&format!("target/{ARM}/release/orders"), AARCH64, "a");
    fixture.program("target/release/orders", X86_64, "host");

    fixture.file("../cargo-home/config.toml", format!("[build]\ntarget = \"{GNU}\"\n"));
    fixture.check(all(), &[&gnu]);
    fixture.file(".cargo/config.toml", format!("[build]\ntarget = \"{ARM}\"\n"));
    fixture.check(all(), &[&arm]);
    fixture.check(targets(&[GNU]), &[&gnu]);
    // Arrays of several files are joined.
    fixture.file("../cargo-home/config.toml", format!("[build]\ntarget = [\"{GNU}\"]\n"));
    fixture.file(".cargo/config.toml", format!("[build]\ntarget = [\"{ARM}\"]\n"));
    fixture.check(all(), &[&gnu, &arm]);
    let fixture = fixture.var("CARGO_BUILD_TARGET", ARM);
    fixture.check(all(), &[&arm]);
}

#[test]
fn host_tuple_is_the_triple_of_the_host() {
    let fixture = single();
    fixture.cargo(&["build", "--target", "host-tuple"]);
    let selection = Selection { targets: strings(&["host-tuple"]), ..profile("dev") };
    let found = fixture.find(&selection);
    let target = found[0].target.as_deref().unwrap();
    assert_eq!(found[0].path, fixture.path(&format!("target/{target}/debug/orders")));
}

#[test]
fn the_target_directory_may_be_elsewhere() {
    let fixture = single();
    fixture.program("configured/release/orders", X86_64, "");
    fixture.program("variable/release/orders", X86_64, "");
    fixture.program("flag/release/orders", X86_64, "");
    fixture.file(".cargo/config.toml", "[build]\ntarget-dir = \"configured\"\n");
    fixture.check(all(), &["orders orders cargo - release configured/release/orders"]);
    let fixture = fixture.var("CARGO_TARGET_DIR", "variable");
    fixture.check(all(), &["orders orders cargo - release variable/release/orders"]);
    let flag = Selection { target_dir: Some("flag".into()), ..all() };
    fixture.check(flag, &["orders orders cargo - release flag/release/orders"]);
}

#[test]
fn the_only_target_on_disk_is_meant_and_several_are_a_question() {
    let fixture = single();
    fixture.program(&format!("target/{GNU}/release/orders"), X86_64, "x");
    // A target directory of another tool within ours.
    fixture.program("target/llvm-cov-target/release/orders", X86_64, "x");
    fixture.file("target/llvm-cov-target/.rustc_info.json", "{}");
    let gnu = format!("orders orders cargo {GNU} release target/{GNU}/release/orders");
    fixture.check(all(), &[&gnu]);
    // The host's own build on macOS is no ELF file.
    fixture.file("target/release/orders", b"\xcf\xfa\xed\xfe and so on");
    fixture.check(all(), &[&gnu]);
    fixture.program("target/release/orders", X86_64, "host");
    fixture.program(&format!("target/{ARM}/release/orders"), AARCH64, "a");
    fixture.check_error(
        all(),
        &[
            "`orders` is built for several targets",
            "  target/release/orders",
            "  target/aarch64-unknown-linux-gnu/release/orders",
            "  target/x86_64-unknown-linux-gnu/release/orders",
            "help: choose one: `cargo lambda-bundle --target aarch64-unknown-linux-gnu -p orders --bin orders`, \
             or build the right one with `--build`",
        ],
    );
}

#[test]
fn cargo_lambdas_place_comes_after_cargos() {
    let fixture = single();
    let moved = "target/lambda/orders/bootstrap";
    fixture.program(moved, AARCH64, "");
    let expected = |target: &str| format!("orders orders cargo-lambda {target} - {moved}");
    fixture.check(all(), &[&expected("-")]);
    fixture.check(targets(&[ARM]), &[&expected(ARM)]);
    // For another machine than the target that was named, it is a leftover.
    fixture.program(&format!("target/{GNU}/release/orders"), X86_64, "");
    let gnu = format!("orders orders cargo {GNU} release target/{GNU}/release/orders");
    fixture.check(targets(&[GNU]), &[&gnu]);
    fixture.check(targets(&[GNU, ARM]), &[&gnu, &expected(ARM)]);

    let fixture = single();
    fixture.program(moved, AARCH64, "");
    // The host's own build on macOS.
    fixture.file("target/release/orders", b"\xcf\xfa\xed\xfe and so on");
    fixture.check(all(), &[&expected("-")]);

    let fixture = single();
    fixture.program("target/lambda/extensions/orders", X86_64, "");
    fixture.check(all(), &["orders orders cargo-lambda - - target/lambda/extensions/orders"]);
}

#[test]
fn a_program_named_bootstrap_is_not_another_function() {
    let fixture = single();
    fixture.file("Cargo.toml", manifest("bootstrap"));
    fixture.program("target/lambda/release/bootstrap", X86_64, "a function named `release`");
    let error = find(&targets(&[GNU]), &fixture.environment).unwrap_err();
    assert!(!error.to_string().contains("there is"), "{error}");
    assert!(find(&all(), &fixture.environment).is_err());
    fixture.program("target/lambda/bootstrap/bootstrap", X86_64, "");
    fixture.check(all(), &["bootstrap bootstrap cargo-lambda - - target/lambda/bootstrap/bootstrap"]);
}

#[test]
fn two_builds_that_differ_are_a_question() {
    let fixture = single();
    fixture.program("target/release/orders", X86_64, "one");
    fixture.program("target/lambda/orders/bootstrap", X86_64, "one");
    fixture.check(all(), &["orders orders cargo - release target/release/orders"]);

    fixture.program("target/lambda/orders/bootstrap", X86_64, "two");
    let old = SystemTime::now() - Duration::from_secs(60);
    set_modified(&fixture.path("target/release/orders"), old);
    fixture.check_error(
        all(),
        &[
            "there are two builds of `orders`, and they differ",
            "  target/lambda/orders/bootstrap (newer)",
            "  target/release/orders",
            "help: remove one, or name one, for example `--binary target/lambda/orders/bootstrap`",
        ],
    );
}

fn set_modified(path: &Utf8Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_program_that_is_not_built_shows_the_paths_and_the_command() {
    let fixture = single();
    fixture.program("target/debug/orders", X86_64, "");
    fixture.file("target/lambda/orders/bootstrap.zip", "");
    fixture.check_error(
        targets(&["x86_64-unknown-linux-gnu.2.34"]),
        &[
            "`orders` is not built",
            "  tried target/x86_64-unknown-linux-gnu/release/orders",
            "  tried target/lambda/orders/bootstrap",
            "  tried target/lambda/extensions/orders",
            "  found target/debug/orders, for another profile or target",
            "  found target/lambda/orders/bootstrap.zip: \
             `cargo lambda-bundle verify target/lambda/orders/bootstrap.zip` checks a ZIP",
            "help: run `cargo zigbuild --release --target x86_64-unknown-linux-gnu.2.34 -p orders --bin orders`",
        ],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn each_selected_program_must_be_built() {
    let fixture = workspace("");
    fs::remove_file(fixture.path("target/release/a")).unwrap();
    fixture.check(packages(&["b"]), &["b b cargo - release target/release/b"]);
    fixture.check_error(
        Selection { locked: true, ..all() },
        &[
            "`a` is not built",
            "  tried target/release/a",
            "  tried target/*/release/a",
            "  tried target/lambda/a/bootstrap",
            "  tried target/lambda/extensions/a",
            "help: run `cargo build --release -p a --bin a --locked`",
        ],
    );
}

#[test]
fn a_binary_whose_features_are_off_may_be_missing_unless_named() {
    let fixture = single();
    let extra = "[features]\nextra = []\n[[bin]]\nname = \"extra\"\nrequired-features = [\"extra\"]\n";
    fixture.file("Cargo.toml", manifest("orders") + extra);
    fixture.file("src/bin/extra.rs", MAIN);
    fixture.program("target/release/orders", X86_64, "");
    let orders = "orders orders cargo - release target/release/orders";
    fixture.check(all(), &[orders]);
    let error = find(&bins(&["extra", "orders"]), &fixture.environment).unwrap_err();
    assert!(error.help_text().unwrap().contains("-p orders --bin extra --features extra"), "{error:?}");
    fixture
        .check(Selection { build: true, ..all() }, &["orders orders built - release target/release/orders"]);
    fixture.program("target/release/extra", X86_64, "");
    fixture.check(all(), &["orders extra cargo - release target/release/extra", orders]);
}

#[test]
fn a_build_that_passes_over_all_programs_names_the_features() {
    let extra = "[features]\nextra = []\n[[bin]]\nname = \"extra\"\nrequired-features = [\"extra\"]\n";
    let fixture = Fixture::new(&[("Cargo.toml", &(manifest("orders") + extra)), ("src/bin/extra.rs", MAIN)]);
    fixture.check_error(
        Selection { build: true, ..all() },
        &["`cargo build --release` did not build `extra`", "help: add `--features extra`"],
    );
}

#[test]
fn a_selection_without_a_match_lists_what_there_is() {
    let fixture = workspace("");
    fixture.file("b/examples/demo.rs", MAIN);
    let listing = ["  package `a`: binary `a`", "  package `b`: binary `b`", "  package `b`: example `demo`"];
    fixture.check_error(
        packages(&["aa"]),
        &["no package `aa` in the workspace `[P]`", "  its packages: `a`, `b`", "help: did you mean `-p a`?"],
    );
    fixture.check_error(
        packages(&["a@1.2"]),
        &[
            "no package `a@1.2` in the workspace `[P]`",
            "  its packages: `a`, `b`",
            "help: did you mean `-p a`?",
        ],
    );
    fixture.check_error(
        bins(&["orders"]),
        &["no binary `orders` in packages `a`, `b`", listing[0], listing[1], listing[2]],
    );
    fixture.check_error(
        Selection { bins: strings(&["b"]), ..packages(&["a"]) },
        &[
            "no binary `b` in package `a`",
            listing[0],
            listing[1],
            listing[2],
            "help: select its package: `-p b --bin b`",
        ],
    );
    fixture.check_error(
        bins(&["demo"]),
        &[
            "no binary `demo` in packages `a`, `b`",
            listing[0],
            listing[1],
            listing[2],
            "help: did you mean `--example demo`?",
        ],
    );
    fixture.check_error(
        Selection { workspace: true, exclude: strings(&["c"]), ..all() },
        &[
            "no package `c` in the workspace `[P]`",
            "  its packages: `a`, `b`",
            "help: did you mean `--exclude a`?",
        ],
    );
    fixture.check_error(
        Selection { exclude: strings(&["a"]), ..all() },
        &["`--exclude` needs `--workspace`", "help: add `--workspace`, or select packages with `-p`"],
    );
}

#[test]
fn a_library_has_no_program() {
    let fixture = Fixture::new(&[("Cargo.toml", &manifest("orders")), ("src/lib.rs", "")]);
    fixture.check_error(
        all(),
        &["no binary in package `orders`", "help: name a program from elsewhere with `--binary PATH`"],
    );
}

#[test]
fn two_packages_with_one_binary_name_are_a_question() {
    let fixture = workspace("");
    fixture.file("b/src/bin/a.rs", MAIN);
    fixture.check_error(
        all(),
        &[
            "packages `a` and `b` both have binary `a`, and cargo writes both to the same path",
            "help: select one package with `-p`, for example `-p a`",
        ],
    );
    fixture.check(packages(&["a"]), &["a a cargo - release target/release/a"]);
}

#[test]
fn without_a_project_the_directory_is_named() {
    let fixture = Fixture::new(&[]);
    let error = find(&all(), &fixture.environment).unwrap_err();
    let text = fixture.text(&error);
    assert!(
        text.starts_with("`[P]` is not in a cargo project\ncaused by: could not find `Cargo.toml`"),
        "{text}"
    );
    assert!(text.contains("`--binary PATH`"), "{text}");
}

#[test]
fn a_project_that_cargo_cannot_read_is_named() {
    let fixture = single();
    fixture.file("Cargo.toml", "[package\n");
    let text = fixture.text(&find(&all(), &fixture.environment).unwrap_err());
    assert!(text.starts_with("could not read the cargo project `[P]/Cargo.toml`\ncaused by: "), "{text}");
    let selection = Selection { manifest_path: Some("no/Cargo.toml".into()), ..all() };
    let text = fixture.text(&find(&selection, &fixture.environment).unwrap_err());
    assert!(text.starts_with("could not read the cargo project `no/Cargo.toml`\ncaused by: "), "{text}");
}

#[test]
fn without_cargo_the_next_step_is_said() {
    let fixture = single().without_var("CARGO").without_var("PATH").var("PATH", "/nonexistent");
    let error = find(&all(), &fixture.environment).unwrap_err();
    assert_eq!(error.to_string(), "could not find `cargo`");
    assert!(error.help_text().unwrap().contains("--binary PATH"));
    let fixture = fixture.var("CARGO", "/nonexistent/cargo");
    let error = find(&all(), &fixture.environment).unwrap_err();
    assert_eq!(error.to_string(), "could not start `/nonexistent/cargo`");
}

/// A package whose build script leaves directories with libraries.
fn with_build_script() -> Fixture {
    let fixture = single();
    fixture.file("elsewhere/lib.txt", "");
    fixture.file(
        "build.rs",
        r#"fn main() {
            let out = std::env::var("OUT_DIR").unwrap();
            let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
            for name in ["z", "a"] {
                std::fs::create_dir_all(format!("{out}/{name}")).unwrap();
                println!("cargo::rustc-link-search=native={out}/{name}");
            }
            println!("cargo:rustc-link-search={here}/elsewhere");
            println!("cargo:rustc-link-search=native={here}/gone");
            println!("cargo:rustc-link-search=framework={here}/src");
        }"#,
    );
    fixture
}

/// The directories with why they count; hashes are cut off.
fn library_dirs(fixture: &Fixture, artifact: &BuiltProgram) -> Vec<String> {
    let line = |dir: &cargo_lambda_bundle::workspace::LibraryDir| {
        let why = match &dir.origin {
            LibraryDirOrigin::BuildScript { package } => format!("{package}'s"),
            LibraryDirOrigin::LinkSearch { package } => format!("{package}'s, outside"),
            LibraryDirOrigin::Profile => "profile".to_owned(),
            LibraryDirOrigin::Deps => "deps".to_owned(),
            LibraryDirOrigin::Rustc => "rustc".to_owned(),
        };
        assert!(dir.path.is_dir() && !dir.path.as_str().ends_with('/'), "{}", dir.path);
        let path = dir.path.strip_prefix(fixture.path("")).unwrap_or(&dir.path);
        let names: Vec<&str> = path
            .iter()
            .map(|name| match name.rsplit_once('-') {
                Some((name, hash)) if hash.len() == 16 => name,
                _ => name,
            })
            .collect();
        format!("{} {why}", names.join("/"))
    };
    artifact.library_dirs.iter().map(line).collect()
}

#[test]
fn the_directories_of_build_scripts_are_found_with_and_without_building() {
    let fixture = with_build_script();
    let built = fixture.find(&Selection { build: true, ..all() });
    assert_eq!(fixture.line(&built[0]), "orders orders built - release target/release/orders");
    assert_eq!(built[0].newer_source, None);
    assert_eq!(
        library_dirs(&fixture, &built[0]),
        [
            "target/release/build/orders/out/a orders's",
            "target/release/build/orders/out/z orders's",
            "target/release profile",
            "target/release/deps deps",
            "elsewhere orders's, outside",
        ]
    );
    // The record has the order in which the script printed.
    let by_record = [
        "target/release/build/orders/out/z orders's",
        "target/release/build/orders/out/a orders's",
        "target/release profile",
        "target/release/deps deps",
        "elsewhere orders's, outside",
    ];
    let found = fixture.find(&all());
    assert_eq!(fixture.line(&found[0]), "orders orders cargo - release target/release/orders");
    assert_eq!(library_dirs(&fixture, &found[0]), by_record);

    // A target directory that moved (a cache, a container's mount) keeps the old paths in its records.
    fs::rename(fixture.path("target"), fixture.path("moved")).unwrap();
    let moved = fixture.find(&Selection { target_dir: Some("moved".into()), ..all() });
    let by_record: Vec<String> = by_record.iter().map(|line| line.replace("target/", "moved/")).collect();
    assert_eq!(library_dirs(&fixture, &moved[0]), by_record);

    // cargo-lambda moves the program and says neither target nor profile.
    fs::create_dir_all(fixture.path("moved/lambda/orders")).unwrap();
    let bootstrap = fixture.path("moved/lambda/orders/bootstrap");
    fs::rename(fixture.path("moved/release/orders"), &bootstrap).unwrap();
    set_modified(&bootstrap, SystemTime::now() - Duration::from_secs(3600));
    let selection = Selection { target_dir: Some("moved".into()), ..profile("dev") };
    let moved = fixture.find(&selection);
    assert_eq!(moved[0].origin, Origin::CargoLambda);
    assert_eq!(library_dirs(&fixture, &moved[0]), by_record);
    assert_eq!(moved[0].newer_source, Some(fixture.path("build.rs")));
}

#[test]
fn the_build_directory_has_the_records() {
    let fixture = with_build_script().var("CARGO_BUILD_BUILD_DIR", "intermediate");
    fixture.cargo(&["build", "--release", "--target", GNU]);
    let found = fixture.find(&all());
    assert_eq!(found[0].target.as_deref(), Some(GNU));
    assert_eq!(
        library_dirs(&fixture, &found[0]),
        [
            "intermediate/x86_64-unknown-linux-gnu/release/build/orders/out/z orders's",
            "intermediate/x86_64-unknown-linux-gnu/release/build/orders/out/a orders's",
            "target/x86_64-unknown-linux-gnu/release profile",
            "intermediate/x86_64-unknown-linux-gnu/release/deps deps",
            "elsewhere orders's, outside",
        ]
    );
}

#[test]
fn a_record_of_the_newer_layout_counts() {
    let fixture = single();
    fixture.program("target/release/orders", X86_64, "");
    let run = "target/release/build/my-sys/0123456789abcdef";
    fixture.file(&format!("{run}/out/lib.txt"), "");
    fixture.file(&format!("{run}/run/root-output"), fixture.path(&format!("{run}/out")).as_str());
    let search = format!("cargo::rustc-link-search=native={}\n", fixture.path(&format!("{run}/out")));
    fixture.file(&format!("{run}/run/stdout"), search);
    let found = fixture.find(&all());
    let expected = ["target/release/build/my-sys/0123456789abcdef/out my-sys's", "target/release profile"];
    assert_eq!(library_dirs(&fixture, &found[0]), expected);
}

#[test]
fn the_newest_record_comes_first() {
    let fixture = single();
    fixture.program("target/release/orders", X86_64, "");
    for (hash, age) in [("0000000000000000", 60), ("1111111111111111", 0), ("2222222222222222", 30)] {
        let run = format!("target/release/build/my-sys-{hash}");
        fixture.file(&format!("{run}/out/lib.txt"), "");
        let search = format!("cargo:rustc-link-search={}\n", fixture.path(&format!("{run}/out")));
        fixture.file(&format!("{run}/output"), search);
        set_modified(&fixture.path(&format!("{run}/output")), SystemTime::now() - Duration::from_secs(age));
    }
    let found = fixture.find(&all());
    let order: Vec<&str> = found[0]
        .library_dirs
        .iter()
        .filter_map(|dir| dir.path.parent()?.as_str().rsplit_once('-'))
        .map(|it| it.1)
        .collect();
    assert_eq!(order[..3], ["1111111111111111", "2222222222222222", "0000000000000000"]);
}

#[test]
fn building_for_several_targets_keeps_their_order() {
    let fixture = with_build_script();
    fixture.file("examples/demo.rs", MAIN);
    let musl = "x86_64-unknown-linux-musl";
    let libdir = rustc_target_libdir(Some(musl), &fixture.environment);
    let asked = if libdir.is_some() { vec![musl, GNU] } else { vec![GNU] };
    let selection = Selection { build: true, targets: strings(&asked), ..bins(&["orders"]) };
    let lines: Vec<String> = asked
        .iter()
        .map(|it| format!("orders orders built {it} release target/{it}/release/orders"))
        .collect();
    fixture.check(selection.clone(), &lines.iter().map(String::as_str).collect::<Vec<_>>());
    for artifact in fixture.find(&selection) {
        let target = artifact.target.as_deref().unwrap();
        let own = format!("target/{target}/release/build/orders/out/a orders's");
        assert_eq!(library_dirs(&fixture, &artifact)[0], own);
    }
    let selection = Selection { build: true, examples: strings(&["demo"]), ..all() };
    fixture.check(selection, &["orders demo built - release target/release/examples/demo"]);
}

#[test]
fn a_build_that_cannot_be_done_says_so() {
    let fixture = single();
    fixture.check_error(
        Selection { build: true, ..targets(&["x86_64-unknown-linux-gnu.2.34"]) },
        &[
            "cargo cannot build for `x86_64-unknown-linux-gnu.2.34`: it has a libc version",
            "help: add `--build-with zigbuild`, or say `--target x86_64-unknown-linux-gnu`",
        ],
    );
    fixture.file("src/main.rs", "fn main() { nonsense }");
    let selection = Selection { build: true, features: vec![], all_features: true, ..profile("dev") };
    fixture.check_error(
        selection,
        &["`cargo build --profile dev --all-features` failed", "caused by: exit status: 101"],
    );
}

#[test]
fn a_source_that_is_newer_is_named() {
    let renamed = "[[bin]]\nname = \"my-orders\"\npath = \"src/with space.rs\"\n";
    let fixture = Fixture::new(&[
        ("Cargo.toml", &(manifest("orders") + renamed)),
        ("src/with space.rs", "mod part;\nfn main() {}\n"),
        ("src/part.rs", ""),
    ]);
    fixture.cargo(&["build"]);
    assert_eq!(fixture.find(&profile("dev"))[0].newer_source, None);
    let later = SystemTime::now() + Duration::from_secs(60);
    set_modified(&fixture.path("src/with space.rs"), later);
    let found = fixture.find(&profile("dev"));
    assert_eq!(found[0].newer_source, Some(fixture.path("src/with space.rs")));
    assert!(found[0].modified < later);
    set_modified(&fixture.path("src/part.rs"), later);
    assert_eq!(fixture.find(&profile("dev"))[0].newer_source, Some(fixture.path("src/part.rs")));
    fixture.file(".cargo/config.toml", "[build]\ndep-info-basedir = \".\"\n");
    set_modified(&fixture.path("src/part.rs"), SystemTime::now() - Duration::from_secs(60));
    set_modified(&fixture.path("src/with space.rs"), SystemTime::now() - Duration::from_secs(60));
    fixture.cargo(&["build"]);
    set_modified(&fixture.path("src/part.rs"), later);
    let fixture = fixture.in_dir("src");
    assert_eq!(fixture.find(&profile("dev"))[0].newer_source, Some(fixture.path("src/part.rs")));
}

#[test]
fn rustcs_library_directory_has_libstd() {
    let fixture = single();
    let directory = rustc_target_libdir(None, &fixture.environment).unwrap();
    let has_std = |entry: camino::Utf8DirEntry| entry.file_name().starts_with("libstd-");
    assert!(directory.read_dir_utf8().unwrap().any(|entry| has_std(entry.unwrap())), "{directory}");
    assert_eq!(rustc_target_libdir(Some("nonsense"), &fixture.environment), None);
}
