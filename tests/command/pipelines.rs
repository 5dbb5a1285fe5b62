//! Reports for pipelines: GitHub's annotations and summary, SARIF, the JSON Schema.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;

use crate::support::command::{Ran, bundle_cmd, finish};
use crate::support::elf::Object;
use crate::support::scene::Scene;
use crate::support::{readme, schema, tools};
use serde_json::Value;

/// A directory with `app`, a program that needs `libc.so.6` and these libraries, and an empty build world.
fn scene(needed: &[&str]) -> Scene {
    let scene = Scene::new();
    // As a function it names the Runtime API.
    let app = Object::program().needs("libc.so.6").text("AWS_LAMBDA_RUNTIME_API");
    let app = needed.iter().fold(app, |app, name| app.needs(name));
    scene.file("app", app.bytes());
    scene.dir("empty");
    scene
}

fn github(scene: &Scene, arguments: &str) -> Ran {
    let mut command = scene.command(&format!("{arguments} --message-format github"));
    finish(command.env("GITHUB_STEP_SUMMARY", "summary.md"))
}

const CHECK: &str = "check --binary app --sysroot empty";

#[test]
fn findings_are_annotations_and_stay_on_stderr() {
    let scene = scene(&["libfoo.so.1"]);
    let ran = github(&scene, CHECK).exits(1);
    assert_eq!(
        ran.stdout,
        "::error title=missing-library%3A app on provided.al2023::`app` needs `libfoo.so.1`, which neither \
         provided.al2023 (x86_64) nor this machine has%0Ahelp: install it on this machine, or name a directory that has it with `--library-path DIR`\n",
        "{ran}"
    );
    ran.says(&["error[missing-library]: `app` needs `libfoo.so.1`"]);
}

#[test]
fn names_cannot_end_an_annotation_or_a_cell() {
    let scene = scene(&["lib%0A,:\n::error::x|y`.so"]);
    let ran = github(&scene, CHECK).exits(1);
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
    assert!(ran.stdout.contains("`lib%250A,:\\x0a::error::x|y`.so`"), "{ran}");
    let summary = scene.text("summary.md");
    assert!(summary.contains("lib%0A,:\\x0a::error::x\\|y`.so"), "{summary}");
}

#[test]
fn the_summary_is_added_to_what_is_there() {
    let scene = scene(&["libfoo.so.1"]);
    scene.file("summary.md", "# Before\n");
    github(&scene, CHECK).exits(1);
    let summary = scene.text("summary.md");
    for text in [
        "# Before\n## cargo lambda-bundle\n",
        "| `app` | provided.al2023 (x86_64) | fails | - | ",
        "### Findings: `app` on provided.al2023\n",
        "| error | `missing-library` | `app` needs `libfoo.so.1`, which",
        "```mermaid\ngraph LR\n  n0[\"app\"]:::program\n",
        "\"libfoo.so.1\"]:::missing\n",
    ] {
        assert!(summary.contains(text), "no {text:?}: {summary}");
    }
}

#[test]
fn a_summary_of_an_error_says_why() {
    let scene = scene(&[]);
    let ran = github(&scene, "check --binary gone").exits(101);
    assert!(ran.stdout.starts_with("::error title=cargo lambda-bundle has no result::`"), "{ran}");
    let summary = scene.text("summary.md");
    assert!(summary.contains("No answer:\n\n```text\n") && summary.contains("does not exist"), "{summary}");
}

#[test]
fn of_all_runtimes_only_the_configured_one_is_annotated() {
    let scene = scene(&["libssl.so.3"]);
    let ran = github(&scene, &format!("{CHECK} --runtime all")).exits(0);
    assert_eq!(ran.stdout, "", "{ran}");
    let summary = scene.text("summary.md");
    assert!(summary.contains("| `app` | provided.al2 (x86_64) | fails |"), "{summary}");
}

#[track_caller]
/// A code quality report, of which every entry has the fields that GitLab's documentation lists, and no other.
fn gitlab(ran: &Ran) -> Vec<Value> {
    let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let schema = serde_json::json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["description", "check_name", "fingerprint", "severity", "location"],
            "additionalProperties": false,
            "properties": {
                "description": { "type": "string", "minLength": 1 },
                "check_name": { "type": "string", "minLength": 1 },
                "fingerprint": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
                "severity": { "enum": ["info", "minor", "major", "critical", "blocker"] },
                "location": {
                    "type": "object",
                    "required": ["path", "lines"],
                    "additionalProperties": false,
                    "properties": {
                        "path": { "type": "string", "pattern": "^[^./]" },
                        "lines": {
                            "type": "object",
                            "required": ["begin"],
                            "properties": { "begin": { "type": "integer", "minimum": 1 } },
                        },
                    },
                },
            },
        },
    });
    schema::check(&document, &jsonschema::validator_for(&schema).unwrap());
    document.as_array().unwrap().clone()
}

