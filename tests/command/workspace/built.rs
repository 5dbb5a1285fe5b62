//! Building, and what a build leaves: the directories of build scripts, and the sources that it was made from.

use std::fs;
use std::time::{Duration, SystemTime};

use cargo_lambda_bundle::workspace::{
    BuiltProgram, Checkouts, LibraryDirOrigin, Origin, Selection, rustc_target_libdir,
};

use super::{
    ARM, GNU, MAIN, Project, X86_64, all, bins, manifest, profile, set_modified, single, strings, targets,
};

#[test]
fn a_build_that_passes_over_all_programs_names_the_features() {
    let extra = "[features]\nextra = []\n[[bin]]\nname = \"extra\"\nrequired-features = [\"extra\"]\n";
    let project = Project::new(&[("Cargo.toml", &(manifest("orders") + extra)), ("src/bin/extra.rs", MAIN)]);
    project.check_error(
        Selection { build: true, ..all() },
        &["`cargo build --release` did not build `extra`", "help: add `--features extra`"],
    );
}

#[test]
fn a_build_takes_jobs_and_configuration_as_cargo_does() {
    let project = single();
    project.file("more.toml", format!("[build]\ntarget = \"{ARM}\"\n"));
    let configs = strings(&["more.toml", "build.target-dir=\"other\"", &format!("build.target=\"{GNU}\"")]);
    let build = |configs: &[String], jobs: Option<&str>| Selection {
        build: true,
        configs: configs.to_vec(),
        jobs: jobs.map(str::to_owned),
        ..all()
    };
    // The last value counts.
    let built = project.find(&build(&configs, Some("1")));
    let line = format!("orders orders built {GNU} release other/{GNU}/release/orders");
    assert_eq!(project.line(&built[0]), line);
    let refused = ["`cargo build --release --jobs x` failed", "caused by: exit status: 101"];
    project.check_error(build(&[], Some("x")), &refused);
}

