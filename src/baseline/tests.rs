mod changes;
mod evidence;

use super::*;
use crate::elf::version;

/// The pairs of runtime and architecture that Lambda has.
const PAIRS: [(&str, Arch); 5] = [
    ("provided", Arch::X86_64),
    ("provided.al2", Arch::X86_64),
    ("provided.al2", Arch::Arm64),
    ("provided.al2023", Arch::X86_64),
    ("provided.al2023", Arch::Arm64),
];

fn get(runtime: &str, arch: Arch) -> Baseline {
    embedded(runtime, arch).unwrap_or_else(|| panic!("no table for {runtime} {}", arch.as_str()))
}

/// Runs `check` on every embedded baseline, with its text.
fn for_each_table(check: impl Fn(&Baseline, &str)) {
    for (runtime, arch) in PAIRS {
        check(&get(runtime, arch), embedded_text(runtime, arch).unwrap());
    }
}

/// The values of all lines of `text` that start with `key`.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim().strip_prefix(key)?.strip_prefix(' '))
}

fn is_image(image: &str) -> bool {
    let parts: Vec<&str> = image.split('.').collect();
    let [year, minor, date] = parts[..] else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    year == "2023" && !minor.is_empty() && digits(minor) && date.len() == 8 && digits(date)
}

#[test]
fn every_runtime_has_a_table() {
    for runtime in runtimes() {
        assert!(PAIRS.iter().any(|(known, _)| known == runtime), "{runtime}");
    }
    for (runtime, arch) in PAIRS {
        assert!(runtimes().contains(&runtime));
        let table = get(runtime, arch);
        assert_eq!((table.runtime.as_str(), table.arch), (runtime, arch));
    }
    assert_eq!(embedded("provided", Arch::Arm64), None);
    assert_eq!(embedded("nodejs22", Arch::X86_64), None);
}

#[test]
fn tables_are_written_sorted() {
    for_each_table(|table, text| {
        let sonames: Vec<&str> = values(text, "object").collect();
        assert!(sonames.is_sorted_by(|a, b| a < b), "{}: objects", table.runtime);
        for key in ["nodes", "since", "uncertain"] {
            for value in values(text, key) {
                let nodes: Vec<&str> = value.split(' ').skip(usize::from(key == "since")).collect();
                assert!(nodes.is_sorted_by(|a, b| version::compare(a, b).is_lt()), "{key} {value}");
            }
        }
        assert!(text.is_ascii() && text.lines().all(|line| line == line.trim_end()));
    });
}

#[test]
fn tables_open_with_what_they_are_and_how_it_is_known() {
    for_each_table(|table, text| {
        let first = text.lines().next().unwrap();
        assert!(first.starts_with('#') && first.contains(&table.runtime), "{first}");
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let comment = comment.join(" ");
        for part in [table.arch.as_str(), "Presence: ", "Levels of evidence", "How to read", "Life cycle: "] {
            assert!(comment.contains(part), "{} {part}", table.runtime);
        }
    });
}

#[test]
fn every_fact_has_its_evidence() {
    for_each_table(|table, text| {
        for object in table.objects() {
            assert!(!object.codes.is_empty() && object.package.is_some(), "{}", object.soname);
            for code in &object.codes {
                assert!(table.source(code).is_some(), "{} {code}", object.soname);
            }
            let from = object.nodes_from.as_ref().map(|from| table.source(&from.code).is_some());
            let expected = (object.nodes != Nodes::Unknown).then_some(true);
            assert_eq!(from, expected, "{}", object.soname);
        }
        for Source { code, kind, date, of, text, .. } in &table.evidence {
            assert!(text.len() > 20, "{code} {text}");
            assert!(*date <= table.recorded, "{code} {date}");
            // A probe or an image without a name would be taken for one of this runtime.
            let is_list = matches!(kind, SourceKind::Probe | SourceKind::Image);
            assert!(!is_list || !of.is_empty(), "{code}");
        }
        for word in ["/home", "/root", "TODO"] {
            assert!(!text.contains(word), "{} {word}", table.runtime);
        }
    });
}