#[test]
fn gitlab_gets_a_code_quality_report() {
    let scene = scene(&["libfoo.so.1", "libbar.so.2"]);
    let words = format!("{CHECK} --message-format gitlab");
    let first = gitlab(&scene.run(&words).exits(1));
    let of = |issue: &Value, key: &str| issue[key].as_str().unwrap().to_owned();
    assert!(
        first.iter().all(|issue| issue["check_name"] == "missing-library" && issue["severity"] == "blocker")
    );
    let texts: Vec<String> = first.iter().map(|issue| of(issue, "description")).collect();
    assert!(texts[0].starts_with("app on provided.al2023: `app` needs "), "{texts:?}");
    assert!(texts[0].contains("\nhelp: "), "{texts:?}");
    assert_eq!(first[0]["location"], serde_json::json!({ "path": "app", "lines": { "begin": 1 } }));
    let prints =
        |issues: &[Value]| -> Vec<String> { issues.iter().map(|issue| of(issue, "fingerprint")).collect() };
    let all: std::collections::BTreeSet<String> = prints(&first).into_iter().collect();
    assert_eq!(all.len(), first.len());
    // The same in another directory, and with another finding before it.
    let other = self::scene(&["libaaa.so.1", "libfoo.so.1", "libbar.so.2"]);
    let again = prints(&gitlab(&other.run(&format!("{words} --assume-present libaaa.so.1")).exits(1)));
    assert_eq!(prints(&first), again);
    // The exit status and stderr stay.
    scene.run(&words).exits(1).says(&["error[missing-library]: `app` needs "]);
    let nothing = gitlab(&scene.run(&format!("{words} --assume-present lib*")).exits(0));
    assert!(nothing.iter().all(|issue| issue["severity"] != "blocker"), "{nothing:?}");
    let failed = gitlab(&scene.run("check --binary gone --message-format gitlab").exits(101));
    assert_eq!((failed.len(), &failed[0]["check_name"]), (1, &"no-result".into()));
}

#[test]
fn a_graph_of_the_runtimes_libraries_alone_is_left_out() {
    let scene = scene(&[]);
    github(&scene, CHECK).exits(0);
    let summary = scene.text("summary.md");
    assert!(summary.contains("| `app` |") && !summary.contains("mermaid"), "{summary}");
    let scene = Scene::with_top("");
    github(&scene, "check --binary app --library-path libs --allow not-a-runtime").exits(0);
    assert!(scene.text("summary.md").contains("```mermaid\ngraph LR\n  n0[\"app\"]:::program\n"));
}

fn sarif(scene: &Scene, arguments: &str, code: i32) -> Value {
    let ran = scene.run(&format!("{arguments} --message-format sarif")).exits(code);
    let document = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    if let Some(schema) = schema::sarif() {
        schema::check(&document, &schema);
    }
    document
}

#[test]
fn sarif_has_rules_and_places() {
    let scene = scene(&["libfoo.so.1"]);
    let document = sarif(&scene, CHECK, 1);
    let run = &document["runs"][0];
    let result = &run["results"][0];
    assert_eq!(result["ruleId"], "missing-library");
    assert_eq!(result["level"], "error");
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "app");
    let index = result["ruleIndex"].as_u64().unwrap() as usize;
    let rule = &run["tool"]["driver"]["rules"][index];
    assert_eq!(rule["id"], "missing-library");
    // The page that `explain` prints.
    for form in ["text", "markdown"] {
        let help = rule["help"][form].as_str().unwrap();
        assert!(help.starts_with("# missing-library\n") && help.contains("\n## What to do\n"), "{help}");
    }
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
}

