//! The program is the one that was asked for, whatever cargo built into the target directory; with the real cargo.

use std::fs;
use std::process::Command;

use cargo_lambda_bundle::workspace::{Selection, find};

use super::{GNU, Project, X86_64, all, bins, manifest, packages, profile, single, targets};

const MUSL: &str = "x86_64-unknown-linux-musl";
const BOOTSTRAP: &str = "[[bin]]\nname = \"bootstrap\"\npath = \"src/main.rs\"\n";

fn says(text: &str) -> String {
    format!("fn main() {{ println!(\"{text}\"); }}\n")
}

/// Two packages with one binary name.
fn two_packages() -> Project {
    Project::new(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n"),
        ("a/Cargo.toml", &(manifest("fa") + BOOTSTRAP)),
        ("a/src/main.rs", &says("of fa")),
        ("b/Cargo.toml", &(manifest("fb") + BOOTSTRAP)),
        ("b/src/main.rs", &says("of fb")),
    ])
}

#[test]
fn a_package_may_lie_in_the_directory_of_another() {
    let project = Project::new(&[
        ("Cargo.toml", &format!("[workspace]\nmembers = [\"a\"]\n{}{BOOTSTRAP}", manifest("outer"))),
        ("src/main.rs", &says("of outer")),
        ("a/Cargo.toml", &(manifest("inner") + BOOTSTRAP)),
        ("a/src/main.rs", &says("of inner")),
    ]);
    project.cargo("build --release --workspace");
    let kept = Command::new(project.path_to("target/release/bootstrap")).output().unwrap();
    let (own, other) = if kept.stdout == b"of outer\n" { ("outer", "inner") } else { ("inner", "outer") };
    assert_eq!(project.output(&packages(&[own])).unwrap(), format!("of {own}"));
    let first = format!(
        "`target/release/bootstrap` is not `bootstrap` of package `{other}`: it was built from package `{own}`"
    );
    project.refused_then(&packages(&[other]), &first, &format!("of {other}"));
    fs::remove_dir_all(project.path_to("target/release/.fingerprint")).unwrap();
    assert_eq!(project.output(&packages(&[other])).unwrap(), format!("of {other}"));
    assert!(project.output(&packages(&[own])).unwrap_err().contains("main.rs`\nhelp: run `cargo build"));
}

impl Project {
    /// What the found program prints, or the error.
    fn output(&self, selection: &Selection) -> Result<String, String> {
        match find(selection, &self.environment) {
            Ok(found) => {
                let output = Command::new(&found[0].path).output().unwrap();
                Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
            }
            Err(error) => Err(self.text(&error)),
        }
    }

    /// Follows the help of an error by the letter: the commands between its backticks.
    fn follow(&self, error: &str) {
        let (_, help) = error.split_once("help: run `").unwrap_or_else(|| panic!("{error}"));
        for command in help.split_once('`').unwrap().0.split(" && ") {
            self.cargo(command.strip_prefix("cargo ").unwrap());
        }
    }

    /// The program is refused with this first line; after its help it is `output`.
    #[track_caller]
    fn refused_then(&self, selection: &Selection, first: &str, output: &str) -> String {
        let error = self.output(selection).unwrap_err();
        assert_eq!(error.lines().next().unwrap(), first, "{error}");
        self.follow(&error);
        assert_eq!(self.output(selection).unwrap(), output);
        error
    }
}

#[test]
fn of_two_packages_with_one_binary_name_each_gets_its_own() {
    let project = two_packages();
    project.cargo("build --release");
    // cargo keeps one of the two.
    let kept = Command::new(project.path_to("target/release/bootstrap")).output().unwrap();
    let (own, other) = if kept.stdout == b"of fa\n" { ("fa", "fb") } else { ("fb", "fa") };
    assert_eq!(project.output(&packages(&[own])).unwrap(), format!("of {own}"));
    let first = format!(
        "`target/release/bootstrap` is not `bootstrap` of package `{other}`: it was built from package `{own}`"
    );
    let error = project.refused_then(&packages(&[other]), &first, &format!("of {other}"));
    assert!(error.ends_with(&format!("help: run `cargo build --release -p {other} --bin bootstrap`")));
    // And back.
    let first = format!(
        "`target/release/bootstrap` is not `bootstrap` of package `{own}`: it was built from package `{other}`"
    );
    project.refused_then(&packages(&[own]), &first, &format!("of {own}"));
}

#[test]
fn without_fingerprints_the_sources_tell() {
    let project = two_packages();
    project.cargo("build --release -p fa");
    fs::remove_dir_all(project.path_to("target/release/.fingerprint")).unwrap();
    assert_eq!(project.output(&packages(&["fa"])).unwrap(), "of fa");
    let first =
        "`target/release/bootstrap` is not `bootstrap` of package `fb`: it was built from `a/src/main.rs`";
    project.refused_then(&packages(&["fb"]), first, "of fb");
    // Only the file was copied: nothing tells.
    fs::rename(project.path_to("target/release/bootstrap"), project.path_to("kept")).unwrap();
    fs::remove_dir_all(project.path_to("target")).unwrap();
    fs::create_dir_all(project.path_to("target/release")).unwrap();
    fs::rename(project.path_to("kept"), project.path_to("target/release/bootstrap")).unwrap();
    assert_eq!(project.output(&packages(&["fa"])).unwrap(), "of fb");
}

