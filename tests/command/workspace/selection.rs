//! Which programs are meant: packages, binaries, examples, features, and what is said where nothing matches.

use cargo_lambda_bundle::workspace::{Selection, find};

use super::{MAIN, Project, X86_64, all, bins, manifest, packages, single, strings, workspace};

#[test]
fn a_package_has_its_main_its_src_bin_and_its_renamed_binaries() {
    let renamed = "[[bin]]\nname = \"renamed-bin\"\npath = \"src/other.rs\"\n";
    let project = Project::new(&[
        ("Cargo.toml", &(manifest("orders") + renamed)),
        ("src/main.rs", MAIN),
        ("src/other.rs", MAIN),
        ("src/bin/admin.rs", MAIN),
        ("src/bin/import/main.rs", MAIN),
        ("src/lib.rs", ""),
    ]);
    for name in ["admin", "import", "orders", "other", "renamed-bin"] {
        project.program(&format!("target/release/{name}"), X86_64, name);
    }
    let expected = [
        "orders admin cargo - release target/release/admin",
        "orders import cargo - release target/release/import",
        "orders orders cargo - release target/release/orders",
        "orders renamed-bin cargo - release target/release/renamed-bin",
    ];
    project.check(all(), &expected);
    project.check(Selection { all_bins: true, ..all() }, &expected);
    project.check(bins(&["renamed-bin", "admin"]), &[expected[0], expected[3]]);
    project.check(bins(&["*-bin"]), &[expected[3]]);
}

#[test]
fn an_example_is_a_program_only_when_named() {
    let project = single();
    project.file("examples/try-me.rs", MAIN);
    project.program("target/release/orders", X86_64, "").program(
        "target/release/examples/try-me",
        X86_64,
        "",
    );
    project.check(all(), &["orders orders cargo - release target/release/orders"]);
    project.check(
        Selection { examples: strings(&["try-me"]), ..all() },
        &["orders try-me cargo - release target/release/examples/try-me"],
    );
    let examples = Selection { all_examples: true, ..all() };
    let example = "orders try-me cargo - release target/release/examples/try-me";
    project.check(examples.clone(), &[example]);
    let both = ["orders orders cargo - release target/release/orders", example];
    project.check(Selection { all_bins: true, ..examples.clone() }, &both);
    let lines = [
        "no example in package `orders`",
        "  package `orders`: binary `orders`",
        "help: remove `--examples`, or select a package that has one with `-p`",
    ];
    single().check_error(examples, &lines);
}

#[test]
fn a_workspace_is_selected_as_cargo_does() {
    let a = "a a cargo - release target/release/a";
    let b = "b b cargo - release target/release/b";
    let project = workspace("");
    project.check(all(), &[a, b]);
    project.check(packages(&["b"]), &[b]);
    project.check(packages(&["b@1.23", "a@1.23.4"]), &[a, b]);
    project.check(packages(&["[ab]"]), &[a, b]);
    project.check(packages(&[&format!("path+file://{}", project.path_to("b"))]), &[b]);
    project.check(Selection { workspace: true, exclude: strings(&["a"]), ..all() }, &[b]);
    let manifest_path = Some("b/Cargo.toml".into());
    project.check(Selection { manifest_path, ..all() }, &[b]);

    let project = workspace("default-members = [\"a\"]\n");
    project.check(all(), &[a]);
    project.check(Selection { workspace: true, ..all() }, &[a, b]);
    project.in_dir("b/src").check(all(), &[b]);
}

#[cfg(target_os = "linux")]
#[test]
fn each_selected_program_must_be_built() {
    let project = workspace("");
    project.remove("target/release/a");
    project.check(packages(&["b"]), &["b b cargo - release target/release/b"]);
    project.check_error(
        Selection { locked: true, ..all() },
        &[
            "`a` is not built",
            "  tried target/release/a",
            "  tried target/*/release/a",
            "  tried target/lambda/a/bootstrap",
            "  tried target/lambda/extensions/a",
            "help: add `--build`, or run `cargo build --release -p a --bin a --locked`",
        ],
    );
}

#[test]
fn a_binary_whose_features_are_off_may_be_missing_unless_named() {
    let project = single();
    let extra = "[features]\nextra = []\n[[bin]]\nname = \"extra\"\nrequired-features = [\"extra\"]\n";
    project.file("Cargo.toml", manifest("orders") + extra);
    project.file("src/bin/extra.rs", MAIN);
    project.program("target/release/orders", X86_64, "");
    let orders = "orders orders cargo - release target/release/orders";
    project.check(all(), &[orders]);
    let error = find(&bins(&["extra", "orders"]), &project.environment).unwrap_err();
    assert!(error.help_text().unwrap().contains("-p orders --bin extra --features extra"), "{error:?}");
    project
        .check(Selection { build: true, ..all() }, &["orders orders built - release target/release/orders"]);
    project.program("target/release/extra", X86_64, "");
    project.check(all(), &["orders extra cargo - release target/release/extra", orders]);
}

