//! Settings from flags, variables and manifests: which wins, what is refused, what `config` prints.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use crate::support::scene::Scene;
use cargo_lambda_bundle::cli::topics::topic;
use cargo_lambda_bundle::settings::table::{Row, SettingScope, rows};
use serde_json::{Value, json};

/// A workspace of the packages `a` and `b`, each with one binary. Each text is the `lambda-bundle` table of a manifest.
fn workspace(workspace: &str, a: &str, b: &str) -> Scene {
    let scene = Scene::new();
    let header =
        "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n[workspace.metadata.lambda-bundle]\n";
    scene.file("Cargo.toml", format!("{header}{workspace}\n"));
    for (name, table) in [("a", a), ("b", b)] {
        let package = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        let manifest = format!("{package}[package.metadata.lambda-bundle]\n{table}\n");
        scene.file(format!("{name}/Cargo.toml"), &manifest);
        scene.file(format!("{name}/src/main.rs"), "fn main() {}\n");
    }
    scene
}

/// The value of a setting of package `a`, and where it is from.
#[track_caller]
fn setting(scene: &Scene, arguments: &str, name: &str) -> (Value, String, Value) {
    let ran = scene.run(&format!("config -p a --message-format json {arguments}")).exits(0);
    of(&ran.json()["packages"][0], name)
}

#[track_caller]
fn of(package: &Value, name: &str) -> (Value, String, Value) {
    let settings = package["settings"].as_array().unwrap();
    let setting = settings.iter().find(|setting| setting["name"] == name).unwrap_or_else(|| panic!("{name}"));
    (setting["value"].clone(), setting["from"].as_str().unwrap().to_owned(), setting["source"].clone())
}

fn answer(value: impl Into<Value>, from: &str, source: impl Into<Value>) -> (Value, String, Value) {
    (value.into(), from.to_owned(), source.into())
}

#[test]
fn the_first_source_that_names_a_setting_wins() {
    let al2 = "runtime = \"provided.al2\"";
    let provided = "runtime = \"provided\"";
    let scene = workspace("", "", "");
    assert_eq!(setting(&scene, "", "runtime"), answer("provided.al2023", "default", Value::Null));
    let scene = workspace(al2, "", "");
    assert_eq!(setting(&scene, "", "runtime"), answer("provided.al2", "workspace", "Cargo.toml"));
    let scene = workspace(al2, provided, "");
    assert_eq!(setting(&scene, "", "runtime"), answer("provided", "package", "a/Cargo.toml"));
    let scene = workspace(al2, provided, "").var("CARGO_LAMBDA_BUNDLE_RUNTIME", "provided.al2");
    let variable = "CARGO_LAMBDA_BUNDLE_RUNTIME";
    assert_eq!(setting(&scene, "", "runtime"), answer("provided.al2", "variable", variable));
    let flag = answer("provided.al2023", "flag", Value::Null);
    assert_eq!(setting(&scene, "--runtime provided.al2023", "runtime"), flag);
    // As for cargo, an empty variable is none.
    let scene = workspace(al2, "", "").var("CARGO_LAMBDA_BUNDLE_RUNTIME", "");
    assert_eq!(setting(&scene, "", "runtime").1, "workspace");
}