#[test]
fn two_projects_may_share_a_target_directory() {
    for (one, other) in [("p1", "p2"), ("same", "same")] {
        let project = Project::new(&[
            ("p1/Cargo.toml", &(manifest(one) + BOOTSTRAP)),
            ("p1/src/main.rs", &says("of p1")),
            ("p2/Cargo.toml", &(manifest(other) + BOOTSTRAP)),
            ("p2/src/main.rs", &says("of p2")),
        ]);
        let project = project.var("CARGO_TARGET_DIR", "../common").in_dir("p1");
        project.cargo("build --release");
        assert_eq!(project.output(&all()).unwrap(), "of p1");
        let project = project.in_dir("p2");
        let error = project.output(&all()).unwrap_err();
        let first = match one {
            "p1" => {
                "`../common/release/bootstrap` is not `bootstrap` of package `p2`: it was built from package `p1`"
            }
            _ => {
                "`../common/release/bootstrap` is not `bootstrap` of package `same`: it was built from the sources in `[P]/p1`"
            }
        };
        project.refused_then(&all(), first, "of p2");
        assert_eq!(error.contains("cargo clean --release -p same && "), one == "same", "{error}");
        let project = project.in_dir("p1");
        assert!(project.output(&all()).is_err());
    }
}

#[test]
fn a_copied_target_directory_is_another_checkouts() {
    let library = "part = { path = \"part\" }\n";
    let project = Project::new(&[
        (
            "one/Cargo.toml",
            &format!("[workspace]\nmembers = [\"part\"]\n{}[dependencies]\n{library}", manifest("orders")),
        ),
        ("one/src/main.rs", "fn main() { println!(\"{}\", part::part()); }\n"),
        ("one/part/Cargo.toml", &manifest("part")),
        ("one/part/src/lib.rs", "pub fn part() -> &'static str { \"one\" }\n"),
    ]);
    let two = |from: &str, to: &str| project.tool("cp", &format!("-a {from} {to}")).exits(0);
    // The sources of the second are as old as those of the first: cargo takes its outputs for new enough.
    two("one", "two");
    project.file("two/part/src/lib.rs", "pub fn part() -> &'static str { \"two\" }\n");
    let project = project.in_dir("one");
    project.cargo("build --release");
    project.tool("cp", "-a one/target two/target").exits(0);
    let project = project.in_dir("two");
    let first = "`target/release/orders` is not `orders` of package `orders`: it was built from the sources in `[P]/one`";
    let error = project.refused_then(&all(), first, "two");
    let help =
        "help: run `cargo clean --release -p orders -p part && cargo build --release -p orders --bin orders`";
    assert!(error.ends_with(help), "{error}");

    // A checkout that moved, or was mounted elsewhere when it was built, is still the same.
    fs::rename(project.path_to("one"), project.path_to("moved")).unwrap();
    let project = project.in_dir("moved");
    assert_eq!(project.output(&all()).unwrap(), "one");
}

#[cfg(unix)]
#[test]
fn a_checkout_with_two_names_is_one() {
    let project = single();
    project.file("src/main.rs", says("here")).link(&project.root, "link");
    project.cargo("build --release");
    let project = project.in_dir("link");
    let manifest_path = Some(project.path_to("link/Cargo.toml"));
    assert_eq!(project.output(&Selection { manifest_path, ..all() }).unwrap(), "here");
}

#[test]
fn the_sources_may_be_shortened_or_outside_of_the_package() {
    let outside = "[[bin]]\nname = \"orders\"\npath = \"../outside/main.rs\"\n";
    let project = Project::new(&[
        ("own/Cargo.toml", &(manifest("orders") + outside)),
        ("outside/main.rs", &says("outside")),
        ("own/.cargo/config.toml", "[build]\ndep-info-basedir = \"..\"\n"),
    ]);
    let project = project.in_dir("own");
    project.cargo("build --release");
    assert_eq!(project.output(&all()).unwrap(), "outside");
    // The setting was another one when the program was built.
    project.remove("own/.cargo/config.toml");
    assert_eq!(project.output(&all()).unwrap(), "outside");

    let project = single();
    project
        .file("src/main.rs", says("here"))
        .file(".cargo/config.toml", "[build]\ndep-info-basedir = \".\"\n");
    project.cargo("build --release");
    project.remove(".cargo/config.toml");
    project.dir("src/deep");
    assert_eq!(project.in_dir("src/deep").output(&all()).unwrap(), "here");
}