#[test]
fn the_floor_holds_no_glibc_newer_than_the_runtime() {
    for_each_table(|table, _| {
        let own = format!("GLIBC_{}", table.glibc);
        for object in table.objects() {
            let Nodes::Known { floor, later, .. } = &object.nodes else { continue };
            for node in floor.iter().filter(|node| version::family(node) == "GLIBC") {
                assert!(version::compare(node, &own).is_le(), "{} {node}", object.soname);
            }
            for LaterNode { node, image } in later {
                assert!(is_image(image) && table.runtime == "provided.al2023", "{node} {image}");
                if version::family(node) == "GLIBC" {
                    assert!(version::compare(node, &own).is_gt(), "{} {node}", object.soname);
                }
            }
        }
        assert_eq!(table.object("libc.so.6").unwrap().highest("GLIBC"), Some(own.as_str()));
    });
}

#[test]
fn images_are_named_as_amazon_names_them() {
    for_each_table(|table, _| {
        for object in table.objects() {
            assert!(object.since.as_deref().is_none_or(is_image), "{}", object.soname);
        }
    });
    for not_an_image in ["2023.6", "2023.6.2024", "2023..20241111", "2023.6.20241111 (glibc)", "2.0.20241111"]
    {
        assert!(!is_image(not_an_image), "{not_an_image}");
    }
}

#[test]
fn the_floor_ends_where_manylinux_and_gcc_say() {
    use Arch::{Arm64, X86_64};
    #[rustfmt::skip]
    let rows = [
        ("provided", X86_64, "libc.so.6", "GLIBC_2.17"),
        ("provided", X86_64, "libm.so.6", "GLIBC_2.15"),
        ("provided", X86_64, "libstdc++.so.6", "GLIBCXX_3.4.24"),
        ("provided", X86_64, "libstdc++.so.6", "CXXABI_1.3.11"),
        ("provided", X86_64, "libgcc_s.so.1", "GCC_7.0.0"),
        ("provided", X86_64, "libz.so.1", "ZLIB_1.2.7.1"),
        ("provided", X86_64, "libcrypto.so.10", "OPENSSL_1.0.2"),
        ("provided.al2", X86_64, "libc.so.6", "GLIBC_2.26"),
        ("provided.al2", X86_64, "libm.so.6", "GLIBC_2.26"),
        ("provided.al2", X86_64, "libstdc++.so.6", "GLIBCXX_3.4.24"),
        ("provided.al2", X86_64, "libstdc++.so.6", "CXXABI_1.3.11"),
        ("provided.al2", X86_64, "libgcc_s.so.1", "GCC_7.0.0"),
        ("provided.al2", X86_64, "libz.so.1", "ZLIB_1.2.5.2"),
        ("provided.al2", X86_64, "libssl.so.10", "OPENSSL_1.0.2"),
        ("provided.al2", X86_64, "liblzma.so.5", "XZ_5.0"),
        ("provided.al2", Arm64, "libc.so.6", "GLIBC_2.26"),
        ("provided.al2", Arm64, "libm.so.6", "GLIBC_2.25"),
        ("provided.al2", Arm64, "ld-linux-aarch64.so.1", "GLIBC_2.17"),
        ("provided.al2", Arm64, "libstdc++.so.6", "GLIBCXX_3.4.24"),
        ("provided.al2", Arm64, "libstdc++.so.6", "CXXABI_1.3.11"),
        ("provided.al2", Arm64, "libgcc_s.so.1", "GCC_7.0.0"),
        ("provided.al2", Arm64, "libz.so.1", "ZLIB_1.2.5.2"),
        ("provided.al2023", X86_64, "libc.so.6", "GLIBC_2.34"),
        ("provided.al2023", X86_64, "libm.so.6", "GLIBC_2.32"),
        ("provided.al2023", X86_64, "ld-linux-x86-64.so.2", "GLIBC_2.34"),
        ("provided.al2023", X86_64, "libpthread.so.0", "GLIBC_2.31"),
        ("provided.al2023", X86_64, "libstdc++.so.6", "GLIBCXX_3.4.29"),
        ("provided.al2023", X86_64, "libstdc++.so.6", "CXXABI_1.3.13"),
        ("provided.al2023", X86_64, "libgcc_s.so.1", "GCC_7.0.0"),
        ("provided.al2023", X86_64, "libz.so.1", "ZLIB_1.2.9"),
        ("provided.al2023", X86_64, "libcrypto.so.3", "OPENSSL_3.0.8"),
        ("provided.al2023", X86_64, "libssl.so.3", "OPENSSL_3.0.0"),
        ("provided.al2023", X86_64, "liblzma.so.5", "XZ_5.2"),
        ("provided.al2023", Arm64, "libc.so.6", "GLIBC_2.34"),
        ("provided.al2023", Arm64, "ld-linux-aarch64.so.1", "GLIBC_2.34"),
        ("provided.al2023", Arm64, "libstdc++.so.6", "GLIBCXX_3.4.29"),
        ("provided.al2023", Arm64, "libstdc++.so.6", "CXXABI_1.3.13"),
        ("provided.al2023", Arm64, "libgcc_s.so.1", "GCC_11.0"),
        ("provided.al2023", Arm64, "libz.so.1", "ZLIB_1.2.9"),
        ("provided.al2023", Arm64, "libcrypto.so.3", "OPENSSL_3.0.8"),
    ];
    for (runtime, arch, soname, expected) in rows {
        let table = get(runtime, arch);
        let object = table.object(soname).unwrap_or_else(|| panic!("{runtime} lacks {soname}"));
        let family = version::family(expected);
        assert_eq!(object.highest(family), Some(expected), "{runtime} {} {soname}", arch.as_str());
    }
}