#[test]
fn a_flag_that_needs_another_setting_has_it_from_any_source() {
    let by_variable = workspace("", "", "");
    by_variable.file("a/Cargo.toml", format!("{}\n[features]\nx = []\n", by_variable.text("a/Cargo.toml")));
    let by_variable = by_variable.var("CARGO_LAMBDA_BUNDLE_BUILD", "true");
    by_variable.run("check -p a -F x --allow not-a-runtime").exits(0);
    let scene = workspace("strip = true", "", "");
    assert_eq!(setting(&scene, "--debug-symbols d", "debug-symbols").0, json!("d"));
    // Without it, the flag is wrong, and a lower source's setting rests.
    let scene = workspace("strip = true\ndebug-symbols = \"dbg\"", "strip = false", "");
    assert_eq!(setting(&scene, "", "debug-symbols").0, Value::Null);
    scene
        .run("config -p a --debug-symbols d")
        .exits(2)
        .says(&["error: `--debug-symbols` has no effect without `--strip`\nhelp: add `--strip`\n"]);
    scene.run("config -p a -F x").exits(2).says(&["error: `--features` has no effect without `--build`\n"]);
    scene.run("check -p a -j 2").exits(2).says(&["error: `--jobs` has no effect without `--build`\n"]);
    scene
        .run("check -p a --config a=1")
        .exits(2)
        .says(&["error: `--config` has no effect without `--build`\n"]);
    scene.run("--binary x --all-features").exits(2).says(&["error: `--all-features` has no effect without"]);
}

#[test]
fn variables_reach_the_subcommands_of_subcommands() {
    let scene = Scene::new().var("CARGO_LAMBDA_BUNDLE_MESSAGE_FORMAT", "json");
    assert!(scene.run("baseline list").exits(0).stdout.starts_with('{'));
    let scene = Scene::new().var("CARGO_LAMBDA_BUNDLE_ARCH", "arm64");
    let shown = scene.run("baseline show provided.al2023").exits(0).stdout;
    assert_eq!(shown, Scene::new().run("baseline show provided.al2023 --arch arm64").exits(0).stdout);
}

#[test]
fn a_list_replaces_the_lists_under_it() {
    let scene = workspace("dlopen = [\"w\"]\nallow = [\"shadowed\"]", "dlopen = [\"p\", \"q\"]", "");
    assert_eq!(setting(&scene, "", "dlopen").0, json!(["p", "q"]));
    assert_eq!(setting(&scene, "", "allow").0, json!(["shadowed"]));
    assert_eq!(setting(&scene, "--dlopen f", "dlopen").0, json!(["f"]));
    let scene = workspace("dlopen = \"one\"", "", "");
    assert_eq!(setting(&scene, "", "dlopen").0, json!(["one"]));
    let scene = scene
        .var("CARGO_LAMBDA_BUNDLE_DLOPEN", "x  y")
        .var("CARGO_LAMBDA_BUNDLE_EXCLUDE_LIB", "[\"a b\", \"c\"]")
        .var("CARGO_LAMBDA_BUNDLE_ASSUME_PRESENT", "[x]*");
    assert_eq!(setting(&scene, "", "dlopen").0, json!(["x", "y"]));
    assert_eq!(setting(&scene, "", "exclude-lib").0, json!(["a b", "c"]));
    assert_eq!(setting(&scene, "", "assume-present").0, json!(["[x]*"]));
    // An empty list is a value, too.
    assert_eq!(setting(&workspace("dlopen = [\"w\"]", "dlopen = []", ""), "", "dlopen").1, "package");
}

#[test]
fn a_switch_of_a_higher_source_can_be_off() {
    let scene = workspace("strip = true\nquiet = true", "strip = false\nquiet = false", "");
    assert_eq!(setting(&scene, "", "strip"), answer(false, "package", "a/Cargo.toml"));
    assert_eq!(setting(&scene, "", "quiet").0, false);
    assert_eq!(setting(&scene, "--strip", "strip"), answer(true, "flag", Value::Null));
    let scene = scene.var("CARGO_LAMBDA_BUNDLE_STRIP", "1");
    assert_eq!(setting(&scene, "", "strip").0, true);
    let scene = workspace("verbose = 2", "", "");
    assert_eq!(setting(&scene, "", "verbose"), answer(2, "workspace", "Cargo.toml"));
    assert_eq!(setting(&scene, "-v", "verbose"), answer(1, "flag", Value::Null));
}

