//! Several builds of one program: what flags say, then the architecture, then the newest, and the choice is said.

use std::fs;
use std::time::{Duration, SystemTime};

use cargo_lambda_bundle::elf::Arch;
use cargo_lambda_bundle::workspace::{Selection, find};

use super::{
    AARCH64, ARM, GNU, Project, X86_64, all, packages, profile, set_modified, single, strings, targets,
    workspace,
};

const MOVED: &str = "target/lambda/orders/bootstrap";

/// Makes a file that many minutes old.
fn aged(project: &Project, path: &str, minutes: u64) {
    set_modified(&project.path_to(path), SystemTime::now() - Duration::from_secs(60 * minutes));
}

/// The found file, and the line about the choice.
fn choice(project: &Project, selection: &Selection) -> (String, String) {
    let found = project.find(selection);
    let path = found[0].path.strip_prefix(&project.root).unwrap().to_string();
    (path, found[0].choice.clone().unwrap_or_default())
}

#[track_caller]
fn check(project: &Project, selection: &Selection, path: &str, others: &[&str]) {
    let line = match others.is_empty() {
        true => String::new(),
        false => {
            let others: Vec<String> = others.iter().map(|other| format!("`{other}`")).collect();
            format!("{path}, the newest build of `orders`; others are {}", others.join(", "))
        }
    };
    assert_eq!(choice(project, selection), (path.to_owned(), line));
}

/// Builds for the host, for its triple, for arm64, and by cargo-lambda, each newer than the one before.
fn four() -> Project {
    let project = single();
    let gnu = format!("target/{GNU}/release/orders");
    let arm = format!("target/{ARM}/release/orders");
    project.program("target/release/orders", X86_64, "host").program(&gnu, X86_64, "triple");
    project.program(&arm, AARCH64, "arm").program(MOVED, X86_64, "moved");
    for (path, age) in [("target/release/orders", 40), (&gnu, 30), (&arm, 20), (MOVED, 10)] {
        aged(&project, path, age);
    }
    project
}

#[test]
fn the_newest_build_is_taken_and_the_others_are_named() {
    let (host, gnu, arm) = (
        "target/release/orders",
        &*format!("target/{GNU}/release/orders"),
        &*format!("target/{ARM}/release/orders"),
    );
    let project = four();
    check(&project, &all(), MOVED, &[host, arm, gnu]);
    aged(&project, arm, 5);
    check(&project, &all(), arm, &[host, gnu, MOVED]);
    aged(&project, host, 1);
    check(&project, &all(), host, &[arm, gnu, MOVED]);
    // An architecture that was asked for counts before the age; if there is none of it, a finding tells.
    let of = |arch| Selection { archs: [(project.root.clone(), arch)].into(), ..all() };
    check(&project, &of(Arch::Arm64), arm, &[]);
    check(&project, &of(Arch::X86_64), host, &[gnu, MOVED]);
    project.remove(arm);
    check(&project, &of(Arch::Arm64), host, &[gnu, MOVED]);
    // A target that was asked for, too.
    check(&project, &targets(&[GNU]), MOVED, &[gnu]);
    aged(&project, MOVED, 60);
    check(&project, &targets(&[GNU]), gnu, &[MOVED]);
    // Copies are one build.
    project.program(MOVED, X86_64, "triple");
    check(&project, &targets(&[GNU]), gnu, &[]);
}

#[test]
fn the_hosts_triple_is_the_target_of_a_build_without_one() {
    let project = single();
    project.program("target/release/orders", X86_64, "host");
    let named = |name: &str| targets(&[name]);
    check(&project, &named("host-tuple"), "target/release/orders", &[]);
    check(&project, &named(GNU), "target/release/orders", &[]);
    assert!(find(&named(ARM), &project.environment).is_err());
    // A libc version is zigbuild's.
    assert!(find(&named(&format!("{GNU}.2.34")), &project.environment).is_err());
    // Beside another target's it is the only way to name the host's.
    let musl = "target/x86_64-unknown-linux-musl/release/orders";
    aged(&project, "target/release/orders", 10);
    project.program(musl, X86_64, "musl");
    check(&project, &all(), musl, &["target/release/orders"]);
    check(&project, &named("host-tuple"), "target/release/orders", &[]);
    // A triple that was spelled out means its own directory first; `host-tuple` means both.
    let gnu = format!("target/{GNU}/release/orders");
    project.program(&gnu, X86_64, "triple");
    aged(&project, &gnu, 20);
    check(&project, &named(GNU), &gnu, &[]);
    check(&project, &named("host-tuple"), "target/release/orders", &[&gnu]);
    assert_eq!(project.find(&named("host-tuple"))[0].target, None);
}