#[test]
fn nodes_are_looked_up_by_name() {
    use Arch::{Arm64, X86_64};
    use NodeAnswer::{Absent, Floor, Later, NoVersions, Uncertain, Unknown};
    #[rustfmt::skip]
    let rows = [
        ("provided.al2023", X86_64, "libc.so.6", "GLIBC_2.34", Floor),
        ("provided.al2023", X86_64, "libc.so.6", "GLIBC_PRIVATE", Floor),
        ("provided.al2023", X86_64, "libc.so.6", "GLIBC_2.35", Later("2023.8.20250915")),
        ("provided.al2023", X86_64, "libc.so.6", "GLIBC_2.36", Absent),
        ("provided.al2023", X86_64, "libc.so.6", "GLIBC_ABI_DT_RELR", Absent),
        ("provided.al2023", X86_64, "libc.so.6", "GLIBC_2.19", Absent),
        ("provided.al2023", X86_64, "libm.so.6", "GLIBC_2.35", Absent),
        ("provided.al2023", X86_64, "libm.so.6", "GLIBC_2.34", Absent),
        ("provided.al2023", X86_64, "ld-linux-x86-64.so.2", "GLIBC_2.35", Later("2023.6.20241111")),
        ("provided.al2023", X86_64, "libstdc++.so.6", "GLIBCXX_3.4.30", Later("2023.7.20250331")),
        ("provided.al2023", X86_64, "libstdc++.so.6", "CXXABI_FLOAT128", Floor),
        ("provided.al2023", Arm64, "libstdc++.so.6", "CXXABI_FLOAT128", Absent),
        ("provided.al2023", Arm64, "libgcc_s.so.1", "GCC_14.0", Later("2023.7.20250331")),
        ("provided.al2023", Arm64, "libgcc_s.so.1", "GCC_4.8.0", Absent),
        ("provided.al2023", Arm64, "libc.so.6", "GLIBC_2.2.5", Absent),
        ("provided.al2023", X86_64, "libcrypto.so.3", "OPENSSL_3.0.1", Uncertain),
        ("provided.al2023", X86_64, "libcrypto.so.3", "OPENSSL_3.2.0", Later("2023.7.20250331")),
        ("provided.al2023", X86_64, "libcrypto.so.3", "OPENSSL_3.5.0", Later("2023.10.20260330")),
        ("provided.al2023", X86_64, "libcurl.so.4", "CURL_OPENSSL_4", NoVersions),
        ("provided.al2023", X86_64, "libjson-c.so.5", "JSONC_0.14", Uncertain),
        ("provided.al2023", X86_64, "libjson-c.so.5", "JSONC_0.15", Uncertain),
        ("provided.al2023", X86_64, "librpm.so.9", "X_1", Unknown),
        ("provided.al2", X86_64, "liblzma.so.5", "XZ_5.2", Uncertain),
        ("provided.al2", X86_64, "liblzma.so.5", "XZ_5.4", Absent),
        ("provided.al2", X86_64, "libcrypto.so.10", "libcrypto.so.10", Floor),
        ("provided.al2", X86_64, "libz.so.1", "ZLIB_1.2.9", Absent),
        ("provided.al2", Arm64, "libgcc_s.so.1", "GLIBC_2.0", Floor),
        ("provided", X86_64, "libc.so.6", "GLIBC_2.18", Absent),
    ];
    for (runtime, arch, soname, node, expected) in rows {
        let table = get(runtime, arch);
        let object = table.object(soname).unwrap_or_else(|| panic!("{runtime} lacks {soname}"));
        assert_eq!(object.node(node), expected, "{runtime} {} {soname} {node}", arch.as_str());
    }
}

