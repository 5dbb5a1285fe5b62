//! Levels of evidence, and what is proved both ways: both follow from the sources.

use super::*;
use crate::baseline::evidence::{is_certain, level};

/// Sources, a line each, as in a text.
fn sources(lines: &str) -> Vec<Source> {
    let text = SMALL.replace(
        "evidence D probe 2026-11-20 a dump\n",
        &format!("evidence D probe 2026-11-20 a dump\n{lines}"),
    );
    let table = Baseline::parse(&text).unwrap_or_else(|error| panic!("{error}: {lines}"));
    table
        .evidence
        .into_iter()
        .filter(|source| source.code.starts_with(|code: char| ('a'..='e').contains(&code)))
        .collect()
}

#[track_caller]
fn check(lines: &str, expected: Evidence, certain: bool) {
    let sources = sources(lines);
    let sources: Vec<&Source> = sources.iter().collect();
    let found = level(&sources, "provided.test", Arch::Arm64);
    assert_eq!((found, is_certain(&sources, "provided.test", Arch::Arm64)), (expected, certain), "{lines}");
}

#[test]
fn the_level_follows_from_the_sources() {
    use Evidence::{Derived, Documented, Doubtful, Measured};
    const OWN: &str = "evidence a probe 2026-11-01 of=provided.test/arm64 x\n";
    const OWN_X86: &str = "evidence a probe 2026-11-01 of=provided.test/x86_64 x\n";
    const OTHER: &str = "evidence b probe 2026-11-01 of=nodejs22.x,java21 x\n";
    const IMAGE: &str = "evidence c image 2026-11-01 of=image:test/arm64 at=sha256:00 x\n";
    const AWS: &str = "evidence d documented 2026-11-01 of=al2023-minimal x\n";
    const REPORT: &str = "evidence e report 2026-11-01 x\n";
    check(OWN, Measured, true);
    // Without a name it is of this runtime.
    check("evidence a probe 2026-11-01 x\n", Measured, true);
    check("evidence a image 2026-11-01 x\n", Measured, true);
    // Another architecture, another runtime, another image, another document: no measure of this one.
    check(OWN_X86, Doubtful, false);
    check(OTHER, Doubtful, false);
    check(IMAGE, Doubtful, false);
    check(AWS, Doubtful, false);
    check(REPORT, Doubtful, false);
    check("evidence d documented 2026-11-01 of=provided.test x\n", Documented, false);
    check("evidence d documented 2026-11-01 of=provided.test/x86_64 x\n", Doubtful, false);
    // Two carry more than one, and are certain if functions showed it twice or this runtime once.
    check(&format!("{OTHER}{AWS}"), Derived, false);
    check(&format!("{OTHER}{AWS}{IMAGE}"), Derived, false);
    check(&format!("{IMAGE}{AWS}"), Derived, false);
    check(&format!("{REPORT}{AWS}{IMAGE}"), Derived, false);
    check(&format!("{OTHER}{REPORT}"), Derived, true);
    check(&format!("{OWN_X86}{IMAGE}"), Derived, true);
    check("evidence a packages 2026-11 of=provided.test x\nevidence b image 2026-11 of=y x\n", Derived, true);
    check("evidence a packages 2026-11 of=z x\nevidence b probe 2026-11 of=y x\n", Derived, true);
    check("evidence a packages 2026-11 x\nevidence b probe 2026-11 of=y x\n", Derived, false);
}

#[test]
fn no_table_claims_more_than_its_sources_carry() {
    for name in names() {
        for arch in [Arch::X86_64, Arch::Arm64] {
            let Some(table) = embedded(name, arch) else { continue };
            for object in table.objects() {
                let sources: Vec<&Source> =
                    object.codes.iter().map(|code| table.source(code).expect("a known code")).collect();
                let own = level(&sources, name, arch);
                // What a root of several runtimes has, each of them has: derived.
                let is_inherited = own == Evidence::Doubtful && object.evidence == Evidence::Derived;
                assert!(own == object.evidence || is_inherited, "{name} {} {own:?}", object.soname);
                if object.evidence == Evidence::Measured {
                    let is_probe = |source: &&Source| {
                        matches!(source.kind, SourceKind::Probe | SourceKind::Image)
                            && source.of.iter().any(|of| of == name)
                            && source.arch == Some(arch)
                    };
                    assert!(sources.iter().any(is_probe), "{name} {}", object.soname);
                }
            }
        }
    }
}

#[test]
fn what_was_measured_elsewhere_is_derived_here() {
    let text = "runtime mine\nroot provided.al2\narch x86_64\n";
    let table = Baseline::parse(text).unwrap();
    let libc = table.object("libc.so.6").unwrap();
    assert_eq!((libc.evidence, libc.certain), (Evidence::Derived, true));
    let root = embedded("provided.al2", Arch::X86_64).unwrap();
    assert_eq!(root.object("libc.so.6").unwrap().evidence, Evidence::Measured);
}

#[test]
fn the_dates_are_those_of_the_evidence() {
    #[rustfmt::skip]
    let rows = [
        ("provided", Arch::X86_64, "2021-01-29", "2022-12-16"),
        ("provided.al2", Arch::X86_64, "2021-11-14", "2024-08-23"),
        ("provided.al2023", Arch::X86_64, "2024-09-19", "2026-09-28"),
        ("provided.al2023", Arch::Arm64, "2024-09-19", "2026-09-28"),
        ("python3.11", Arch::X86_64, "2019-05-13", "2021-01-29"),
        ("image:al2023", Arch::X86_64, "2025-08-15", "2026-09-28"),
    ];
    for (name, arch, oldest, newest) in rows {
        let expected = EvidenceDates { oldest: oldest.to_owned(), newest: newest.to_owned() };
        assert_eq!(embedded(name, arch).unwrap().evidence_dates(), expected, "{name}");
    }
}

#[test]
fn what_stands_behind_a_library_of_the_language_is_known() {
    for (name, soname, directory, certain) in [
        ("nodejs24.x", "libstdc++.so.6", "/var/lang/lib", false),
        ("nodejs20.x", "libssl.so.3", "/var/lang/lib", false),
        ("nodejs22.x", "libssl.so.3", "/var/lang/lib", true),
    ] {
        let table = embedded(name, Arch::X86_64).unwrap();
        let object = table.object(soname).unwrap();
        assert_eq!((object.directory.as_deref(), object.certain), (Some(directory), certain), "{name}");
        let behind = object.behind.as_ref().unwrap();
        assert_eq!((behind.directory.as_deref(), behind.certain), (None, true), "{name}");
    }
}
