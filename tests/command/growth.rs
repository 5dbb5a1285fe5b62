//! `size`: crates, `--max-size`, and what grew since before.
#![cfg(target_os = "linux")]

use serde_json::Value;

use crate::support::command::Ran;
use crate::support::elf::Object;
use crate::support::scene::Scene;
use crate::support::tools;

const DEP: &str = "#[inline(never)] pub fn add(a: &[u64]) -> u64 { a.iter().map(|x| x * 3).sum() }
pub static TABLE: [u64; 500] = [7; 500];
pub trait Named { fn named(&self) -> usize; }
impl<T: std::fmt::Debug> Named for T {
    #[inline(never)] fn named(&self) -> usize { format!(\"{self:?}\").len() }
}\n";
const APP: &str = "use dep::Named; fn main() {
    let n = std::env::args().count();
    println!(\"{} {}\", dep::add(&dep::TABLE[n..]), n.named());
}\n";

/// A Rust program `app` with a crate `dep`, both compiled with these flags.
fn rust(flags: &str) -> Scene {
    let scene = Scene::new();
    scene.file("dep.rs", DEP).file("app.rs", APP);
    scene.tool("rustc", &format!("--edition 2021 -O --crate-type rlib {flags} dep.rs")).exits(0);
    scene.tool("rustc", &format!("--edition 2021 -O {flags} --extern dep=libdep.rlib app.rs")).exits(0);
    scene
}

fn crates(ran: &Ran) -> Vec<(String, u64)> {
    let document = ran.json();
    let crates = document["artifacts"][0]["sizes"]["files"][0]["crates"].as_array().unwrap();
    let part = |part: &Value| (part["name"].as_str().unwrap().to_owned(), part["bytes"].as_u64().unwrap());
    crates.iter().map(part).collect()
}

/// The sum of the sizes of the symbols that `nm` shows with this start, whatever its form of names is.
fn by_nm(scene: &Scene, starts: &[&str]) -> u64 {
    let output = scene.tool("nm", "-S --defined-only -C app").exits(0).stdout;
    let lines = output.lines().filter_map(|line| {
        let mut words = line.splitn(4, ' ').skip(1);
        let (size, _, name) = (words.next()?, words.next()?, words.next()?);
        starts.iter().any(|start| name.starts_with(start)).then_some(size)
    });
    lines.map(|size| u64::from_str_radix(size, 16).unwrap()).sum()
}

#[test]
fn crates_are_as_large_as_nm_says() {
    if !tools::require("nm", "binutils") {
        return;
    }
    // The stable compiler does not let one ask for the older form, which is its default.
    for flags in ["", "-Csymbol-mangling-version=v0"] {
        let scene = rust(flags);
        let crates = crates(&scene.run("size --binary app --message-format json").exits(0));
        let of =
            |name: &str| crates.iter().find(|(it, _)| it == name).unwrap_or_else(|| panic!("{crates:?}")).1;
        let dep = by_nm(&scene, &["dep::", "<usize as dep::", "<T as dep::"]);
        assert_eq!((of("dep"), dep > 4_000), (dep, true), "{flags}: {crates:?}");
        assert!(of("std") > 10_000 && of("core") > 10_000 && of("app") > 0, "{crates:?}");
        let sizes: Vec<u64> = crates.iter().map(|(_, bytes)| *bytes).collect();
        assert!(sizes.is_sorted_by(|one, other| one >= other), "{crates:?}");
    }
    let stripped = rust("-Cstrip=symbols");
    let ran = stripped.run("size --binary app --message-format json").exits(0);
    assert!(ran.json()["artifacts"][0]["sizes"]["files"][0].get("crates").is_none(), "{ran}");
}

#[test]
fn a_crate_that_grew_is_named() {
    let scene = rust("");
    scene.run("--binary app -o before.zip -q").exits(0);
    let report = scene.run("size --binary app --message-format json").exits(0).stdout;
    scene.file("before.json", report);
    scene.file("dep.rs", DEP.replace("500", "9000"));
    scene.tool("rustc", "--edition 2021 -O --crate-type rlib dep.rs").exits(0);
    scene.tool("rustc", "--edition 2021 -O --extern dep=libdep.rlib app.rs").exits(0);
    let grown = 8 * 8_500;
    for before in ["before.zip", "before.json"] {
        let ran = scene.run(&format!("size --binary app --against {before} --message-format json")).exits(0);
        let document = ran.json();
        let growth = &document["artifacts"][0]["growth"];
        let first = |list: &str| growth[list][0].clone();
        let dep = first("crates");
        assert_eq!((&dep["name"], &dep["file"]), (&"dep".into(), &"bootstrap".into()), "{growth:#}");
        let change = |row: &Value| row["bytes"].as_u64().unwrap() - row["before_bytes"].as_u64().unwrap();
        assert_eq!(change(&dep), grown, "{growth:#}");
        assert_eq!(first("sections")["name"], ".rodata");
        assert_eq!(first("files")["name"], "bootstrap");
        assert!(change(growth) >= grown, "{growth:#}");
        let text = scene.run(&format!("size --binary app --against {before}")).exits(0).stdout;
        assert!(text.contains(&format!("\nsince {before}: +")), "{text}");
        assert!(text.contains("\n  dep of bootstrap ") && text.contains(" +68.0 kB\n"), "{text}");
    }
}