#[test]
fn who_is_there() {
    use Evidence::{Derived, Doubtful, Measured};
    #[rustfmt::skip]
    let rows = [
        ("provided.al2023", "libsqlite3.so.0", Some((Presence::Present, Derived))),
        ("provided.al2023", "libcurl.so.4", Some((Presence::Present, Derived))),
        ("provided.al2023", "libglib-2.0.so.0", Some((Presence::Present, Derived))),
        ("provided.al2023", "p11-kit-proxy.so", Some((Presence::Present, Derived))),
        ("provided.al2023", "libzstd.so.1", Some((Presence::Present, Derived))),
        ("provided.al2023", "libgpgme.so.11", Some((Presence::Present, Derived))),
        ("provided.al2023", "libexpat.so.1", None),
        ("provided.al2023", "libcrypt.so.1", None),
        ("provided.al2023", "libcrypt.so.2", None),
        ("provided.al2023", "libnsl.so.1", None),
        ("provided.al2023", "libnss3.so", None),
        ("provided.al2023", "libgomp.so.1", None),
        ("provided.al2023", "libatomic.so.1", None),
        ("provided.al2023", "libpq.so.5", None),
        ("provided.al2023", "libldap.so.2", None),
        ("provided.al2023", "libsasl2.so.3", None),
        ("provided.al2023", "libfontconfig.so.1", None),
        ("provided.al2", "libcurl.so.4", Some((Presence::Present, Measured))),
        ("provided.al2", "libcrypt.so.1", Some((Presence::Present, Measured))),
        ("provided.al2", "libsasl2.so.3", Some((Presence::Present, Measured))),
        ("provided.al2", "libnss3.so", Some((Presence::Present, Measured))),
        ("provided.al2", "libpsl.so.5", Some((Presence::Doubtful, Doubtful))),
        ("provided.al2", "libexpat.so.1", None),
        ("provided.al2", "libmagic.so.1", None),
        ("provided.al2", "libglib-2.0.so.0", None),
        ("provided.al2", "libgcrypt.so.11", None),
        ("provided.al2", "libssl.so.1.1", None),
        ("provided.al2", "libssl.so.3", None),
        ("provided", "libssl.so.10", Some((Presence::Present, Derived))),
        ("provided", "libexpat.so.1", None),
    ];
    for (runtime, soname, expected) in rows {
        let table = get(runtime, Arch::X86_64);
        let found = table.object(soname).map(|object| (object.presence, object.evidence));
        assert_eq!(found, expected, "{runtime} {soname}");
    }
    // File names behind a SONAME are not names of their own.
    for name in ["libcrypto.so.3.2.2", "libc.so", "libcrypto.so", ""] {
        assert_eq!(get("provided.al2023", Arch::X86_64).object(name), None, "{name}");
    }
}