/// Moves a program as `cargo lambda build` does.
fn moved(project: &Project, from: &str) {
    fs::create_dir_all(project.path_to("target/lambda/orders")).unwrap();
    fs::copy(project.path_to(from), project.path_to(MOVED)).unwrap();
    project.remove(from);
}

#[test]
fn a_dev_build_of_cargo_lambda_is_not_taken_for_another_profile() {
    let project = single();
    project.cargo(&format!("build --target {GNU}"));
    moved(&project, &format!("target/{GNU}/debug/orders"));
    // By the unit that made it, then by the only `.d` file.
    for has_records in [true, false] {
        if !has_records {
            fs::remove_dir_all(project.path_to(&format!("target/{GNU}/debug/.fingerprint"))).unwrap();
        }
        for name in ["release", "bench"] {
            let error = project.text(&find(&profile(name), &project.environment).unwrap_err());
            let found = format!("\n  found {MOVED}, for another profile or target\n");
            assert!(error.starts_with("`orders` is not built\n") && error.contains(&found), "{error}");
        }
        for name in ["dev", "test"] {
            check(&project, &profile(name), MOVED, &[]);
        }
        // Without a flag it is all there is.
        let line = format!("{MOVED}, built with the profile `dev`; there is no release build");
        assert_eq!(choice(&project, &all()), (MOVED.to_owned(), line));
    }
    project.cargo("build --release");
    aged(&project, "target/release/orders", 10);
    check(&project, &all(), "target/release/orders", &[]);
    check(&project, &profile("release"), "target/release/orders", &[]);
    // Built for the triple, so not for another.
    let musl = find(
        &Selection { targets: strings(&["x86_64-unknown-linux-musl"]), ..profile("dev") },
        &project.environment,
    );
    assert!(musl.is_err());
}

#[test]
fn one_that_is_not_built_does_not_stop_the_others() {
    let project = workspace("");
    project.file("b/src/bin/c.rs", "fn main() {}\n").file("b/src/bin/d.rs", "fn main() {}\n");
    let choose = |selection: &Selection| {
        let chosen = cargo_lambda_bundle::workspace::choose(selection, &project.environment).unwrap();
        let located = chosen.locate(selection).unwrap();
        let names: Vec<String> = located.programs.iter().map(|program| program.name.clone()).collect();
        (names, located.failures)
    };
    let (names, failures) = choose(&all());
    assert_eq!(names, ["a", "b"]);
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].names, ["c", "d"]);
    let text = project.text(&failures[0].error);
    assert!(text.starts_with("`c`, `d` are not built\n"), "{text}");
    assert!(
        text.ends_with("help: add `--build`, or run `cargo build --release -p b --bin c --bin d`"),
        "{text}"
    );
    // Another's program in the place of one, too.
    project.file("target/release/a.d", "x: /code/b/src/main.rs\n");
    let (names, failures) = choose(&Selection { bins: strings(&["a", "b"]), ..all() });
    assert_eq!(names, ["b"]);
    assert!(failures[0].error.to_string().contains("was built from"));
    assert_eq!(choose(&packages(&["a"])).0, Vec::<String>::new());
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_run_bundles_what_is_built_and_names_the_rest() {
    let scene = crate::support::workspace::Workspace::new();
    for at in [2, 5] {
        scene.remove(&crate::support::workspace::built(at));
    }
    let ran = scene.run("--allow not-a-runtime --library-path libs").exits(101).says(&[
        "error: `f02`, `f05` are not built\n",
        "help: add `--build`, or run `cargo build --release -p f02 -p f05 --bin f02 --bin f05`\n",
        "f02      no result",
        "f05      no result",
    ]);
    assert_eq!(scene.written().len(), 18, "{ran}");
    let document =
        scene.run("check --allow not-a-runtime --library-path libs --message-format json").exits(101);
    let document = document.json();
    assert_eq!(document["artifacts"].as_array().unwrap().len(), 18);
    assert!(
        document["error"]["message"].as_str().unwrap().starts_with("`f02`, `f05` are not built"),
        "{document:#}"
    );
    // Alone, the run ends with it.
    scene.run("-p f02").exits(101).says(&["error: `f02` is not built\n"]);
}