#[test]
fn a_setting_gives_way_to_a_higher_one_that_excludes_it() {
    let scene = workspace("verbose = 1\nprofile = \"lambda\"\nfeatures = [\"x\"]", "", "");
    assert_eq!(setting(&scene, "-q", "verbose"), answer(0, "default", Value::Null));
    assert_eq!(setting(&scene, "", "profile").0, "lambda");
    assert_eq!(setting(&scene, "--release", "profile"), answer("release", "default", Value::Null));
    assert_eq!(setting(&scene, "", "features").0, json!([]));
    assert_eq!(setting(&scene, "--build", "features").0, json!(["x"]));
    assert_eq!(setting(&scene, "--build-with cargo", "features").0, json!(["x"]));
    // The tool of a manifest waits for a build; as a flag, it asks for one.
    let scene = workspace("build-with = \"zigbuild\"", "", "");
    assert_eq!(setting(&scene, "", "build-with").0, Value::Null);
    assert_eq!(setting(&scene, "--build", "build-with").0, "zigbuild");
    // Of one source both cannot be had.
    let scene = workspace("verbose = 1\nquiet = true", "", "");
    scene.refuses(101, "check -p a", &["cannot be used with"]).prints("");
}

#[test]
fn paths_start_at_the_manifest_that_has_them() {
    let scene = workspace("sysroot = \"root\"", "library-path = [\"libs\", \"/abs\"]\noutput = \"out/\"", "");
    let root = scene.path().to_str().unwrap().to_owned();
    assert_eq!(setting(&scene, "", "sysroot").0, format!("{root}/root"));
    assert_eq!(setting(&scene, "", "library-path").0, json!([format!("{root}/a/libs"), "/abs"]));
    assert_eq!(setting(&scene, "", "output").0, format!("{root}/a/out/"));
    let scene = workspace("sysroot = \"root\"", "", "").var("CARGO_LAMBDA_BUNDLE_SYSROOT", "elsewhere");
    let root = scene.path().display();
    scene
        .refuses(101, "check -p a", &[&format!("`--sysroot {root}/elsewhere` is not a directory")])
        .prints("");
}

#[test]
fn each_package_has_its_own() {
    let scene = workspace("deny = [\"shadowed\"]", "dlopen = [\"liba.so\"]", "runtime = \"provided.al2\"");
    let document = scene.run("config --workspace --message-format json").exits(0).json();
    let [a, b] = &document["packages"].as_array().unwrap()[..] else { panic!("{document}") };
    assert_eq!((&a["package"], &b["package"]), (&json!("a"), &json!("b")));
    assert_eq!((of(a, "dlopen").0, of(b, "dlopen").0), (json!(["liba.so"]), json!([])));
    assert_eq!((of(a, "runtime").0, of(b, "runtime").0), (json!("provided.al2023"), json!("provided.al2")));
    assert_eq!((of(a, "deny").1, of(b, "deny").1), ("workspace".to_owned(), "workspace".to_owned()));
    // What is not selected is not asked.
    let scene = workspace("", "", "nonsense = 1");
    scene.run("config -p a").exits(0);
    scene.refuses(101, "config --workspace", &["unknown key `nonsense`"]).prints("");
}

#[test]
fn packages_agree_on_what_a_run_has_once() {
    let scene = workspace("", "profile = \"dev\"", "");
    let text = "packages `a` and `b` do not agree on `profile`, which must be the same for the whole run\nhelp: set `--profile`";
    scene.refuses(101, "check --workspace", &[text]).prints("");
    scene.run("config --workspace --profile dev").exits(0);
}