/// A directory with `app`, which needs `libtop.so.1`, and its bundle.
fn bundled(flags: &str) -> Scene {
    let scene = Scene::with_top("-g");
    scene.run(&format!("--binary app --library-path libs -o before.zip {flags}")).exits(0);
    scene
}

#[test]
fn a_bundle_did_not_grow_since_it_was_written() {
    for flags in ["", "--strip", "--strip --bundle-lib nothing* --include app=data/app"] {
        let scene = bundled(flags);
        let size = format!("size --binary app --library-path libs {flags}");
        for (name, run) in [("check.json", "check"), ("bundle.json", "-o again.zip"), ("size.json", "size")] {
            let run = format!("{run} --binary app --library-path libs {flags} --message-format json");
            let document = scene.run(&run).exits(0).stdout;
            scene.file(name, document);
        }
        let directory = format!("--binary app --library-path libs {flags} --dir -o out");
        scene.run(&directory).exits(0);
        for before in ["before.zip", "bundle.json", "size.json", "out"] {
            let ran = scene.run(&format!("{size} --against {before} --max-growth 0")).exits(0);
            assert!(
                ran.stdout.contains(&format!("\nsince {before}: as large as before, ")),
                "{flags}: {ran}"
            );
            assert!(ran.stdout.ends_with(" kB\n"), "nothing changed: {ran}");
        }
        // A check does not strip, so it knows about how large files are then.
        let about = scene.run(&format!("{size} --against check.json --max-growth 10%")).exits(0);
        assert!(about.stdout.contains("\nsince check.json: "), "{about}");
    }
}

#[test]
fn growth_is_an_error_only_over_its_limit() {
    let scene = bundled("");
    scene.file("more.txt", [b'x'; 1000]);
    let size = "size --binary app --library-path libs --include more.txt --against before.zip";
    scene.run(&format!("{size} --max-growth 1000")).exits(0);
    scene.run(&format!("{size} --max-growth 50%")).exits(0);
    let ran = scene.run(&format!("{size} --max-growth 999")).exits(1).says(&[
        "error[size-grown]: `app` grew by 1.0 kB, from ",
        "; `--max-growth` allows 999 bytes\n  most of it: `more.txt` +1.0 kB\n",
        "help: look at what was added, or raise `--max-growth` for this change\n",
    ]);
    assert!(ran.stdout.contains("\n  more.txt     0 bytes      1.0 kB      +1.0 kB\n"), "{ran}");
    let document = scene.run(&format!("{size} --max-growth 0.1% --message-format json")).exits(1).json();
    let artifact = &document["artifacts"][0];
    assert_eq!(
        (&artifact["verdict"], &artifact["findings"][0]["code"]),
        (&"starts".into(), &"size-grown".into())
    );
    // It also gets smaller.
    scene.run("--binary app --library-path libs --include more.txt -o large.zip").exits(0);
    let ran = scene.run("size --binary app --library-path libs --against large.zip --max-growth 0").exits(0);
    assert!(ran.stdout.contains("\n  more.txt      1.0 kB     0 bytes      -1.0 kB\n"), "{ran}");
}

#[test]
fn a_bundle_over_its_budget_is_not_written() {
    let scene = bundled("");
    let document = scene.run("check --binary app --library-path libs --message-format json").exits(0).json();
    let sum: u64 = {
        let files = document["artifacts"][0]["sizes"]["files"].as_array().unwrap();
        files.iter().map(|file| file["bytes"].as_u64().unwrap()).sum()
    };
    let all = "--binary app --library-path libs --max-size";
    let (fits, over) = (format!("{all} {sum}"), format!("{all} {}", sum - 1));
    scene.run(&format!("check {fits}")).exits(0);
    scene.run(&format!("size {fits}")).exits(0);
    scene.run(&format!("{fits} -o fits.zip")).exits(0);
    let finding = "error[size-budget]: `app` is ";
    scene.run(&format!("size {over}")).exits(1).says(&[finding]);
    scene.run(&format!("check {over}")).exits(1).says(&[
        finding,
        " unzipped, 1 byte over the ",
        "help: remove ",
        " of debug information with `--strip`\n",
        "      Failed app: starts on provided.al2023 (x86_64), but it is larger than allowed\n",
    ]);
    scene
        .run(&format!("{over} -o over.zip"))
        .exits(1)
        .says(&[finding, "     Stopped `app` is larger than allowed; nothing was written\n"]);
    assert!(!scene.has("over.zip"));
    scene.run(&format!("{over} -o over.zip --write-anyway")).exits(1);
    assert!(scene.has("over.zip"));
    // Stripped, it fits.
    scene.run(&format!("{over} --strip -o stripped.zip")).exits(0);
    scene
        .run(&format!("{all} 5kB --strip -o small.zip"))
        .exits(1)
        .says(&["help: see what takes up space with "]);
}

