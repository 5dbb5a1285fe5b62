//! `tests/tables/renew.py`: the tables in `src/baseline/` against recorded samples of the public sources.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tools;
use cargo_lambda_bundle::baseline::{Baseline, NodeAnswer};
use cargo_lambda_bundle::{archive, text};

/// The release that the samples do not have yet.
const NEXT: &str = "2023.12.20261012";

/// Copies of the tables and of the samples, which a test may change.
struct Copies {
    dir: tempfile::TempDir,
}

impl Copies {
    /// `None` if there is no Python to run the script.
    #[track_caller]
    fn new() -> Option<Copies> {
        if !tools::require("python3", "python3") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (from, to) in [("src/baseline", "tables"), ("testdata/tables", "samples")] {
            let status = Command::new("cp").arg("-r").arg(root.join(from)).arg(dir.path().join(to)).status();
            assert!(status.unwrap().success());
        }
        Some(Copies { dir })
    }

    fn sample(&self, path: &str) -> PathBuf {
        self.dir.path().join("samples").join(path)
    }

    fn table(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join("tables").join(name)).unwrap()
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.sample(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        fs::write(self.sample(path), text.replacen(from, to, 1)).unwrap();
    }

    /// Puts a repository's primary metadata, and its checksum into `repomd.xml`.
    fn put_primary(&self, repodata: &str, bytes: &[u8]) {
        let file = self.sample(&format!("{repodata}/primary.xml.gz"));
        let repomd = self.sample(&format!("{repodata}/repomd.xml"));
        let (old, new) = (fs::read(&file).unwrap(), digest(bytes));
        fs::write(file, bytes).unwrap();
        let text = fs::read_to_string(&repomd).unwrap();
        assert!(text.contains(&digest(&old)), "{repodata}: {text}");
        fs::write(repomd, text.replace(&digest(&old), &new)).unwrap();
    }