#[test]
fn what_is_unknown_or_of_the_wrong_type_is_refused_with_its_place() {
    let table = "`[package.metadata.lambda-bundle]` of `a/Cargo.toml`";
    for (line, text) in [
        ("runtme = \"x\"", format!("unknown key `runtme` in {table}\nhelp: did you mean `runtime`?")),
        (
            "exclude_lib = []",
            format!("unknown key `exclude_lib` in {table}\nhelp: did you mean `exclude-lib`?"),
        ),
        ("fnord = 1", format!("unknown key `fnord` in {table}\nhelp: one of: all-features, allow, ")),
        ("runtime = 1", format!("`runtime` in {table} is `1`, expected a string")),
        (
            "dlopen = [1]",
            format!("`dlopen` in {table} is an array, expected a string or an array of strings"),
        ),
        ("strip = \"yes\"", format!("`strip` in {table} is the string `yes`, expected `true` or `false`")),
        ("verbose = -1", format!("`verbose` in {table} is `-1`, expected a number from 0 to 255")),
        ("sysroot = {}", format!("`sysroot` in {table} is a table, expected a path in a string")),
        ("repair = \"x\"", format!("`repair` in {table} is the string `x`, expected one of `auto`, `never`")),
        ("bin = [\"x\"]", format!("`bin` in {table} has no meaning in a manifest\nhelp: use `--bin`")),
        (
            "target-dir = \"x\"",
            format!(
                "`target-dir` in {table} has no meaning in a manifest\n\
                 help: use `--target-dir`, or set `CARGO_LAMBDA_BUNDLE_TARGET_DIR`"
            ),
        ),
        // What only the run itself can judge.
        ("runtime = \"x\"", format!("`--runtime x` is not a known runtime (from {table})")),
        ("assume-present = [\"[\"]", format!("`--assume-present [` is not a pattern (from {table})")),
        ("env = [\"X\"]", format!("`--env X` has no `=` (from {table})")),
        ("deny = [\"x\"]", format!("`--deny x` is not the code of a finding (from {table})")),
    ] {
        workspace("", line, "").refuses(101, "check -p a", &[&text]).prints("");
    }
    let scene = workspace("runtme = 1", "", "");
    scene.refuses(101, "check -p a", &["in `[workspace.metadata.lambda-bundle]` of `Cargo.toml`"]).prints("");
    scene.file("a/Cargo.toml", "[package]\nname = \"a\"\nversion = \"0.1.0\"\nmetadata.lambda-bundle = 1\n");
    scene.file("Cargo.toml", "[workspace]\nmembers = [\"a\"]\nresolver = \"2\"\n");
    let text =
        "`lambda-bundle` in `a/Cargo.toml` is `1`, expected a table, `[package.metadata.lambda-bundle]`";
    scene.refuses(101, "check -p a", &[text]).prints("");
}

#[test]
fn variables_are_held_to_the_same_rules() {
    for (name, value, text) in [
        (
            "RUNTIM",
            "x",
            "the variable `CARGO_LAMBDA_BUNDLE_RUNTIM` is unknown\nhelp: did you mean `CARGO_LAMBDA_BUNDLE_RUNTIME`?",
        ),
        ("BIN", "x", "the variable `CARGO_LAMBDA_BUNDLE_BIN` has no meaning\nhelp: use `--bin`"),
        ("BUILD", "x", "the variable `CARGO_LAMBDA_BUNDLE_BUILD` is `x`, expected `true` or `false`"),
        ("REPAIR", "x", "`CARGO_LAMBDA_BUNDLE_REPAIR` is `x`, expected one of `auto`, `never`"),
        ("DLOPEN", "[1]", "`CARGO_LAMBDA_BUNDLE_DLOPEN` is `[1]`, expected a string or an array of strings"),
        (
            "RUNTIME",
            "x",
            "`--runtime x` is not a known runtime (from the variable `CARGO_LAMBDA_BUNDLE_RUNTIME`)",
        ),
    ] {
        workspace("", "", "")
            .var(&format!("CARGO_LAMBDA_BUNDLE_{name}"), value)
            .refuses(2, "check -p a", &[text])
            .prints("");
    }
}

