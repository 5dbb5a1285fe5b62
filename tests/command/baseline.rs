//! `baseline`: what it lists, shows and compares, as text and as JSON.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;

use crate::support::command::{Ran, run};
use serde_json::Value;

fn ask(arguments: &str) -> Ran {
    run(Path::new("/"), &format!("baseline {arguments}"))
}

#[track_caller]
fn ask_json(arguments: &str) -> Value {
    let ran = ask(&format!("{arguments} --message-format json")).exits(0);
    let document = ran.json();
    assert_eq!(
        (&document["schema"], &document["version"]),
        (&"cargo-lambda-bundle/baseline".into(), &1.into())
    );
    document
}

#[test]
fn the_list_has_every_runtime_once() {
    let ran = ask("list").exits(0);
    assert_eq!(ran.stderr, "");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = ran.stdout.lines().map(words).collect();
    assert_eq!(rows[0][..4], ["runtime", "arch", "glibc", "objects"]);
    let row =
        |name: &str| rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no {name}: {ran}"));
    assert_eq!(row("provided.al2")[1..7], ["x86_64", "arm64", "2.26", "111,", "2", "doubtful"]);
    assert_eq!(row("java8")[1..6], ["x86_64", "2.17", "25,", "not", "all"]);
    assert_eq!(row("nodejs22.x").last().unwrap(), "languages.al2023");
    assert!(row("ruby3.4").contains(&"2028-03-31".to_owned()));
    // One date, not a range from a day to the same.
    assert!(ran.stdout.contains("  2024-08-23                -  "), "{ran}");
    assert!(ran.stdout.contains("  2024-09-19 to 2026-09-28  2028-03-31  "), "{ran}");
    let names: std::collections::BTreeSet<&String> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(names.len(), rows.len());

    let tables = ask_json("list")["tables"].as_array().unwrap().clone();
    let table =
        tables.iter().find(|table| table["name"] == "python3.11" && table["arch"] == "arm64").unwrap();
    assert_eq!((&table["glibc"], &table["n_objects"]), (&"2.26".into(), &77.into()));
    assert_eq!((&table["starts_bootstrap"], &table["root"]), (&false.into(), &"languages.al2".into()));
    assert!(table["age_days"].is_u64() && table.get("objects").is_none(), "{table}");
}

#[test]
fn one_table_is_shown_with_its_sources() {
    let ran = ask("show nodejs24.x").exits(0);
    for text in [
        "nodejs24.x (x86_64)\n",
        "\n  based on        languages.al2023\n",
        "\n  deprecated      2028-04-30\n",
        "\n  newest evidence 2026-09-28, ",
        "\n  oldest evidence 2024-09-19\n",
        "\n  library path    /var/lang/lib:/lib64:",
        // The comments of all three texts.
        "\nLife cycle: PyPI cfn-lint",
        "\nPresence: AWS builds nodejs20.x and later runtimes on provided.al2023",
        "\nPresence: no list taken on provided.al2023 itself is public.",
        "\n  D (probe, 2026-01-13, of vercel:nodejs20.x, vercel:nodejs22.x, vercel:nodejs24.x, x86_64): names in /lib64 of",
        "\n  libssl.so.3: doubtful (D); proved with and without it; in /var/lang/lib; symbol versions not known\n",
        "\n  libzstd.so.1: derived (D, M); proved with and without it; libzstd.so.1.5.5; no symbol versions\n",
        "\n  libcurl.so.4: derived (D, B, T, M, U); libcurl.so.4.8.0; no symbol versions\n",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?}: {ran}");
    }
    let document = ask_json("show provided.al2023 --arch arm64");
    let table = &document["tables"][0];
    assert_eq!(table["interpreters"][0], "/lib/ld-linux-aarch64.so.1");
    let objects = table["objects"].as_array().unwrap();
    let object = |soname: &str| objects.iter().find(|object| object["soname"] == soname).unwrap();
    let libc = object("libc.so.6");
    let acl = serde_json::json!([["ACL_1.3", "2023.12.20260720"]]);
    assert_eq!(object("libacl.so.1")["later"], acl);
    let both_ways = |soname: &str| object(soname)["both_ways"].clone();
    assert_eq!((both_ways("libc.so.6"), both_ways("libzstd.so.1")), (false.into(), true.into()));
    let source = table["evidence"].as_array().unwrap().iter().find(|source| source["code"] == "M").unwrap();
    assert_eq!((&source["kind"], &source["date"]), (&"documented".into(), &"2024-10-31".into()));
    assert_eq!((&source["of"][0], &source["at"]), (&"al2023-minimal".into(), &"2023.6.20241031".into()));
    assert_eq!(libc["later"], serde_json::json!([["GLIBC_2.35", "2023.8.20250915"]]));
    assert!(libc["nodes"].as_array().unwrap().contains(&"GLIBC_2.34".into()));
}

#[test]
fn two_tables_are_compared() {
    let ran = ask("diff provided.al2 image:al2").exits(0);
    for text in [
        "- provided.al2 (x86_64)\n+ image:al2 (x86_64)\n",
        "\nlibpsl.so.5: evidence\n  - doubtful\n  + measured\n",
        "\n+ libexpat.so.1\n",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?}: {ran}");
    }
    assert!(ran.stdout.contains("evidence dates\n  - 2021-11-14 to 2024-08-23\n  + 2024-08-23\n"), "{ran}");
    assert!(!ran.stdout.contains("\n- lib"), "{ran}");
    let ran = ask("diff nodejs22.x nodejs24.x").exits(0);
    assert!(ran.stdout.contains("libstdc++.so.6: symbol versions\n  - CXXABI_FLOAT128 "), "{ran}");
    assert!(ran.stdout.contains("libstdc++.so.6: directory\n  - -\n  + /var/lang/lib\n"), "{ran}");
    assert!(ask("diff provided provided").exits(0).stdout.ends_with("\nno difference\n"));

    let difference = ask_json("diff python3.11 provided.al2 --arch arm64")["difference"].clone();
    assert_eq!(difference["only_a"], serde_json::json!([]));
    assert!(difference["only_b"].as_array().unwrap().contains(&"libcurl.so.4".into()));
}

#[test]
fn unknown_names_are_usage_errors() {
    ask("show nodejs21.x").exits(2).says(&[
        "error: `nodejs21.x` is not a known runtime\n",
        "help: the nearest are nodejs22.x, nodejs20.x, nodejs24.x; ",
    ]);
    ask("show nodejs12.x").exits(2).says(&[
        "error: `nodejs12.x` is retired: its functions cannot be updated since 2023-04-30\n",
        "help: name a newer runtime, such as nodejs26.x, nodejs24.x, nodejs22.x\n",
    ]);
    ask("show custom").exits(2).says(&[
        "error: `custom` is a customer-managed runtime",
        "capture --root <DIR> --name custom -o <FILE>`, and name that with",
    ]);
    ask("diff provided x").exits(2).says(&["error: `x` is not a known runtime\n"]);
    ask("show java8 --arch arm64").exits(2).says(&["error: the runtime java8 does not offer arm64\n"]);
    let ran = ask("show x --message-format json").exits(2);
    assert_eq!(ran.json()["error"]["message"], "`x` is not a known runtime");
}