/// A package whose build script leaves directories with libraries.
fn with_build_script() -> Project {
    let project = single();
    project.file("elsewhere/lib.txt", "");
    project.file(
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
    project
}

/// The directories with why they count; hashes are cut off.
fn library_dirs(project: &Project, artifact: &BuiltProgram) -> Vec<String> {
    let line = |dir: &cargo_lambda_bundle::workspace::LibraryDir| {
        let why = match &dir.origin {
            LibraryDirOrigin::BuildScript { package } => format!("{package}'s"),
            LibraryDirOrigin::LinkSearch { package } => format!("{package}'s, outside"),
            LibraryDirOrigin::Profile => "profile".to_owned(),
            LibraryDirOrigin::Deps => "deps".to_owned(),
            LibraryDirOrigin::Flags => "flags".to_owned(),
            LibraryDirOrigin::Rustc => "rustc".to_owned(),
        };
        assert!(dir.path.is_dir() && !dir.path.as_str().ends_with('/'), "{}", dir.path);
        let path = dir.path.strip_prefix(&project.root).unwrap_or(&dir.path);
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
    let project = with_build_script();
    let built = project.find(&Selection { build: true, ..all() });
    assert_eq!(project.line(&built[0]), "orders orders built - release target/release/orders");
    assert_eq!(built[0].newer_source, None);
    assert_eq!(
        library_dirs(&project, &built[0]),
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
    let found = project.find(&all());
    assert_eq!(project.line(&found[0]), "orders orders cargo - release target/release/orders");
    assert_eq!(library_dirs(&project, &found[0]), by_record);

    // A target directory that moved (a cache, a container's mount) keeps the old paths in its records.
    fs::rename(project.path_to("target"), project.path_to("moved")).unwrap();
    let moved = project.find(&Selection { target_dir: Some("moved".into()), ..all() });
    let by_record: Vec<String> = by_record.iter().map(|line| line.replace("target/", "moved/")).collect();
    assert_eq!(library_dirs(&project, &moved[0]), by_record);

    // cargo-lambda moves the program; the names in its place say neither target nor profile.
    fs::create_dir_all(project.path_to("moved/lambda/orders")).unwrap();
    let bootstrap = project.path_to("moved/lambda/orders/bootstrap");
    fs::rename(project.path_to("moved/release/orders"), &bootstrap).unwrap();
    set_modified(&bootstrap, SystemTime::now() - Duration::from_secs(3600));
    let selection = Selection { target_dir: Some("moved".into()), ..profile("release") };
    let moved = project.find(&selection);
    assert_eq!(moved[0].origin, Origin::CargoLambda);
    assert_eq!(library_dirs(&project, &moved[0]), by_record);
    assert_eq!(moved[0].newer_source, Some(project.path_to("build.rs")));
}

#[test]
fn the_build_directory_has_the_records() {
    let project = with_build_script().var("CARGO_BUILD_BUILD_DIR", "intermediate");
    project.cargo(&format!("build --release --target {GNU}"));
    let found = project.find(&all());
    assert_eq!(found[0].target.as_deref(), Some(GNU));
    assert_eq!(
        library_dirs(&project, &found[0]),
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
    let project = single();
    project.program("target/release/orders", X86_64, "");
    let run = "target/release/build/my-sys/0123456789abcdef";
    project.file(format!("{run}/out/lib.txt"), "");
    project.file(format!("{run}/run/root-output"), project.path_to(&format!("{run}/out")).as_str());
    let search = format!("cargo::rustc-link-search=native={}\n", project.path_to(&format!("{run}/out")));
    project.file(format!("{run}/run/stdout"), search);
    let found = project.find(&all());
    let expected = ["target/release/build/my-sys/0123456789abcdef/out my-sys's", "target/release profile"];
    assert_eq!(library_dirs(&project, &found[0]), expected);
}

#[test]
fn the_newest_record_comes_first() {
    let project = single();
    project.program("target/release/orders", X86_64, "");
    for (hash, age) in [("0000000000000000", 60), ("1111111111111111", 0), ("2222222222222222", 30)] {
        let run = format!("target/release/build/my-sys-{hash}");
        project.file(format!("{run}/out/lib.txt"), "");
        let search = format!("cargo:rustc-link-search={}\n", project.path_to(&format!("{run}/out")));
        project.file(format!("{run}/output"), search);
        set_modified(
            &project.path_to(&format!("{run}/output")),
            SystemTime::now() - Duration::from_secs(age),
        );
    }
    let found = project.find(&all());
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
    let project = with_build_script();
    project.file("examples/demo.rs", MAIN);
    let musl = "x86_64-unknown-linux-musl";
    let libdir = rustc_target_libdir(Some(musl), &Checkouts::new(&project.environment, None)).unwrap();
    let asked = if libdir.is_some() { vec![musl, GNU] } else { vec![GNU] };
    let selection = Selection { build: true, targets: strings(&asked), ..bins(&["orders"]) };
    let lines: Vec<String> = asked
        .iter()
        .map(|it| format!("orders orders built {it} release target/{it}/release/orders"))
        .collect();
    project.check(selection.clone(), &lines.iter().map(String::as_str).collect::<Vec<_>>());
    for artifact in project.find(&selection) {
        let target = artifact.target.as_deref().unwrap();
        let own = format!("target/{target}/release/build/orders/out/a orders's");
        assert_eq!(library_dirs(&project, &artifact)[0], own);
    }
    let selection = Selection { build: true, examples: strings(&["demo"]), ..all() };
    project.check(selection, &["orders demo built - release target/release/examples/demo"]);
}

#[test]
fn a_build_that_cannot_be_done_says_so() {
    let project = single();
    project.check_error(
        Selection { build: true, ..targets(&["x86_64-unknown-linux-gnu.2.34"]) },
        &[
            "cargo cannot build for `x86_64-unknown-linux-gnu.2.34`: it has a libc version",
            "help: add `--build-with zigbuild`, or say `--target x86_64-unknown-linux-gnu`",
        ],
    );
    project.file("src/main.rs", "fn main() { nonsense }");
    let selection = Selection { build: true, features: vec![], all_features: true, ..profile("dev") };
    project.check_error(
        selection,
        &["`cargo build --profile dev --all-features` failed", "caused by: exit status: 101"],
    );
}

#[test]
fn a_source_that_is_newer_is_named() {
    let renamed = "[[bin]]\nname = \"my-orders\"\npath = \"src/with space.rs\"\n";
    let project = Project::new(&[
        ("Cargo.toml", &(manifest("orders") + renamed)),
        ("src/with space.rs", "mod part;\nfn main() {}\n"),
        ("src/part.rs", ""),
    ]);
    project.cargo("build");
    assert_eq!(project.find(&profile("dev"))[0].newer_source, None);
    let later = SystemTime::now() + Duration::from_secs(60);
    set_modified(&project.path_to("src/with space.rs"), later);
    let found = project.find(&profile("dev"));
    assert_eq!(found[0].newer_source, Some(project.path_to("src/with space.rs")));
    assert!(found[0].modified < later);
    set_modified(&project.path_to("src/part.rs"), later);
    assert_eq!(project.find(&profile("dev"))[0].newer_source, Some(project.path_to("src/part.rs")));
    project.file(".cargo/config.toml", "[build]\ndep-info-basedir = \".\"\n");
    set_modified(&project.path_to("src/part.rs"), SystemTime::now() - Duration::from_secs(60));
    set_modified(&project.path_to("src/with space.rs"), SystemTime::now() - Duration::from_secs(60));
    project.cargo("build");
    set_modified(&project.path_to("src/part.rs"), later);
    let project = project.in_dir("src");
    assert_eq!(project.find(&profile("dev"))[0].newer_source, Some(project.path_to("src/part.rs")));
}

#[test]
fn a_manifest_or_lock_file_that_a_build_would_heed_is_named() {
    let project = Project::new(&[
        ("Cargo.toml", &(manifest("orders") + "[features]\none = []\n[dependencies]\npart = \"*\"\n")),
        ("src/main.rs", "fn main() { part::part() }\n"),
        (
            ".cargo/config.toml",
            "[source.crates-io]\nreplace-with = \"v\"\n[source.v]\ndirectory = \"vendor\"\n",
        ),
    ]);
    let vendor = |version: &str| {
        let directory = format!("vendor/part-{version}");
        let own = manifest("part").replace("1.23.4", version);
        project.file(format!("{directory}/Cargo.toml"), own);
        project.file(format!("{directory}/src/lib.rs"), "pub fn part() {}\n");
        project.file(format!("{directory}/.cargo-checksum.json"), "{\"files\":{},\"package\":null}");
    };
    vendor("1.0.0");
    project.cargo("build --release");
    let newer = || project.find(&all())[0].newer_source.clone();
    assert_eq!(newer(), None);
    // A new time, or a table of another tool, is nothing to cargo.
    let later = SystemTime::now() + Duration::from_secs(60);
    for name in ["Cargo.toml", "Cargo.lock"] {
        set_modified(&project.path_to(name), later);
    }
    assert_eq!(newer(), None);
    let text = String::from_utf8(project.read("Cargo.toml")).unwrap();
    project.file("Cargo.toml", format!("{text}[package.metadata.lambda-bundle]\n"));
    set_modified(&project.path_to("Cargo.toml"), later);
    assert_eq!(newer(), None);
    // The help, followed by the letter.
    project.file("Cargo.toml", text.replace("one = []", "one = []\ntwo = []"));
    set_modified(&project.path_to("Cargo.toml"), later);
    assert_eq!(newer(), Some(project.path_to("Cargo.toml")));
    project.cargo("build --release");
    assert_eq!(newer(), None);
    vendor("1.1.0");
    project.cargo("update --offline");
    set_modified(&project.path_to("Cargo.lock"), later);
    assert_eq!(newer(), Some(project.path_to("Cargo.lock")));
    project.cargo("build --release");
    assert_eq!(newer(), None);
}

#[test]
fn rustcs_library_directory_has_libstd() {
    let project = single();
    let checkouts = Checkouts::new(&project.environment, None);
    let directory = rustc_target_libdir(None, &checkouts).unwrap().unwrap();
    let has_std = |entry: camino::Utf8DirEntry| entry.file_name().starts_with("libstd-");
    assert!(directory.read_dir_utf8().unwrap().any(|entry| has_std(entry.unwrap())), "{directory}");
    assert_eq!(rustc_target_libdir(Some("nonsense"), &checkouts).unwrap(), None);
}