#[test]
fn without_cargo_variables_count_and_manifests_do_not() {
    let scene = workspace("nonsense = 1", "", "").var("CARGO_LAMBDA_BUNDLE_RUNTIME", "provided.al2");
    let ran = scene.run("config --binary x --message-format json").exits(0);
    let package = &ran.json()["packages"][0];
    assert_eq!(package["package"], Value::Null);
    assert_eq!(of(package, "runtime").0, "provided.al2");
}

#[test]
fn config_prints_a_table() {
    let scene = workspace("runtime = \"provided.al2\"", "dlopen = [\"x\"]", "")
        .var("CARGO_LAMBDA_BUNDLE_COLOR", "never");
    let ran = scene.run("config -p a --sysroot /r").exits(0).says(&[]);
    assert_eq!(ran.stderr, "");
    let line = |name: &str| {
        let line = ran.stdout.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("{name}: {ran}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(ran.stdout.starts_with("# a\n"), "{ran}");
    assert_eq!(line("runtime"), "runtime \"provided.al2\" workspace, Cargo.toml");
    assert_eq!(line("dlopen"), "dlopen [\"x\"] package, a/Cargo.toml");
    assert_eq!(line("color"), "color \"never\" CARGO_LAMBDA_BUNDLE_COLOR");
    assert_eq!(line("sysroot"), "sysroot \"/r\" flag");
    assert_eq!(line("arch"), "arch - default");
}

#[test]
fn config_prints_what_is_in_use_where_ours_say_nothing() {
    let scene = workspace("", "", "").var("CARGO_TERM_QUIET", "true").var("CARGO_TERM_COLOR", "never");
    scene.file(
        ".cargo/config.toml",
        "[build]\ntarget = \"aarch64-unknown-linux-gnu\"\ntarget-dir = \"built\"\n",
    );
    let root = scene.path().canonicalize().unwrap();
    assert_eq!(setting(&scene, "", "profile"), answer("release", "default", Value::Null));
    assert_eq!(
        setting(&scene, "", "target"),
        answer(json!(["aarch64-unknown-linux-gnu"]), "cargo", Value::Null)
    );
    let directory = root.join("built").to_str().unwrap().to_owned();
    assert_eq!(setting(&scene, "", "target-dir"), answer(directory, "cargo", Value::Null));
    assert_eq!(setting(&scene, "", "quiet"), answer(true, "variable", "CARGO_TERM_QUIET"));
    assert_eq!(setting(&scene, "-v", "quiet"), answer(false, "default", Value::Null));
    assert_eq!(setting(&scene, "", "color"), answer("never", "variable", "CARGO_TERM_COLOR"));
    assert_eq!(setting(&scene, "--color always", "color"), answer("always", "flag", Value::Null));
}

#[test]
fn errors_before_the_job_are_in_the_document() {
    let scene = workspace("nonsense = 1", "", "").var("CARGO_LAMBDA_BUNDLE_MESSAGE_FORMAT", "json");
    let ran = scene.run("check -p a").exits(101);
    assert!(ran.json()["error"]["message"].as_str().unwrap().starts_with("unknown key `nonsense`"), "{ran}");
}

/// What the page on settings says about where a setting can be set.
fn where_it_goes(scope: SettingScope) -> &'static str {
    match scope {
        SettingScope::Flag => "flag",
        SettingScope::Variable => "flag, variable",
        SettingScope::Run => "all, one for the run",
        SettingScope::Package => "all",
    }
}

#[test]
fn the_page_lists_every_setting() {
    let page = topic("settings").unwrap().text;
    let listed: Vec<(String, String)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("--")?.split_once(' '))
        .map(|(name, cell)| (name.to_owned(), cell.trim().to_owned()))
        .collect();
    let is_documented = |row: &&Row| !["help", "version"].contains(&row.name.as_str());
    let rows = rows();
    let expected: Vec<(String, String)> = rows
        .iter()
        .filter(is_documented)
        .map(|row| (row.name.clone(), where_it_goes(row.scope).to_owned()))
        .collect();
    assert_eq!(listed, expected);
}
