//! Where a built program is: profiles, targets, target directories, and what cargo-lambda left.

use cargo_lambda_bundle::workspace::{Selection, find};

use super::{AARCH64, ARM, GNU, X86_64, all, manifest, profile, single, strings, targets};

#[test]
fn the_profile_has_a_directory() {
    let project = single();
    project.file("Cargo.toml", manifest("orders") + "[profile.lambda]\ninherits = \"release\"\n");
    project.program("target/debug/orders", X86_64, "").program("target/lambda/orders", X86_64, "");
    project.check(profile("dev"), &["orders orders cargo - dev target/debug/orders"]);
    project.check(profile("test"), &["orders orders cargo - test target/debug/orders"]);
    project.check(profile("lambda"), &["orders orders cargo - lambda target/lambda/orders"]);
    project.program("target/release/orders", X86_64, "");
    project.check(profile("bench"), &["orders orders cargo - bench target/release/orders"]);
}

#[test]
fn a_target_has_a_directory() {
    let project = single();
    for target in [GNU, ARM, "foo"] {
        project.program(&format!("target/{target}/release/orders"), X86_64, target);
    }
    let expected =
        |target: &str| format!("orders orders cargo {target} release target/{target}/release/orders");
    project.check(targets(&[GNU]), &[&expected(GNU)]);
    project.check(targets(&[GNU, ARM, GNU]), &[&expected(GNU), &expected(ARM)]);
    project.check(targets(&["x86_64-unknown-linux-gnu.2.34"]), &[&expected(GNU)]);
    project.check(targets(&["path/to/foo.json"]), &[&expected("foo")]);
}

#[test]
fn the_configuration_names_the_target() {
    let project = single();
    let gnu = format!("orders orders cargo {GNU} release target/{GNU}/release/orders");
    let arm = format!("orders orders cargo {ARM} release target/{ARM}/release/orders");
    project.program(&format!("target/{GNU}/release/orders"), X86_64, "x");
    project.program(&format!("target/{ARM}/release/orders"), AARCH64, "a");
    project.program("target/release/orders", X86_64, "host");

    project.file("cargo-home/config.toml", format!("[build]\ntarget = \"{GNU}\"\n"));
    project.check(all(), &[&gnu]);
    project.file(".cargo/config.toml", format!("[build]\ntarget = \"{ARM}\"\n"));
    project.check(all(), &[&arm]);
    project.check(targets(&[GNU]), &[&gnu]);
    // Arrays of several files are joined.
    project.file("cargo-home/config.toml", format!("[build]\ntarget = [\"{GNU}\"]\n"));
    project.file(".cargo/config.toml", format!("[build]\ntarget = [\"{ARM}\"]\n"));
    project.check(all(), &[&gnu, &arm]);
    let project = project.var("CARGO_BUILD_TARGET", ARM);
    project.check(all(), &[&arm]);
}

#[test]
fn host_tuple_is_the_triple_of_the_host() {
    let project = single();
    project.cargo("build --target host-tuple");
    let selection = Selection { targets: strings(&["host-tuple"]), ..profile("dev") };
    let found = project.find(&selection);
    let target = found[0].target.as_deref().unwrap();
    assert_eq!(found[0].path, project.path_to(&format!("target/{target}/debug/orders")));
}

#[test]
fn the_target_directory_may_be_elsewhere() {
    let project = single();
    project.program("configured/release/orders", X86_64, "");
    project.program("variable/release/orders", X86_64, "");
    project.program("flag/release/orders", X86_64, "");
    project.file(".cargo/config.toml", "[build]\ntarget-dir = \"configured\"\n");
    project.check(all(), &["orders orders cargo - release configured/release/orders"]);
    let project = project.var("CARGO_TARGET_DIR", "variable");
    project.check(all(), &["orders orders cargo - release variable/release/orders"]);
    let flag = Selection { target_dir: Some("flag".into()), ..all() };
    project.check(flag, &["orders orders cargo - release flag/release/orders"]);
}

#[test]
fn the_only_target_on_disk_is_meant() {
    let project = single();
    project.program(&format!("target/{GNU}/release/orders"), X86_64, "x");
    // A target directory of another tool within ours.
    project.program("target/llvm-cov-target/release/orders", X86_64, "x");
    project.file("target/llvm-cov-target/.rustc_info.json", "{}");
    let gnu = format!("orders orders cargo {GNU} release target/{GNU}/release/orders");
    project.check(all(), &[&gnu]);
    // The host's own build on macOS is no ELF file.
    project.file("target/release/orders", b"\xcf\xfa\xed\xfe and so on");
    project.check(all(), &[&gnu]);
}

#[test]
fn cargo_lambdas_place_comes_after_cargos() {
    let project = single();
    let moved = "target/lambda/orders/bootstrap";
    project.program(moved, AARCH64, "");
    let expected = |target: &str| format!("orders orders cargo-lambda {target} - {moved}");
    project.check(all(), &[&expected("-")]);
    project.check(targets(&[ARM]), &[&expected(ARM)]);
    // For another machine than the target that was named, it is a leftover.
    project.program(&format!("target/{GNU}/release/orders"), X86_64, "");
    let gnu = format!("orders orders cargo {GNU} release target/{GNU}/release/orders");
    project.check(targets(&[GNU]), &[&gnu]);
    project.check(targets(&[GNU, ARM]), &[&gnu, &expected(ARM)]);

    let project = single();
    project.program(moved, AARCH64, "");
    // The host's own build on macOS.
    project.file("target/release/orders", b"\xcf\xfa\xed\xfe and so on");
    project.check(all(), &[&expected("-")]);

    let project = single();
    project.program("target/lambda/extensions/orders", X86_64, "");
    project.check(all(), &["orders orders cargo-lambda - - target/lambda/extensions/orders"]);
}

#[test]
fn a_program_named_bootstrap_is_not_another_function() {
    let project = single();
    project.file("Cargo.toml", manifest("bootstrap"));
    project.program("target/lambda/release/bootstrap", X86_64, "a function named `release`");
    let error = find(&targets(&[GNU]), &project.environment).unwrap_err();
    assert!(!error.to_string().contains("there is"), "{error}");
    assert!(find(&all(), &project.environment).is_err());
    project.program("target/lambda/bootstrap/bootstrap", X86_64, "");
    project.check(all(), &["bootstrap bootstrap cargo-lambda - - target/lambda/bootstrap/bootstrap"]);
}

#[test]
fn a_program_that_is_not_built_shows_the_paths_and_the_command() {
    let project = single();
    project.program("target/debug/orders", X86_64, "");
    project.file("target/lambda/orders/bootstrap.zip", "");
    project.check_error(
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