#[test]
fn the_summary_on_github_has_the_growth() {
    let scene = bundled("");
    scene.file("more.txt", [b'x'; 1000]);
    let run = "size --binary app --library-path libs --include more.txt --against before.zip";
    let mut command = scene.command(run);
    command.args(["--message-format", "github"]).env("GITHUB_STEP_SUMMARY", "summary.md");
    crate::support::command::finish(&mut command).exits(0);
    let summary = scene.text("summary.md");
    assert!(summary.contains("\n### Growth: `app`\n\n+1.0 kB (+"), "{summary}");
    assert!(summary.contains(", since `before.zip`\n"), "{summary}");
    assert!(summary.contains("\n| file | `more.txt` | 0 bytes | 1.0 kB | +1.0 kB |\n"), "{summary}");
}

#[test]
fn several_programs_are_compared_each_with_its_own() {
    let scene = Scene::new();
    scene.file("one", Object::program().bytes()).file("two", Object::program().bytes());
    let both = "size --binary one --binary two";
    scene.file("both.json", scene.run(&format!("{both} --message-format json")).exits(0).stdout);
    scene.file("one.json", scene.run("size --binary one --message-format json").exits(0).stdout);
    scene.run(&format!("{both} --against both.json --max-growth 0")).exits(0);
    scene
        .run(&format!("{both} --against one.json --max-growth 0"))
        .exits(0)
        .says(&["         New two is not in ", "one.json: there is nothing to compare it with\n"]);
    scene.refuses(
        101,
        "size --binary two --against one.json",
        &["/one.json` has no sizes of `two`", "it is the report of one"],
    );
    scene.run("--binary one -o old/one.zip").exits(0);
    scene.run("--binary two -o old/two.zip").exits(0);
    scene.run(&format!("{both} --against old/{{bin}}.zip --max-growth 0")).exits(0);
    scene.run(&format!("{both} --against old/one.zip")).says(&[
        "old/one.zip` is one bundle, but several programs are selected\n",
        "help: tell them apart, such as `--against before/{bin}.zip`",
    ]);
}

#[test]
fn bad_limits_and_files_are_refused() {
    let scene = Scene::new();
    scene.file("app", Object::program().bytes());
    let refuses = |code, arguments: &str, texts: &[&str]| {
        scene.refuses(code, &format!("size --binary app {arguments}"), texts);
    };
    let is_no_size = "expected a size, such as 50MB, 64MiB or 262144000";
    refuses(2, "--max-size 5x", &["'5x' for '--max-size <SIZE>'", is_no_size]);
    refuses(
        2,
        "--against x --max-growth 5x",
        &["'5x' for '--max-growth <GROWTH>'", is_no_size, "a percentage, such as 5%"],
    );
    refuses(2, "--max-growth 5%", &["`--max-growth` has no effect without `--against`"]);
    refuses(2, "--against {bins}.zip", &["`{bins}` of `--against` is not a placeholder"]);
    refuses(101, "--against nothing", &["/nothing` does not exist", "help: name a bundle, or the JSON"]);
    for (name, text) in [("cut.json", "{\"schema\": "), ("other.json", "{}"), ("text", "PK"), ("empty", "")] {
        scene.file(name, text);
        refuses(101, &format!("--against {name}"), &[&format!("/{name}` is ")]);
    }
    let hostile = r#"{"schema": "cargo-lambda-bundle/report", "version": 1, "artifacts": [{"name": "app", "sizes":
        {"files": [{"entry": "bootstrap", "bytes": 18446744073709551615, "debug_bytes": 1, "tail_bytes": 0, "sections":
        [{"name": "a", "bytes": 18446744073709551615}, {"name": "a", "bytes": 1}]}, {"entry": "x\u001b[31m", "bytes": 1}]}}]}"#;
    scene.file("hostile.json", hostile);
    let ran = scene.run("size --binary app --against hostile.json").exits(0);
    assert!(!ran.stdout.contains('\u{1b}'), "{ran}");
}

#[test]
fn a_limit_may_be_in_a_variable() {
    let scene = Scene::new().var("CARGO_LAMBDA_BUNDLE_MAX_SIZE", "2kB");
    scene.file("app", [Object::program().bytes(), vec![0; 3000]].concat());
    scene.run("check --binary app").exits(1).says(&["over the 2.0 kB of `--max-size`"]);
    scene.run("check --binary app --max-size 1MB").exits(0);
}
