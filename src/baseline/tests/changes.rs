//! Baselines that change others: language runtimes and base images.

use super::*;

/// Every name with every architecture it has.
fn all() -> Vec<(&'static str, Baseline)> {
    let pairs = names().into_iter().flat_map(|name| [Arch::X86_64, Arch::Arm64].map(|arch| (name, arch)));
    pairs.filter_map(|(name, arch)| Some((name, embedded(name, arch)?))).collect()
}

#[test]
fn every_name_has_a_table_with_known_evidence() {
    let mut seen = std::collections::BTreeSet::new();
    for (name, table) in all() {
        seen.insert(name);
        assert_eq!(table.runtime, name);
        assert_eq!(table.root.is_none(), runtimes().contains(&name), "{name}");
        assert!(table.objects().is_sorted_by(|a, b| a.soname < b.soname), "{name}");
        for object in table.objects() {
            let codes = object.codes.iter().chain(object.nodes_from.iter().map(|from| &from.code));
            assert!(codes.clone().count() > 0, "{name} {}", object.soname);
            for code in codes {
                assert!(table.source(code).is_some(), "{name} {} {code}", object.soname);
            }
            assert_eq!(object.presence == Presence::Doubtful, object.evidence == Evidence::Doubtful);
        }
    }
    assert_eq!(seen.len(), names().len());
    assert_eq!(names().into_iter().collect::<std::collections::BTreeSet<_>>().len(), names().len());
}

#[test]
fn texts_of_changes_say_where_they_are_from() {
    for (name, arch) in [
        ("languages.provided", Arch::X86_64),
        ("languages.al2", Arch::X86_64),
        ("languages.al2", Arch::Arm64),
        ("languages.al2023", Arch::X86_64),
        ("image:al2", Arch::X86_64),
        ("image:al2", Arch::Arm64),
        ("image:al2023", Arch::X86_64),
        ("image:al2023", Arch::Arm64),
    ] {
        let text = embedded_text(name, arch).unwrap();
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let comment = comment.join(" ");
        for part in ["Presence: ", "Levels of evidence", "begins with `root`", "LD_LIBRARY_PATH: "] {
            assert!(comment.contains(part), "{name} {part}");
        }
        assert!(text.is_ascii() && text.lines().all(|line| line == line.trim_end()), "{name}");
    }
}

#[test]
fn language_runtimes_stand_on_their_root() {
    #[rustfmt::skip]
    let rows = [
        ("nodejs22.x", "2.34", Some(["2027-04-30", "2027-06-01", "2027-07-01"]), 2),
        ("nodejs26.x", "2.34", None, 2),
        ("python3.13", "2.34", Some(["2029-06-30", "2029-07-31", "2029-08-31"]), 2),
        ("java21", "2.34", Some(["2029-06-30", "2029-07-31", "2029-08-31"]), 2),
        ("python3.15", "2.34", None, 2),
        ("ruby3.4", "2.34", Some(["2028-03-31", "2028-04-30", "2028-05-31"]), 2),
        ("dotnet8", "2.34", Some(["2026-11-10", "2027-02-01", "2027-03-03"]), 2),
        ("python3.11", "2.26", Some(["2027-06-30", "2027-07-31", "2027-08-31"]), 2),
        ("java17", "2.26", Some(["2027-06-30", "2027-07-31", "2027-08-31"]), 2),
        ("nodejs18.x", "2.26", Some(["2025-09-01", "2027-02-01", "2027-03-03"]), 2),
        ("java8", "2.17", Some(["2024-01-08", "2024-02-08", "2027-03-03"]), 1),
    ];
    for (name, glibc, dates, n_archs) in rows {
        let tables: Vec<Baseline> =
            [Arch::X86_64, Arch::Arm64].into_iter().filter_map(|arch| embedded(name, arch)).collect();
        assert_eq!(tables.len(), n_archs, "{name}");
        for table in tables {
            assert_eq!(table.glibc, glibc, "{name}");
            let Lifecycle { deprecated, create_blocked, update_blocked } = &table.lifecycle;
            let found = [deprecated, create_blocked, update_blocked].map(Option::as_deref);
            assert_eq!(found, dates.map_or([None; 3], |dates| dates.map(Some)), "{name}");
            let [path] = table.library_paths.as_slice() else { panic!("{name}") };
            assert!(path.starts_with("/var/lang/lib:/lib64:/usr/lib64:/var/runtime:"), "{name}");
            assert!(!starts_bootstrap(name), "{name}");
        }
    }
    assert!(starts_bootstrap("provided.al2") && starts_bootstrap("image:al2023"));
}