    /// The digest of the image for an architecture in the index.
    fn image(&self, arch: &str) -> String {
        let index = fs::read(self.sample("public.ecr.aws/v2/lambda/provided/manifests/al2023")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        let of_arch = |it: &&serde_json::Value| it["platform"]["architecture"] == arch;
        manifests.iter().find(of_arch).unwrap()["digest"].as_str().unwrap().to_owned()
    }

    fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.sample(path).parent().unwrap()).unwrap();
        fs::write(self.sample(path), text).unwrap();
    }

    /// Runs the script; checks its exit status, and returns what it prints.
    #[track_caller]
    fn renew(&self, arguments: &str, status: i32) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/renew.py");
        let output = Command::new("python3")
            .arg("-B")
            .arg(script)
            .arg("--tables")
            .arg(self.dir.path().join("tables"))
            .arg("--samples")
            .arg(self.sample(""))
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{printed}{errors}");
        printed
    }

    /// Runs the script on a source that cannot be read: it says so in one line, and changes nothing.
    #[track_caller]
    fn changes_nothing(&self, source: &str, says: &str) {
        let tables = || {
            let mut names: Vec<_> =
                fs::read_dir(self.dir.path().join("tables")).unwrap().map(Result::unwrap).collect();
            names.sort_by_key(fs::DirEntry::file_name);
            names
                .iter()
                .filter(|it| it.path().is_file())
                .map(|it| fs::read(it.path()).unwrap())
                .collect::<Vec<_>>()
        };
        let before = tables();
        let sources = if source == "notes" {
            "--source packages --source notes"
        } else {
            &format!("--source {source}")
        };
        let every = if source == "packages" { "--every-release" } else { "" };
        let printed =
            self.renew(&format!("{sources} {every} --write"), if source == "notes" { 7 } else { 4 });
        let lines: Vec<&str> = printed.lines().filter(|line| line.contains("not reached: ")).collect();
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("not reached: {source}: ")), "{printed}");
        assert!(lines[0].contains(says), "no {says}: {printed}");
        assert!(source == "notes" || tables() == before, "{printed}");
    }

    /// Adds a release whose libacl has a node more, with its notes.
    fn add_release(&self) {
        let core = "cdn.amazonlinux.com/al2023/core";
        let more = format!("<release version=\"{NEXT}\"></release>\n  </releases>");
        self.replace(&format!("{core}/releasemd.xml"), "</releases>", &more);
        for arch in ["x86_64", "aarch64"] {
            let guid = format!("{core}/guids/next/{arch}");
            self.put(&format!("{core}/mirrors/{NEXT}/{arch}/mirror.list"), &format!("https://{guid}/\n"));
            let of_july = format!("{core}/guids/{:064}/{arch}/repodata", 6);
            let read = |name: &str| fs::read_to_string(self.sample(&format!("{of_july}/{name}"))).unwrap();
            let primary = read("primary.xml.gz");
            assert!(primary.contains("libacl.so.1(ACL_1.3)(64bit)"));
            let entry = "<rpm:entry name=\"libacl.so.1(ACL_1.3)(64bit)\"/>";
            let both = format!("{entry}<rpm:entry name=\"libacl.so.1(ACL_1.4)(64bit)\"/>");
            self.put(&format!("{guid}/repodata/primary.xml.gz"), &primary);
            self.put(&format!("{guid}/repodata/repomd.xml"), &read("repomd.xml"));
            self.put_primary(&format!("{guid}/repodata"), primary.replace(entry, &both).as_bytes());
        }
        let notes = "docs.aws.amazon.com/linux/al2023/release-notes/relnotes";
        let of_july = fs::read_to_string(self.sample(&format!("{notes}-2023.12.20260720.md"))).unwrap();
        self.put(&format!("{notes}-{NEXT}.md"), &of_july.replace("libacl-2.4.0", "libacl-2.5.0"));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let script = "import gzip, sys; sys.stdout.buffer.write(gzip.compress(open(sys.argv[1], 'rb').read()))";
    let output = Command::new("python3").args(["-c", script]).arg(file.path()).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn digest(bytes: &[u8]) -> String {
    text::hex(&archive::sha256(bytes))
}

const AL2023: [&str; 2] = ["provided.al2023-x86_64.txt", "provided.al2023-arm64.txt"];
const ALL_BUT_IMAGES: &str = "--source packages --source notes --source names --source days";

#[test]
fn the_samples_give_the_facts_of_the_tables() {
    let Some(copies) = Copies::new() else { return };
    let answer = "the tables agree with every source\n";
    assert_eq!(copies.renew(&format!("{ALL_BUT_IMAGES} --every-release"), 0), answer);
    assert_eq!(copies.renew(ALL_BUT_IMAGES, 0), answer);
    assert_eq!(copies.renew(&format!("{ALL_BUT_IMAGES} --write"), 0), answer);
}

/// A page of a web server, half a document, or one with too few packages is no source.
#[test]
fn what_is_no_metadata_changes_nothing() {
    let at = format!("cdn.amazonlinux.com/al2023/core/guids/{:064}/aarch64/repodata", 1);
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_owned();
    let text = |from: &'static str, to: &'static str| {
        move |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().replace(from, to).into_bytes()
    };
    type Change<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let changes: [(Change, &str); 8] = [
        (&half, "an XML document has another form"),
        (&|bytes: &[u8]| half(&gzip(bytes)), "the gzip stream is cut off"),
        (&text("packages=\"", "packages=\"1"), "packages that has "),
        (&|_: &[u8]| b"<html><body>moved</body></html>".to_vec(), "a document of <html>"),
        (&|_: &[u8]| b"\x1f\x8bnot gzip".to_vec(), "an XML document has another form"),
        (&text("<arch>aarch64", "<arch>x86_64"), "metadata without a package for aarch64"),
        (&text("<version ", "<release "), "the metadata of a package has another form"),
        (&text("<rpm:entry name=", "<rpm:entry called="), "the metadata of a package has another form"),
    ];
    for (change, says) in changes {
        let Some(copies) = Copies::new() else { return };
        let bytes = fs::read(copies.sample(&format!("{at}/primary.xml.gz"))).unwrap();
        copies.put_primary(&at, &change(&bytes));
        copies.changes_nothing("packages", says);
    }
    // The same document as a gzip stream is one; but what has another checksum is not.
    let Some(copies) = Copies::new() else { return };
    let file = copies.sample(&format!("{at}/primary.xml.gz"));
    let bytes = fs::read(&file).unwrap();
    copies.put_primary(&at, &gzip(&bytes));
    copies.renew("--source packages --every-release", 0);
    fs::write(&file, bytes).unwrap();
    copies.changes_nothing("packages", "it has not the SHA-256 that is named for it");
}

/// Whatever document is in the place of another: one line says so, and nothing changes.
#[test]
fn a_document_of_another_form_changes_nothing() {
    const NOTES: &str = "docs.aws.amazon.com/linux/al2023/release-notes/relnotes-";
    let core = "cdn.amazonlinux.com/al2023/core";
    let repomd = format!("{core}/guids/{:064}/x86_64/repodata/repomd.xml", 1);
    let registry = "public.ecr.aws/v2/lambda/provided";
    let mirror = format!("{core}/mirrors/2023.8.20250915/aarch64/mirror.list");
    let note = format!("{NOTES}{NEXT}.md");
    let rows = [
        ("packages", format!("{core}/releasemd.xml"), "<root><releases/></root>", "names no release"),
        ("packages", mirror.clone(), "", "no mirror for 2023.8.20250915 on arm64"),
        ("packages", mirror, "<html>sign in</html>", "no mirror for 2023.8.20250915 on arm64"),
        ("packages", repomd, "{}", "an XML document has another form"),
        ("notes", note.clone(), "<html>release notes: not found</html>", "no release notes in Markdown"),
        ("notes", note, "", "no release notes in Markdown"),
        ("images", "public.ecr.aws/token".to_owned(), "<html>", "the registry's token has another form"),
        ("images", "public.ecr.aws/token".to_owned(), "[]", "the registry's token has another form"),
        ("images", format!("{registry}/manifests/al2023"), "{}", "the index of images has another form"),
        ("images", format!("{registry}/manifests/al2023"), "{\"manifests\": []}", "no image for x86_64"),
        ("images", format!("{registry}/captured/arm64.baseline"), "", "no libraries"),
        ("names", "pypi/botocore.json".to_owned(), "{\"document\"", "botocore of PyPI has another form"),
        (
            "names",
            "pypi/botocore.json".to_owned(),
            "{\"version\": \"9\", \"document\": {\"shapes\": {}}}",
            "botocore's model of Lambda has another form",
        ),
        (
            "days",
            "pypi/cfn-lint.json".to_owned(),
            "{\"version\": \"9\", \"document\": {\"provided.al2023\": {\"deprecated\": \"soon\"}}}",
            "`soon` is no day",
        ),
        (
            "days",
            "pypi/cfn-lint.json".to_owned(),
            "{\"version\": \"9\", \"document\": {}}",
            "no provided.al2023",
        ),
    ];
    for (source, path, text, says) in rows {
        let Some(copies) = Copies::new() else { return };
        copies.add_release();
        copies.put(&path, text);
        copies.changes_nothing(source, says);
    }
    // A manifest of another digest than the index says.
    let Some(copies) = Copies::new() else { return };
    let manifest = format!("{registry}/manifests/{}", copies.image("arm64"));
    copies.replace(&manifest, "\"schemaVersion\": 2", "\"schemaVersion\": 3");
    copies.changes_nothing("images", "it has not the SHA-256 that is named for it");
}

/// What is read of one architecture is not taken without the other, nor the notes without the packages: the next run
/// would go on behind a release that was read by half.
#[test]
fn a_release_is_read_whole_or_not_at_all() {
    let Some(copies) = Copies::new() else { return };
    copies.add_release();
    let mirror =
        copies.sample(&format!("cdn.amazonlinux.com/al2023/core/mirrors/{NEXT}/aarch64/mirror.list"));
    let place = fs::read(&mirror).unwrap();
    fs::remove_file(&mirror).unwrap();
    let before = AL2023.map(|name| copies.table(name));
    let printed = copies.renew(&format!("{ALL_BUT_IMAGES} --write"), 4);
    assert!(printed.starts_with("not reached: packages: https://cdn.amazonlinux.com/"), "{printed}");
    let notes = "\nnot reached: notes: they are read with the packages of the same releases\n";
    assert!(printed.ends_with(notes) && printed.lines().count() == 2, "{printed}");
    assert_eq!(AL2023.map(|name| copies.table(name)), before);
    fs::write(mirror, place).unwrap();
    copies.renew(&format!("{ALL_BUT_IMAGES} --write"), 3);
    for name in AL2023 {
        assert!(copies.table(name).contains(&format!("  since {NEXT} ACL_1.4\n")));
    }
}

/// A repository may have several builds of a package: the newest counts, by rpm's order.
#[test]
fn the_newest_build_of_a_package_counts() {
    for (version, counts) in
        [("2.10.0", true), ("2.4.0", false), ("2.4.1", true), ("2.4.0^1", true), ("2.4.0~rc1", false)]
    {
        let Some(copies) = Copies::new() else { return };
        let at = format!("cdn.amazonlinux.com/al2023/core/guids/{:064}/x86_64/repodata", 8);
        let text = fs::read_to_string(copies.sample(&format!("{at}/primary.xml.gz"))).unwrap();
        let (start, end) = (text.find("<package ").unwrap(), text.find("</metadata>").unwrap());
        let of_july = &text[start..end];
        assert!(of_july.contains("ver=\"2.4.0\" rel=\"1."), "{of_july}");
        let other = of_july
            .replace("ver=\"2.4.0\" rel=\"1.", &format!("ver=\"{version}\" rel=\"0."))
            .replace("(ACL_1.3)", "(ACL_1.9)");
        for both in [format!("{of_july}{other}"), format!("{other}{of_july}")] {
            let both = text.replace(of_july, &both).replace("packages=\"1\"", "packages=\"2\"");
            copies.put_primary(&at, both.as_bytes());
            let printed = copies.renew("--source packages --every-release", if counts { 3 } else { 0 });
            assert_eq!(printed.contains("libacl.so.1: + ACL_1.9 since"), counts, "{version}: {printed}");
        }
    }
}

/// Lambda has `openssl-snapsafe-libs` where Amazon's images have `openssl-libs`: both are read.
#[test]
fn the_build_of_openssl_that_lambda_has_counts() {
    let Some(copies) = Copies::new() else { return };
    let at = format!("cdn.amazonlinux.com/al2023/core/guids/{:064}/x86_64/repodata", 5);
    let text = fs::read_to_string(copies.sample(&format!("{at}/primary.xml.gz"))).unwrap();
    let (other, ours) = text.split_at(text.find("<name>openssl-snapsafe-libs").unwrap());
    copies.put_primary(&at, format!("{other}{}", ours.replace("OPENSSL_3.5.0", "OPENSSL_3.5.9")).as_bytes());
    let printed = copies.renew("--source packages --every-release", 3);
    for line in [
        "provided.al2023-x86_64.txt: libssl.so.3: + OPENSSL_3.5.9 since 2023.10.20260330\n",
        "person: 2023.10.20260330 on x86_64: openssl-snapsafe-libs is not as openssl-libs\n",
    ] {
        assert!(printed.contains(line), "no {line}: {printed}");
    }
}

/// A library that its package has no more is for a person.
#[test]
fn a_library_that_is_gone_is_seen() {
    let Some(copies) = Copies::new() else { return };
    let at = format!("cdn.amazonlinux.com/al2023/core/guids/{:064}/x86_64/repodata", 8);
    let text = fs::read_to_string(copies.sample(&format!("{at}/primary.xml.gz"))).unwrap();
    copies.put_primary(&at, text.replace("libacl.so.1", "libacl.so.2").as_bytes());
    let printed = copies.renew("--source packages --every-release", 3);
    let line = "person: provided.al2023-x86_64.txt: libacl.so.1: 2023.12.20260928 has a libacl without it\n";
    assert_eq!(printed, line);
}

/// Amazon Linux 2027 is no runtime of Lambda. Where its packages lie is a guess: its absence is no failure.
#[test]
fn the_next_amazon_linux_is_looked_for() {
    let Some(copies) = Copies::new() else { return };
    let printed = copies.renew("--source next --source days --write", 0);
    let line =
        "not known: Amazon Linux 2027: https://cdn-al2027.amazonlinux.com/core/releasemd.xml: no sample";
    assert!(printed.starts_with(line), "{printed}");
    assert!(printed.ends_with("\nthe tables agree with every other source\n"), "{printed}");

    let (core, release) = ("cdn-al2027.amazonlinux.com/core", "2027.0.20260928");
    copies.put(
        &format!("{core}/releasemd.xml"),
        &format!("<root><releases><release version=\"{release}\"/></releases></root>"),
    );
    for arch in ["x86_64", "aarch64"] {
        let of_2023 = format!("cdn.amazonlinux.com/al2023/core/guids/{:064}/{arch}/repodata", 4);
        let read = |name: &str| fs::read_to_string(copies.sample(&format!("{of_2023}/{name}"))).unwrap();
        let guid = format!("{core}/guids/0/{arch}");
        copies.put(&format!("{core}/mirrors/{release}/{arch}/mirror.list"), &format!("https://{guid}\n"));
        let primary = read("primary.xml.gz");
        copies.put(&format!("{guid}/repodata/primary.xml.gz"), &primary);
        copies.put(&format!("{guid}/repodata/repomd.xml"), &read("repomd.xml"));
        let newer = primary.replace("(GLIBC_2.35)", "(GLIBC_2.44)");
        copies.put_primary(&format!("{guid}/repodata"), newer.as_bytes());
    }
    let printed = copies.renew("--source next --write", 3);
    let line = "person: Amazon Linux 2027 can be read: 2027.0.20260928 on arm64 has 1 packages and a libc.so.6 up to \
                GLIBC_2.44; it is no runtime of Lambda and has no baseline\n";
    assert!(printed.contains(line) && printed.lines().count() == 2, "{printed}");
}

/// Each library of these packages is in the samples: a node that one of them loses, gains or moves is seen.
#[test]
fn a_changed_sample_is_a_difference() {
    for (release, soname, node) in [
        (4, "libc.so.6", "GLIBC_2.35"),
        (2, "ld-linux-x86-64.so.2", "GLIBC_2.35"),
        (3, "libstdc++.so.6", "GLIBCXX_3.4.33"),
        (5, "libcrypto.so.3", "OPENSSL_3.5.0"),
        (5, "libssl.so.3", "OPENSSL_3.5.0"),
        (6, "libacl.so.1", "ACL_1.3"),
        (3, "libgcc_s.so.1", "GCC_14.0.0"),
    ] {
        let Some(copies) = Copies::new() else { return };
        let at = format!("cdn.amazonlinux.com/al2023/core/guids/{release:064}/x86_64/repodata");
        let entry = format!("<rpm:entry name=\"{soname}({node})(64bit)\"/>");
        let text = fs::read_to_string(copies.sample(&format!("{at}/primary.xml.gz"))).unwrap();
        assert!(text.contains(&entry), "{entry}");
        copies.put_primary(&at, text.replace(&entry, &entry.replace(node, "OTHER_1.0")).as_bytes());
        let printed = copies.renew("--source packages --every-release", 3);
        let added = format!("provided.al2023-x86_64.txt: {soname}: + OTHER_1.0 since 2023.");
        assert!(printed.contains(&added), "{printed}");
        let moved = printed.lines().any(|line| line.contains(soname) && line.contains(node));
        assert!(moved, "{printed}");
        assert!(!printed.contains("arm64"), "{printed}");
    }
}

#[test]
fn a_new_release_becomes_a_line_of_the_table() {
    let Some(copies) = Copies::new() else { return };
    copies.add_release();
    let printed = copies.renew(&format!("{ALL_BUT_IMAGES} --write"), 3);
    for name in AL2023 {
        let node = format!("{name}: libacl.so.1: + ACL_1.4 since {NEXT}\n");
        let notes = format!("{name}: notes of {NEXT}: glib2-2.82.2-770.amzn2023 ");
        assert!(printed.contains(&node) && printed.contains(&notes), "{printed}");
        let table = Baseline::parse(&copies.table(name)).unwrap();
        let acl = table.object("libacl.so.1").unwrap();
        assert_eq!(acl.node("ACL_1.4"), NodeAnswer::Later(NEXT));
        assert_eq!(acl.node("ACL_1.3"), NodeAnswer::Later("2023.12.20260720"));
        assert_eq!(acl.node("ACL_1.2"), NodeAnswer::Floor);
        assert_eq!(table.evidence_dates().newest, "2026-10-12");
        let source = table.source("U").unwrap();
        assert_eq!(source.at.as_deref(), Some(NEXT));
    }
    // Nothing else has changed, and it is known now.
    let changed: Vec<String> = copies.table(AL2023[0]).lines().map(str::to_owned).collect();
    let before = include_str!("../../src/baseline/provided.al2023-x86_64.txt");
    let new: Vec<&String> = changed.iter().filter(|line| !before.contains(line.as_str())).collect();
    assert!(new.iter().all(|line| line.contains(NEXT) || line.ends_with(",U")), "{new:#?}");
    copies.renew(ALL_BUT_IMAGES, 0);
}

#[test]
fn a_source_that_cannot_be_reached_changes_nothing() {
    let Some(copies) = Copies::new() else { return };
    copies.add_release();
    fs::remove_file(copies.sample("pypi/cfn-lint.json")).unwrap();
    fs::remove_dir_all(copies.sample("cdn.amazonlinux.com")).unwrap();
    let printed = copies.renew(&format!("{ALL_BUT_IMAGES} --write"), 4);
    for source in ["packages", "notes", "days"] {
        assert!(printed.contains(&format!("not reached: {source}: ")), "{printed}");
    }
    assert_eq!(printed.lines().count(), 3, "{printed}");
    assert_eq!(copies.table(AL2023[0]), include_str!("../../src/baseline/provided.al2023-x86_64.txt"));
}

#[test]
fn new_names_and_days_are_seen() {
    let Some(copies) = Copies::new() else { return };
    copies.replace("pypi/botocore.json", "\"nodejs26.x\"", "\"nodejs26.x\",\n\"nodejs28.x\"");
    copies.replace("pypi/cfn-lint.json", "\"deprecated\": \"2027-04-30\"", "\"deprecated\": \"2027-05-31\"");
    copies.replace("pypi/cfn-lint.json", "\"deprecated\": \"2029-06-30\"", "\"deprecated\": \"2029-07-31\"");
    let printed = copies.renew("--source names --source days --write", 3);
    let name = "person: botocore 1.44.8 has the runtime nodejs28.x, which has no baseline\n";
    let day = "languages.txt: nodejs22.x: deprecated 2027-04-30 -> 2027-05-31\n";
    assert!(printed.contains(name) && printed.contains(day), "{printed}");
    assert_eq!(printed.matches("deprecated 2029-06-30 -> 2029-07-31").count(), 1, "{printed}");
    assert!(copies.table("languages.txt").contains("root languages.al2023\ndeprecated 2027-05-31\n"));
    copies.renew("--source days", 0);
}

#[test]
fn an_image_is_read_by_its_digest() {
    let Some(copies) = Copies::new() else { return };
    let printed = copies.renew("--source images --write", 3);
    let digest = copies.image("amd64");
    assert!(
        printed.contains(&format!("image.al2023-x86_64.txt: image of 2025-08-15, {digest}\n")),
        "{printed}"
    );
    let text = copies.table("image.al2023-x86_64.txt");
    assert!(
        text.contains(&format!("evidence IM image 2025-08-15 of=image:al2023/x86_64 at={digest} names of "))
    );
    Baseline::parse(&text).unwrap();
    copies.renew("--source images", 0);
    // What an image loses or gains is for a person to judge.
    let captured = "public.ecr.aws/v2/lambda/provided/captured/arm64.baseline";
    copies.replace(captured, "soname libzstd.so.1\n", "soname libzstd.so.2\n");
    let printed = copies.renew("--source images --write", 3);
    for line in ["lacks libzstd.so.1\n", "has new libzstd.so.2\n"] {
        assert!(
            printed.contains(&format!("person: image.al2023-arm64.txt: the image of 2025-08-15 {line}")),
            "{printed}"
        );
    }
}

/// The weekly job writes to the repository: its rights are few, and what it runs is named by its hash.
#[test]
fn the_weekly_job_has_few_rights() {
    let workflow = include_str!("../../.github/workflows/tables.yml");
    assert!(workflow.contains("\npermissions: {}\n"));
    for line in workflow.lines().filter(|line| line.contains("uses: ")) {
        let hash = line.split('@').nth(1).unwrap().split(' ').next().unwrap();
        assert!(hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
    }
    let rights = workflow.lines().filter(|line| line.trim_end().ends_with(": write"));
    assert_eq!(rights.map(str::trim).collect::<Vec<_>>(), ["contents: write", "pull-requests: write"]);
    assert!(workflow.contains("tests/tables/renew.py --write --tool"));
}