#[test]
fn sarif_says_why_there_is_no_answer() {
    let scene = scene(&[]);
    let document = sarif(&scene, "check --binary gone", 101);
    let invocation = &document["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let text = invocation["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap();
    assert!(text.contains("gone` does not exist"), "{text}");
}

#[test]
fn a_written_bundle_prints_nothing_beside_its_document() {
    let scene = scene(&[]);
    let document = sarif(&scene, "--binary app --sysroot empty -o app.zip", 0);
    assert_eq!(document["runs"][0]["results"].as_array().map(Vec::len), Some(0));
    assert!(scene.has("app.zip"));
}

#[test]
fn paths_elsewhere_are_whole_uris() {
    let scene = scene(&["libfoo.so.1"]);
    let place = scene.at("with space");
    std::fs::create_dir_all(place.join("empty")).unwrap();
    std::fs::rename(scene.at("app"), place.join("app")).unwrap();
    let inner = scene.at("empty");
    let mut command = bundle_cmd(&inner);
    command.args(["check", "--sysroot", ".", "--message-format", "sarif", "--binary"]).arg(place.join("app"));
    let ran = finish(&mut command).exits(1);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let uri =
        &document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    let uri = uri.as_str().unwrap();
    assert!(uri.starts_with("file:///") && uri.ends_with("/with%20space/app"), "{uri}");
}

#[test]
fn the_schema_is_printed_as_it_is_published() {
    let scene = Scene::new();
    scene.run("schema").exits(0).prints(cargo_lambda_bundle::cli::documents::SCHEMA);
    assert!(jsonschema::meta::is_valid(
        &serde_json::from_str(cargo_lambda_bundle::cli::documents::SCHEMA).unwrap()
    ));
}

#[test]
fn every_shell_gets_completions_of_every_command() {
    let scene = Scene::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = scene.run(&format!("completions {shell}")).exits(0);
        assert!(ran.stdout.contains("cargo-lambda-bundle"), "{shell}");
        // The others ask the program.
        if ["powershell", "elvish"].contains(&shell) {
            assert!(ran.stdout.contains("verify") && ran.stdout.contains("attached-layer"), "{shell}");
        }
    }
    scene.run("completions fnord").exits(2);
}

#[test]
fn each_subcommand_has_a_manual_page() {
    let scene = Scene::new();
    let page = scene.run("man").exits(0).stdout;
    assert!(page.starts_with(".TH CARGO\\-LAMBDA\\-BUNDLE 1 \"20"), "{page}");
    // Whatever the variables say.
    let mut command = scene.command("");
    finish(command.arg("man").env("CARGO_LAMBDA_BUNDLE_FNORD", "1")).exits(0).prints(&page);

    scene.file("file", "");
    scene.refuses(
        101,
        "man file",
        &["could not write `", "help: name another directory: `cargo lambda-bundle man DIR`"],
    );
    let written = scene.run("man pages").exits(0).stdout;
    assert_eq!(scene.text("pages/cargo-lambda-bundle.1"), page);
    for name in ["check", "explain", "verify", "baseline", "baseline-capture", "completions", "help", "man"] {
        let name = format!("pages/cargo-lambda-bundle-{name}.1");
        assert!(written.lines().any(|line| line.ends_with(&name)), "no {name} in {written}");
    }
    for topic in cargo_lambda_bundle::cli::topics::TOPICS {
        let page = scene.text(format!("pages/cargo-lambda-bundle-{}.7", topic.name));
        // Examples as they are typed.
        let source = page.replace("\\-", "-").replace("\\&", "");
        for line in
            readme::blocks(topic.text).flat_map(str::lines).filter(|it| it.starts_with("cargo lambda-bundle"))
        {
            let line = line.replace('`', "\\(ga").replace('\'', "\\(aq").replace('\\', "\\e");
            let line = line.replace("\\e(", "\\(");
            assert!(source.lines().any(|it| it == line), "{}: no {line:?} in {source}", topic.name);
        }
    }
    let pages: Vec<&str> = written.lines().collect();
    if tools::require("mandoc", "mandoc") {
        let mut mandoc = crate::support::command::command("mandoc", scene.path());
        finish(mandoc.arg("-Tlint").args(&pages)).exits(0).prints("");
    }
    if tools::require("groff", "groff-base") {
        let mut groff = crate::support::command::command("groff", scene.path());
        let ran = finish(groff.args(["-man", "-Tutf8", "-ww", "-rLL=80n"]).arg(pages[0])).exits(0);
        assert_eq!(ran.stderr, "");
        // As they are typed: no other hyphens and quotes, nothing wrapped.
        let line =
            "cargo lambda-bundle --binary ./server -o app.zip bundle a program that cargo did not build";
        assert!(ran.stdout.contains(line), "{ran}");
        // Bold letters are printed one over the other.
        let mut shown = String::new();
        for letter in ran.stdout.chars() {
            match letter {
                '\u{8}' => drop(shown.pop()),
                letter => shown.push(letter),
            }
        }
        for text in
            ["--write-anyway", "Also write a list of the bundle's contents", "-F, --features FEATURES"]
        {
            assert!(shown.contains(text), "no {text}: {ran}");
        }
    }
}

#[test]
fn cargo_shows_its_help() {
    let scene = Scene::new();
    let bin = Path::new(env!("CARGO_BIN_EXE_cargo-lambda-bundle")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for arguments in [&["lambda-bundle", "--help"][..], &["help", "lambda-bundle"]] {
        let mut cargo = crate::support::command::command("cargo", scene.path());
        let ran = finish(cargo.args(arguments).env("PATH", &path)).exits(0);
        assert!(ran.stdout.contains("Usage: cargo lambda-bundle [OPTIONS]"), "{ran}");
        assert!(ran.stdout.contains("completions"), "{ran}");
    }
}
