//! `tests/tables/renew.py`: the tables in `src/baseline/` against recorded samples of the public sources.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tools;
use cargo_lambda_bundle::baseline::{Baseline, NodeAnswer};

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
            self.put(&format!("{guid}/repodata/primary.xml.gz"), &primary.replace(entry, &both));
            self.put(&format!("{guid}/repodata/repomd.xml"), &read("repomd.xml"));
        }
        let notes = "docs.aws.amazon.com/linux/al2023/release-notes/relnotes";
        let of_july = fs::read_to_string(self.sample(&format!("{notes}-2023.12.20260720.md"))).unwrap();
        self.put(&format!("{notes}-{NEXT}.md"), &of_july.replace("libacl-2.4.0", "libacl-2.5.0"));
    }
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
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let fewer = |text: &str| text.replacen("packages=\"", "packages=\"1", 1);
    let page = |_: &str| "<html><body>moved</body></html>".to_owned();
    type Change<'a> = &'a dyn Fn(&str) -> String;
    let changes: [(Change, &str); 4] = [
        (&cut, "no XML document"),
        (&fewer, "packages that has "),
        (&page, "a document of <html>"),
        (&|_: &str| "\u{1f}not gzip".to_owned(), "no XML document"),
    ];
    for (change, says) in changes {
        let Some(copies) = Copies::new() else { return };
        let file = format!("{at}/primary.xml.gz");
        let text = fs::read_to_string(copies.sample(&file)).unwrap();
        fs::write(copies.sample(&file), change(&text)).unwrap();
        let before = copies.table(AL2023[1]);
        let said = copies.renew("--source packages --every-release --write", 4);
        assert!(said.starts_with("not reached: packages: ") && said.contains(says), "{said}");
        assert_eq!(copies.table(AL2023[1]), before);
    }
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
        let primary =
            format!("cdn.amazonlinux.com/al2023/core/guids/{release:064}/x86_64/repodata/primary.xml.gz");
        let entry = format!("<rpm:entry name=\"{soname}({node})(64bit)\"/>");
        copies.replace(&primary, &entry, &entry.replace(node, "OTHER_1.0"));
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
    let digest = format!("sha256:{}", "a".repeat(64));
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