#[test]
fn an_example_and_a_build_directory_of_its_own_tell_too() {
    let project = two_packages();
    for package in ["a", "b"] {
        project.file(format!("{package}/examples/demo.rs"), says(&format!("of f{package}")));
    }
    let project = project.var("CARGO_BUILD_BUILD_DIR", "intermediate");
    project.cargo("build --release -p fa --example demo");
    let demo = |package: &str| Selection { examples: vec!["demo".into()], ..packages(&[package]) };
    assert_eq!(project.output(&demo("fa")).unwrap(), "of fa");
    let first =
        "`target/release/examples/demo` is not `demo` of package `fb`: it was built from package `fa`";
    project.refused_then(&demo("fb"), first, "of fb");
    // The records are there, but the links between the files are gone.
    let path = project.path_to("target/release/examples/demo");
    fs::copy(&path, project.path_to("copy")).unwrap();
    fs::remove_file(&path).unwrap();
    fs::rename(project.path_to("copy"), &path).unwrap();
    assert_eq!(project.output(&demo("fb")).unwrap(), "of fb");
    assert!(project.output(&demo("fa")).is_err());
}

#[test]
fn what_cargo_lambda_moved_is_known_by_its_bytes() {
    let project = two_packages();
    let moved = |project: &Project| {
        fs::create_dir_all(project.path_to("target/lambda/bootstrap")).unwrap();
        fs::copy(
            project.path_to(&format!("target/{GNU}/release/bootstrap")),
            project.path_to("target/lambda/bootstrap/bootstrap"),
        )
        .unwrap();
        project.remove(&format!("target/{GNU}/release/bootstrap"));
    };
    project.cargo(&format!("build --release -p fa --target {GNU}"));
    moved(&project);
    assert_eq!(project.output(&packages(&["fa"])).unwrap(), "of fa");
    let first = "`target/lambda/bootstrap/bootstrap` is not `bootstrap` of package `fb`: it was built from package `fa`";
    project.refused_then(&packages(&["fb"]), first, "of fb");
    // The other package's program in that place is no second build.
    assert_eq!(project.output(&packages(&["fb"])).unwrap(), "of fb");
    // With a target the command names it, too.
    let error = project.output(&Selection { packages: vec!["fb".into()], ..targets(&[MUSL]) }).unwrap_err();
    assert!(
        error.ends_with(&format!("help: run `cargo build --release --target {MUSL} -p fb --bin bootstrap`"))
    );
}

#[test]
fn a_build_that_failed_half_way_leaves_the_sources_of_the_one_before() {
    let project = two_packages();
    project.cargo("build --release -p fa");
    project.file("b/src/bin/broken.rs", "fn main() { nonsense }\n");
    // fb's program is linked, then the build fails, and `bootstrap.d` stays.
    let mut command = Command::new("cargo");
    command.env_clear().envs(project.environment.vars.iter().map(|(name, value)| (name, value)));
    command.current_dir(&project.root).args(["build", "--release", "-p", "fb", "--keep-going"]);
    assert!(!command.output().unwrap().status.success());
    let kept = Command::new(project.path_to("target/release/bootstrap")).output().unwrap();
    assert_eq!(kept.stdout, b"of fb\n");
    assert_eq!(
        project.output(&packages(&["fa"])).unwrap_err().lines().next().unwrap(),
        "`target/release/bootstrap` is not `bootstrap` of package `fa`: it was built from package `fb`"
    );
    let own = Selection { bins: vec!["bootstrap".into()], ..packages(&["fb"]) };
    assert_eq!(project.output(&own).unwrap(), "of fb");
}

#[test]
fn a_stand_in_without_records_is_taken() {
    let project = two_packages();
    project.program("target/release/bootstrap", X86_64, "whose?");
    project.check(packages(&["fa"]), &["fa bootstrap cargo - release target/release/bootstrap"]);
    project.file("target/release/bootstrap.d", "");
    project.check(packages(&["fb"]), &["fb bootstrap cargo - release target/release/bootstrap"]);
    // Built in a container, at a path that this machine does not have.
    project.file("target/release/bootstrap.d", "/code/target/release/bootstrap: /code/b/src/main.rs\n");
    project.check(packages(&["fb"]), &["fb bootstrap cargo - release target/release/bootstrap"]);
    project.check_error(
        packages(&["fa"]),
        &[
            "`target/release/bootstrap` is not `bootstrap` of package `fa`: it was built from `/code/b/src/main.rs`",
            "help: run `cargo build --release -p fa --bin bootstrap`",
        ],
    );
}

#[test]
fn other_binaries_tests_and_names_with_a_dash_do_not_confuse() {
    let more = "[[bin]]\nname = \"my-bin\"\npath = \"src/main.rs\"\n[[bin]]\nname = \"my-bin-0123456789abcdef\"\npath = \"src/other.rs\"\n";
    let project = Project::new(&[
        ("Cargo.toml", &(manifest("my-package") + more)),
        ("src/main.rs", &says("main")),
        ("src/other.rs", &says("other")),
    ]);
    project.cargo("build --release");
    project.cargo("test --release --no-run");
    project.cargo("build");
    assert_eq!(project.output(&bins(&["my-bin"])).unwrap(), "main");
    assert_eq!(project.output(&bins(&["my-bin-0123456789abcdef"])).unwrap(), "other");
    assert_eq!(project.output(&Selection { bins: vec!["my-bin".into()], ..profile("dev") }).unwrap(), "main");
}