#[test]
fn some_objects_came_later() {
    for arch in [Arch::X86_64, Arch::Arm64] {
        let table = get("provided.al2023", arch);
        let later = table
            .objects()
            .iter()
            .filter_map(|object| Some((object.soname.as_str(), object.since.as_deref()?)));
        let expected = [("libgirepository-2.0.so.0", "2023.6.20250317"), ("libpsl.so.5", "2023.3.20240304")];
        assert_eq!(later.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn counts() {
    // A changed count changes what users read: check the diff of the data.
    let rows: [_; PAIRS.len()] =
        [(25, 0, 0, 0), (111, 2, 2, 19), (110, 2, 2, 19), (108, 0, 27, 13), (107, 0, 27, 13)];
    for ((runtime, arch), expected) in PAIRS.into_iter().zip(rows) {
        let table = get(runtime, arch);
        let count = |test: fn(&SystemObject) -> bool| table.objects().iter().filter(|o| test(o)).count();
        let found = (
            table.objects().len(),
            count(|object| object.presence == Presence::Doubtful),
            count(|object| !object.certain),
            count(|object| object.nodes == Nodes::Unknown),
        );
        assert_eq!(found, expected, "{runtime} {}", arch.as_str());
    }
}

#[test]
fn the_loader_and_its_directories() {
    #[rustfmt::skip]
    let rows: [(&[&str], &str, Option<&str>); 5] = [
        (&["/lib64/ld-linux-x86-64.so.2"], "ld-linux-x86-64.so.2", None),
        (&["/lib64/ld-linux-x86-64.so.2"], "ld-linux-x86-64.so.2", None),
        (&["/lib/ld-linux-aarch64.so.1", "/lib64/ld-linux-aarch64.so.1"], "ld-linux-aarch64.so.1", None),
        (&["/lib64/ld-linux-x86-64.so.2"], "ld-linux-x86-64.so.2", None),
        (&["/lib/ld-linux-aarch64.so.1"], "ld-linux-aarch64.so.1", Some("/lib")),
    ];
    for ((runtime, arch), (interpreters, soname, directory)) in PAIRS.into_iter().zip(rows) {
        let table = get(runtime, arch);
        assert_eq!(table.interpreters, interpreters);
        assert_eq!(table.object(soname).unwrap().directory.as_deref(), directory);
        assert_eq!(table.default_dirs, ["/lib64", "/usr/lib64"]);
        let classic = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";
        assert_eq!(table.library_paths, [classic.to_owned(), format!("/var/lang/lib:{classic}")]);
        assert_eq!(table.complete, runtime != "provided");
        let elsewhere = table.objects().iter().filter(|object| object.directory.is_some());
        assert_eq!(elsewhere.count(), usize::from(directory.is_some()));
    }
}

#[test]
fn the_ends_of_the_runtimes() {
    for (runtime, dates) in [
        ("provided", ["2024-01-08", "2024-02-08", "2027-03-03"]),
        ("provided.al2", ["2026-07-31", "2027-02-01", "2027-03-03"]),
        ("provided.al2023", ["2029-06-30", "2029-07-31", "2029-08-31"]),
    ] {
        for (_, arch) in PAIRS.into_iter().filter(|(known, _)| *known == runtime) {
            let Lifecycle { deprecated, create_blocked, update_blocked } = get(runtime, arch).lifecycle;
            assert_eq!([deprecated, create_blocked, update_blocked].map(Option::unwrap), dates);
        }
    }
}

#[test]
fn file_versions() {
    #[rustfmt::skip]
    let rows = [
        ("provided.al2023", "libcrypto.so.3", Some("3.2.2"), Some("3.0.8")),
        ("provided.al2023", "libcap.so.2", Some("2.73"), Some("2.48")),
        ("provided.al2023", "libz.so.1", Some("1.2.11"), Some("1.2.11")),
        ("provided.al2023", "libpcre2-8.so.0", Some("0.11.0"), Some("0.11.0")),
        ("provided.al2023", "libc.so.6", None, None),
        ("provided.al2023", "libgcc_s.so.1", None, None), // libgcc_s-14-20250110.so.1
        ("provided.al2023", "libnssckbi.so", None, None),
        ("provided.al2", "libcrypto.so.10", Some("1.0.2k"), Some("1.0.2k")),
        ("provided.al2", "libcap.so.2", Some("2.54"), Some("2.22")),
        ("provided.al2", "libcurl.so.4", Some("4.8.0"), Some("4.7.0")),
        ("provided.al2", "libc.so.6", None, None), // libc-2.26.so
        ("provided.al2", "libdb-5.so", None, None),
    ];
    for (runtime, soname, newest, oldest) in rows {
        let table = get(runtime, Arch::X86_64);
        let object = table.object(soname).unwrap();
        assert_eq!((object.file_version(), object.older_file_version()), (newest, oldest), "{soname}");
    }
}

#[test]
fn glibc_is_all_of_its_package_but_libcrypt_and_nis() {
    assert!(GLIBC_PARTS.is_sorted());
    let not_parts = ["libcrypt.so.1", "libnss_nis.so.2", "libnss_nisplus.so.2"];
    for_each_table(|table, _| {
        for object in table.objects() {
            let of_glibc = object.package.as_deref() == Some("glibc");
            let expected = of_glibc && !not_parts.contains(&object.soname.as_str());
            assert_eq!(is_glibc_part(&object.soname), expected, "{} {}", table.runtime, object.soname);
        }
    });
    for other in ["libgcc_s.so.1", "libstdc++.so.6", "libc.so.7", "libnsl.so.3", "libcrypt.so.2", "ld.so", ""]
    {
        assert!(!is_glibc_part(other), "{other}");
    }
}

/// A small baseline with every key.
const SMALL: &str = "\
# A comment.
runtime provided.test
arch arm64
recorded 2026-11-21
glibc 2.40
complete yes
interpreter /lib/ld.so
default-dirs /lib64 /usr/lib64
library-path /lib64:/opt lib
evidence D probe 2026-11-20 a dump
evidence n1 upstream 2026-11 the build system
evidence R report 2026-02 a report

object libb.so.1
  file libb.so.1.2
  older-file libb.so.1.1
  package b
  present-since 1.2.3
  evidence D
  nodes B_10 B_9
  since 1.2.4 B_11
  uncertain B_8
  nodes-from low n1
  lacks late later
  lacks last
object liba.so
\tdirectory /lib
\tevidence R
";

#[test]
fn a_text_in_any_order_becomes_a_sorted_table() {
    let table = Baseline::parse(SMALL).unwrap();
    assert_eq!((table.runtime.as_str(), table.arch, table.complete), ("provided.test", Arch::Arm64, true));
    assert_eq!(table.library_paths, ["/lib64:/opt lib"]);
    let source = table.source("n1").map(|source| (source.kind, source.text.as_str()));
    assert_eq!(source, Some((SourceKind::Upstream, "the build system")));
    assert_eq!(table.source("n2"), None);
    let dates = EvidenceDates { oldest: "2026-02-01".to_owned(), newest: "2026-11-20".to_owned() };
    assert_eq!(table.evidence_dates(), dates);
    let sonames: Vec<&str> = table.objects().iter().map(|object| object.soname.as_str()).collect();
    assert_eq!(sonames, ["liba.so", "libb.so.1"]);
    let expected = SystemObject {
        soname: "libb.so.1".to_owned(),
        file: Some("libb.so.1.2".to_owned()),
        older_file: Some("libb.so.1.1".to_owned()),
        package: Some("b".to_owned()),
        presence: Presence::Present,
        evidence: Evidence::Measured,
        codes: vec!["D".to_owned()],
        certain: true,
        since: Some("1.2.3".to_owned()),
        directory: None,
        behind: None,
        nodes: Nodes::Known {
            floor: vec!["B_9".to_owned(), "B_10".to_owned()],
            later: vec![LaterNode { node: "B_11".to_owned(), image: "1.2.4".to_owned() }],
            uncertain: vec!["B_8".to_owned()],
        },
        nodes_from: Some(NodesFrom { confidence: Confidence::Low, code: "n1".to_owned() }),
        lacks: ["late", "later", "last"].map(str::to_owned).to_vec(),
        facts: None,
    };
    assert_eq!(table.object("libb.so.1").map(|object| &**object), Some(&expected));
    assert_eq!(table.object("liba.so").unwrap().directory.as_deref(), Some("/lib"));
    assert_eq!(table.object("liba.so").unwrap().evidence, Evidence::Doubtful);
    // Line ends and indentation have no meaning.
    assert_eq!(Baseline::parse(&SMALL.replace('\n', "\r\n")).unwrap(), table);
    assert_eq!(Baseline::parse(&SMALL.replace("\n  ", "\n")).unwrap(), table);
}

#[test]
fn a_broken_text_is_refused_with_its_line() {
    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        assert!(SMALL.contains(from), "{from}");
        match Baseline::parse(&SMALL.replacen(from, to, 1)) {
            Ok(_) => panic!("`{to}` for `{from}` was taken"),
            Err(error) => assert_eq!(error.to_string(), expected),
        }
    }
    check("runtime provided.test\n", "", "no `runtime` line before the first object");
    check("default-dirs /lib64 /usr/lib64\n", "", "no `default-dirs` line before the first object");
    check("interpreter /lib/ld.so\n", "", "no `interpreter` line before the first object");
    check("library-path /lib64:/opt lib\n", "", "no `library-path` line before the first object");
    check("runtime provided.test", "runtime", "line 2: `runtime` needs a value");
    check("runtime provided.test", "runtime a b", "line 2: `runtime` takes one value");
    check("arch arm64", "arch aarch64", "line 3: `arch` is x86_64 or arm64, not `aarch64`");
    check("arch arm64", "arch arm64\narch arm64", "line 4: a second `arch`");
    let date = "line 4: `recorded` is a date like 2026-11-21, not";
    check("2026-11-21", "2026-11-1", &format!("{date} `2026-11-1`"));
    check("2026-11-21", "21-11-2026", &format!("{date} `21-11-2026`"));
    check("2026-11-21", "today", &format!("{date} `today`"));
    // A day that no calendar has would never be old.
    for day in ["2026-13-01", "2026-00-10", "2026-11-31", "2026-02-29", "2026-11-00", "+026-11-01"] {
        check("2026-11-21", day, &format!("{date} `{day}`"));
    }
    check("glibc 2.40", "glibc 2.", "line 5: `glibc` is a version like 2.34, not `2.`");
    check("complete yes", "complete maybe", "line 6: `complete` is yes or no, not `maybe`");
    check("/lib/ld.so", "ld.so", "line 7: `interpreter` is an absolute path, not `ld.so`");
    check("/usr/lib64", "usr/lib64", "line 8: `default-dirs` are absolute paths, not `usr/lib64`");
    check(
        "library-path /lib64",
        "library-path /li\x1bb64",
        "line 9: `library-path` has a control character in its value",
    );
    check("library-path", "ld-library-path", "line 9: `ld-library-path` is not a key of a runtime");
    check(
        "evidence D probe 2026-11-20 a dump",
        "evidence D",
        "line 10: expected `evidence CODE KIND DATE TEXT`",
    );
    check(
        "evidence D probe 2026-11-20 a dump",
        "evidence D probe",
        "line 10: expected `evidence CODE KIND DATE TEXT`",
    );
    check("2026-11-20 a dump", "a dump", "line 10: `evidence` is a date like 2026-11-21, not `a`");
    check("2026-11-20 a", "2026-13 a", "line 10: `evidence` is a date like 2026-11-21, not `2026-13-01`");
    check("a dump", "of= a dump", "line 10: `of=` names a runtime or an image");
    check("a dump", "of=b, a dump", "line 10: `of=` names a runtime or an image");
    check("a dump", "at= a dump", "line 10: `at=` names a version or a digest");
    check("a dump", "of=b", "line 10: expected `evidence CODE KIND DATE TEXT`");
    check("a dump", "of=a/riscv64 a dump", "line 10: `of=` ends with /x86_64 or /arm64, not `/riscv64`");
    check("evidence n1", "evidence D", "line 11: `D` cannot be a new code");
    check("evidence n1", "evidence n,1", "line 11: `n,1` cannot be a new code");
    check("evidence n1", "evidence derived", "line 11: `derived` cannot be a new code");
    check("object libb.so.1", "object ../libb.so.1", "line 14: `object` is a file name, not `../libb.so.1`");
    check("object libb.so.1", "object ..", "line 14: `object` is a file name, not `..`");
    check("object libb.so.1", "object", "line 14: `object` needs a value");
    check("object liba.so", "object libb.so.1", "`libb.so.1` is listed twice");
    check("file libb.so.1.2", "file /libb.so.1.2", "line 15: `file` is a file name, not `/libb.so.1.2`");
    check("package b", "glibc 2.40", "line 17: `glibc` is not a key of an object");
    let stated = "line 19: `presence` is not stated: it follows from the evidence";
    check("  evidence D\n", "  presence present\n  evidence D\n", stated);
    check("  evidence D\n", "", "line 14: `libb.so.1` has no `evidence` line");
    let level = "line 19: leave out `measured`: `evidence` names codes, and the level follows from them";
    check("  evidence D\n", "  evidence measured D\n", level);
    check("  evidence D\n", "  evidence D,D\n", "line 19: `evidence` names each code once");
    check("  evidence D\n", "  evidence ,\n", "line 19: `evidence` names each code once");
    check(
        "  evidence D\n",
        "  evidence D,X\n",
        "line 14: `libb.so.1` names the evidence `X`, which no line explains",
    );
    check("low n1", "low n2", "line 14: `libb.so.1` names the evidence `n2`, which no line explains");
    check(
        "  nodes B_10 B_9\n",
        "",
        "line 14: `libb.so.1` has `since`, `uncertain` or `nodes-from` lines, but no `nodes` line",
    );
    check("nodes B_10 B_9", "nodes B_9 B_10 B_9", "line 14: `libb.so.1` has the symbol version `B_9` twice");
    check("1.2.4 B_11", "1.2.4 B_9", "line 14: `libb.so.1` has the symbol version `B_9` twice");
    check("uncertain B_8", "uncertain B_11", "line 14: `libb.so.1` has the symbol version `B_11` twice");
    check("nodes B_10 B_9", "nodes", "line 20: `nodes` needs a value");
    check("since 1.2.4 B_11", "since 1.2.4", "line 21: expected `since IMAGE NODES`");
    check("low n1", "certain n1", "line 23: `certain` is not high, medium or low");
    check("  file libb.so.1.2", "  \x1b[31mfile x", "line 15: `?[31mfile` is not a key of an object");
    assert_eq!(Baseline::parse("").unwrap_err().to_string(), "no `runtime` line before the first object");
}

#[test]
fn words() {
    for (word, expected) in [
        (Presence::Present.as_str(), "present"),
        (Presence::Doubtful.as_str(), "doubtful"),
        (Evidence::Measured.as_str(), "measured"),
        (Evidence::Documented.as_str(), "documented"),
        (Evidence::Derived.as_str(), "derived"),
        (Evidence::Doubtful.as_str(), "doubtful"),
        (Evidence::Captured.as_str(), "captured"),
        (Confidence::High.as_str(), "high"),
        (Confidence::Medium.as_str(), "medium"),
        (Confidence::Low.as_str(), "low"),
    ] {
        assert_eq!(word, expected);
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_answered(text in "(?s).{0,400}") {
        let _is_either = Baseline::parse(&text).is_ok();
    }

    #[test]
    fn any_damage_to_a_table_is_answered(at in 0..SMALL.len(), by in "[ -~\\n]{0,3}") {
        let mut text = SMALL.to_owned();
        text.replace_range(at..at + 1, &by);
        let _is_either = Baseline::parse(&text).is_ok();
    }
}