#[test]
fn a_selection_without_a_match_lists_what_there_is() {
    let project = workspace("");
    project.file("b/examples/demo.rs", MAIN);
    let listing = ["  package `a`: binary `a`", "  package `b`: binary `b`", "  package `b`: example `demo`"];
    project.check_error(
        packages(&["aa"]),
        &["no package `aa` in the workspace `[P]`", "  its packages: `a`, `b`", "help: did you mean `-p a`?"],
    );
    project.check_error(
        packages(&["a@1.2"]),
        &[
            "no package `a@1.2` in the workspace `[P]`",
            "  its packages: `a`, `b`",
            "help: did you mean `-p a`?",
        ],
    );
    project.check_error(
        bins(&["orders"]),
        &[
            "no binary `orders` in packages `a`, `b`",
            listing[0],
            listing[1],
            listing[2],
            "help: name one of these: `--bin NAME`, or `--example NAME`",
        ],
    );
    project.check_error(
        Selection { bins: strings(&["b"]), ..packages(&["a"]) },
        &[
            "no binary `b` in package `a`",
            listing[0],
            listing[1],
            listing[2],
            "help: select its package: `-p b --bin b`",
        ],
    );
    project.check_error(
        bins(&["demo"]),
        &[
            "no binary `demo` in packages `a`, `b`",
            listing[0],
            listing[1],
            listing[2],
            "help: did you mean `--example demo`?",
        ],
    );
    project.check_error(
        Selection { workspace: true, exclude: strings(&["c"]), ..all() },
        &[
            "no package `c` in the workspace `[P]`",
            "  its packages: `a`, `b`",
            "help: did you mean `--exclude a`?",
        ],
    );
    project.check_error(
        Selection { exclude: strings(&["a"]), ..all() },
        &["`--exclude` needs `--workspace`", "help: add `--workspace`, or select packages with `-p`"],
    );
}

#[test]
fn a_library_has_no_program() {
    let project = Project::new(&[("Cargo.toml", &manifest("orders")), ("src/lib.rs", "")]);
    project.check_error(
        all(),
        &["no binary in package `orders`", "help: name a program from elsewhere with `--binary PATH`"],
    );
    project.file("Cargo.toml", manifest("orders") + "[lib]\ncrate-type = [\"cdylib\"]\n");
    let help = "help: add a binary to it: a shared library is only checked, `cargo lambda-bundle check --binary PATH`";
    project.check_error(all(), &["no binary in package `orders`", help]);
}

#[test]
fn two_packages_with_one_binary_name_are_a_question() {
    let project = workspace("");
    project.file("b/src/bin/a.rs", MAIN);
    project.check_error(
        all(),
        &[
            "packages `a` and `b` both have binary `a`, and cargo writes both to the same path",
            "help: select one package with `-p`, for example `-p a`, and for an archive each `-o '{package}.zip'`",
        ],
    );
    project.check(packages(&["a"]), &["a a cargo - release target/release/a"]);
}

#[test]
fn without_a_project_the_directory_is_named() {
    let project = Project::new(&[]);
    let error = find(&all(), &project.environment).unwrap_err();
    let text = project.text(&error);
    assert!(
        text.starts_with("`[P]` is not in a cargo project\ncaused by: could not find `Cargo.toml`"),
        "{text}"
    );
    assert!(text.contains("`--binary PATH`"), "{text}");
}

#[test]
fn a_project_that_cargo_cannot_read_is_named() {
    let project = single();
    project.file("Cargo.toml", "[package\n");
    let text = project.text(&find(&all(), &project.environment).unwrap_err());
    assert!(text.starts_with("could not read the cargo project `[P]/Cargo.toml`\ncaused by: "), "{text}");
    let selection = Selection { manifest_path: Some("no/Cargo.toml".into()), ..all() };
    let text = project.text(&find(&selection, &project.environment).unwrap_err());
    assert!(text.starts_with("could not read the cargo project `no/Cargo.toml`\ncaused by: "), "{text}");
}

#[test]
fn without_cargo_the_next_step_is_said() {
    let project = single().without_var("CARGO").without_var("PATH").var("PATH", "/nonexistent");
    let error = find(&all(), &project.environment).unwrap_err();
    assert_eq!(error.to_string(), "could not find `cargo`");
    assert!(error.help_text().unwrap().contains("--binary PATH"));
    let project = project.var("CARGO", "/nonexistent/cargo");
    let error = find(&all(), &project.environment).unwrap_err();
    assert_eq!(error.to_string(), "could not start `/nonexistent/cargo`");
}