#[test]
fn who_is_there_on_them() {
    use Evidence::{Derived, Doubtful, Measured};
    #[rustfmt::skip]
    let rows = [
        ("python3.11", Arch::X86_64, "libcrypto.so.10", Some(Derived)),
        ("python3.11", Arch::Arm64, "libcrypto.so.10", Some(Derived)),
        ("python3.11", Arch::Arm64, "ld-linux-aarch64.so.1", Some(Derived)),
        ("python3.11", Arch::X86_64, "libicuuc.so.50", Some(Doubtful)),
        ("python3.11", Arch::X86_64, "libcurl.so.4", None),
        ("python3.11", Arch::X86_64, "libcrypt.so.1", None),
        ("python3.11", Arch::X86_64, "libxml2.so.2", None),
        ("java17", Arch::X86_64, "libuuid.so.1", None),
        ("java21", Arch::X86_64, "libcurl.so.4", Some(Derived)),
        ("java21", Arch::X86_64, "libzstd.so.1", Some(Derived)),
        ("nodejs22.x", Arch::X86_64, "libssl.so.3", Some(Derived)),
        ("nodejs24.x", Arch::X86_64, "libssl.so.3", Some(Doubtful)),
        ("java21", Arch::X86_64, "libexpat.so.1", None),
        ("image:al2", Arch::X86_64, "libexpat.so.1", Some(Measured)),
        ("image:al2", Arch::Arm64, "libglib-2.0.so.0", Some(Measured)),
        ("image:al2", Arch::X86_64, "libpsl.so.5", Some(Measured)),
        ("image:al2023", Arch::X86_64, "libzstd.so.1", Some(Measured)),
        ("image:al2023", Arch::X86_64, "libexpat.so.1", None),
        ("image:al2023", Arch::Arm64, "ld-linux-aarch64.so.1", Some(Derived)),
    ];
    for (name, arch, soname, expected) in rows {
        let table = embedded(name, arch).unwrap();
        assert_eq!(table.object(soname).map(|object| object.evidence), expected, "{name} {soname}");
    }
    // A changed count changes what users read.
    for (name, x86_64, arm64) in [("python3.11", 78, 77), ("image:al2", 134, 133), ("image:al2023", 108, 107)]
    {
        let count = |arch| embedded(name, arch).unwrap().objects().len();
        assert_eq!([count(Arch::X86_64), count(Arch::Arm64)], [x86_64, arm64], "{name}");
    }
}

#[test]
fn node_brings_its_own_openssl_and_c_plus_plus() {
    use NodeAnswer::{Absent, Floor, Later, Uncertain, Unknown};
    #[rustfmt::skip]
    let rows = [
        ("nodejs22.x", "libssl.so.3", "OPENSSL_3.0.0", Some("/var/lang/lib"), Unknown),
        ("nodejs22.x", "libstdc++.so.6", "GLIBCXX_3.4.32", None, Later("2023.7.20250331")),
        ("nodejs24.x", "libstdc++.so.6", "GLIBCXX_3.4.32", Some("/var/lang/lib"), Floor),
        ("nodejs24.x", "libstdc++.so.6", "CXXABI_FLOAT128", Some("/var/lang/lib"), Uncertain),
        ("nodejs24.x", "libstdc++.so.6", "GLIBCXX_3.4.33", Some("/var/lang/lib"), Absent),
        ("python3.13", "libssl.so.3", "OPENSSL_3.0.0", None, Floor),
    ];
    for (name, soname, node, directory, expected) in rows {
        for arch in [Arch::X86_64, Arch::Arm64] {
            let table = embedded(name, arch).unwrap();
            let object = table.object(soname).unwrap();
            assert_eq!(object.directory.as_deref(), directory, "{name} {soname}");
            assert_eq!(object.node(node), expected, "{name} {soname} {node}");
        }
    }
}

const CHANGE: &str = "\
runtime mine
root provided.al2023
arch x86_64
evidence X probe 2026-11-20 a look at it
evidence Y report 2026-11-21 a report
keep X libc.so.6 libz.so.1
object libz.so.1
  evidence X
object libmine.so.1
  evidence Y
";

#[test]
fn a_text_of_ones_own_may_change_a_table() {
    let table = Baseline::parse(CHANGE).unwrap();
    let found: Vec<_> =
        table.objects().iter().map(|object| (object.soname.as_str(), object.evidence)).collect();
    let expected = [
        ("libc.so.6", Evidence::Measured),
        ("libmine.so.1", Evidence::Doubtful),
        ("libz.so.1", Evidence::Measured),
    ];
    assert_eq!(found, expected);
    assert_eq!(table.object("libc.so.6").unwrap().node("GLIBC_2.34"), NodeAnswer::Floor);
    assert_eq!(table.object("libz.so.1").unwrap().node("ZLIB_1.2.9"), NodeAnswer::Unknown);
    assert_eq!((table.glibc.as_str(), &table.lifecycle), ("2.34", &Lifecycle::default()));
}

#[test]
fn a_broken_change_is_refused_with_its_line() {
    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        assert!(CHANGE.contains(from), "{from}");
        match Baseline::parse(&CHANGE.replacen(from, to, 1)) {
            Ok(_) => panic!("`{to}` for `{from}` was taken"),
            Err(error) => assert_eq!(error.to_string(), expected),
        }
    }
    check("root provided.al2023", "root nope", "line 2: there is no embedded baseline `nope` for x86_64");
    check("root provided.al2023\n", "", "line 5: `keep` needs a `root`");
    check("arch x86_64\n", "", "no `arch` line before the first object");
    check(
        "keep X libc.so.6",
        "keep Z libc.so.6",
        "line 6: `libc.so.6` names the evidence `Z`, which no line explains",
    );
    let level = "line 6: leave out `measured`: `keep` names codes, and the level follows from them";
    check("keep X libc.so.6", "keep measured X libc.so.6", level);
    check("keep X libc.so.6 libz.so.1", "keep X", "line 6: expected `keep CODES SONAMES`");
    check("libc.so.6 libz.so.1", "libc.so.6 libc.so.6", "line 6: `libc.so.6` is kept twice");
    check("libc.so.6 libz.so.1", "libnope.so.6", "line 6: `libnope.so.6` is not in the root");
    check("evidence X", "evidence D", "line 4: the root already has the evidence `D`");
}
