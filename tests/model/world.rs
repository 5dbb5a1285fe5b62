//! The file system in memory answers as a kernel would; that on a disk reads each file once.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::sync::Arc;

use cargo_lambda_bundle::disk::build_world::{DiskFiles, Objects};
use cargo_lambda_bundle::elf::ElfFacts;
use cargo_lambda_bundle::paths::normalize;
use cargo_lambda_bundle::paths::parent;
use cargo_lambda_bundle::world::{Files, MemoryFiles, Object, Opened};

const DIRECTORY: &str = "rejected: cannot read file data: it is a directory";
const LOOP: &str = "failed: too many levels of symbolic links";

/// `/lib/real.so` and `/usr/lib/other.so`, an empty `/empty`, and these links.
fn files(links: &[(&str, &str)]) -> MemoryFiles {
    let mut files = MemoryFiles::new();
    files.add("/lib/real.so", Object::Elf(Arc::new(ElfFacts::default())));
    files.add("/usr/lib/other.so", Object::Unseen);
    files.add_directory("/empty");
    for (path, target) in links {
        files.add_link(path, target);
    }
    files
}

/// What opening gives, in words: the file's own path, or why there is none.
fn answer(files: &MemoryFiles, path: &str) -> String {
    match files.open(path) {
        Opened::File(file) => file.source,
        Opened::Absent => "absent".into(),
        Opened::Unreadable => "unreadable".into(),
        Opened::Failed(why) => format!("failed: {why}"),
        Opened::Rejected(why) => format!("rejected: {why}"),
    }
}

#[track_caller]
fn check(links: &[(&str, &str)], path: &str, expected: &str) {
    let files = files(links);
    assert_eq!(answer(&files, path), expected);
    assert_eq!(files.is_directory(path), expected == DIRECTORY);
}

#[test]
fn a_path_leads_to_its_file() {
    check(&[], "/lib/real.so", "/lib/real.so");
    check(&[], "//lib/./real.so", "/lib/real.so");
    check(&[], "/usr/lib/other.so", "/usr/lib/other.so");
    check(&[], "/lib/absent.so", "absent");
    check(&[], "/nowhere/real.so", "absent");
}

#[test]
fn links_are_followed_from_their_own_directory() {
    check(&[("/lib/link.so", "real.so")], "/lib/link.so", "/lib/real.so");
    check(&[("/usr/lib/link.so", "/lib/real.so")], "/usr/lib/link.so", "/lib/real.so");
    check(&[("/usr/lib/link.so", "../../lib/real.so")], "/usr/lib/link.so", "/lib/real.so");
    check(&[("/usr/lib/link.so", "./other.so")], "/usr/lib/link.so", "/usr/lib/other.so");
    check(&[("/link.so", "lib/real.so")], "/link.so", "/lib/real.so");
}

#[test]
fn links_to_links_are_followed() {
    let links = [("/lib/c.so", "b.so"), ("/lib/b.so", "/x/a.so"), ("/x/a.so", "../lib/real.so")];
    check(&links, "/lib/c.so", "/lib/real.so");
}

#[test]
fn a_link_to_a_directory_is_a_directory() {
    let links = [("/lib64", "usr/lib"), ("/deep/link", "/lib64")];
    check(&links, "/lib64", DIRECTORY);
    check(&links, "/lib64/other.so", "/usr/lib/other.so");
    check(&links, "/deep/link/other.so", "/usr/lib/other.so");
}

#[test]
fn two_dots_go_up_from_where_a_link_led() {
    check(&[], "/usr/lib/../../lib/real.so", "/lib/real.so");
    check(&[], "/../../lib/real.so", "/lib/real.so");
    // Not to the directory of the link: that would be `/lib/real.so`.
    check(&[("/lib/link", "/usr/lib")], "/lib/link/../real.so", "absent");
    check(&[("/lib/link", "/usr/lib")], "/lib/link/../lib/other.so", "/usr/lib/other.so");
}

#[test]
fn loops_of_links_fail() {
    check(&[("/self", "self")], "/self", LOOP);
    check(&[("/a", "/b"), ("/b", "/a")], "/a", LOOP);
    check(&[("/lib/in", "in/deeper")], "/lib/in", LOOP);
    // The kernel follows 40.
    let chain: Vec<(String, String)> = (0..41)
        .map(|n| (format!("/l{n}"), if n == 0 { "/lib/real.so".into() } else { format!("/l{}", n - 1) }))
        .collect();
    let chain: Vec<(&str, &str)> =
        chain.iter().map(|(path, target)| (path.as_str(), target.as_str())).collect();
    check(&chain, "/l39", "/lib/real.so");
    check(&chain, "/l40", LOOP);
}

#[test]
fn a_link_that_leads_nowhere_is_absent() {
    check(&[("/dangling", "/nowhere/x")], "/dangling", "absent");
    check(&[("/lib/dangling", "gone.so")], "/lib/dangling", "absent");
}

#[test]
fn nothing_is_below_a_file() {
    check(&[], "/lib/real.so/x", "absent");
    check(&[("/lib/link.so", "real.so")], "/lib/link.so/x", "absent");
    // A kernel says ENOTDIR to all of these.
    check(&[], "/lib/real.so/../real.so", "absent");
    check(&[], "/lib/real.so/.", "absent");
    check(&[], "/lib/real.so/", "absent");
    check(&[("/lib/link.so", "real.so")], "/lib/link.so/..", "absent");
    check(&[("/lib/link.so", "real.so/")], "/lib/link.so", "absent");
}

#[test]
fn directories_are_rejected() {
    check(&[], "/", DIRECTORY);
    check(&[], "/usr", DIRECTORY);
    check(&[], "/usr/lib/", DIRECTORY);
    check(&[], "/empty", DIRECTORY);
    check(&[], "/empty/..", DIRECTORY);
    check(&[], "/lib/..", DIRECTORY);
}

#[test]
fn what_opens_in_a_given_way_does_so_through_links_too() {
    let mut files = files(&[("/link", "/lib/secret.so")]);
    files.add_opened("/lib/secret.so", Opened::Unreadable);
    files.add_opened("/lib/text.so", Opened::Rejected("invalid ELF header".into()));
    assert_eq!(answer(&files, "/link"), "unreadable");
    assert_eq!(answer(&files, "/lib/text.so"), "rejected: invalid ELF header");
}

#[test]
fn a_file_is_the_same_by_every_path_and_no_other() {
    let files = files(&[("/lib/link.so", "real.so")]);
    let id = |path| match files.open(path) {
        Opened::File(file) => file.id,
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(id("/lib/real.so"), id("/lib/link.so"));
    assert_ne!(id("/lib/real.so"), id("/usr/lib/other.so"));
}

#[test]
fn a_file_that_replaces_another_is_no_other() {
    let mut files = MemoryFiles::new();
    files.add("/a", Object::Unseen);
    files.add("/a", Object::Unseen);
    files.add("/b", Object::Unseen);
    let id = |path| match files.open(path) {
        Opened::File(file) => file.id,
        other => panic!("{path}: {other:?}"),
    };
    assert_ne!(id("/a"), id("/b"));
}

#[test]
fn paths_are_cleaned_by_text_alone() {
    for (path, expected) in [
        ("/", "/"),
        ("", "/"),
        ("/a//b/", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/../a", "/a"),
        ("/a/../..", "/"),
    ] {
        assert_eq!(normalize(path), expected, "{path}");
    }
    for (path, expected) in [("/a/b", "/a"), ("/a", "/"), ("/", "/"), ("a", "/"), ("/a/b/c", "/a/b")] {
        assert_eq!(parent(path), expected, "{path}");
    }
}

#[test]
fn worlds_that_share_what_was_read_read_a_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libtop.so.1");
    let object = |needed: &str| crate::support::elf::Object::library("libtop.so.1").needs(needed).bytes();
    let needs_of = |files: &DiskFiles| match files.open(path.to_str().unwrap()) {
        Opened::File(file) => file.object.elf().expect("an ELF file").needed.clone(),
        opened => panic!("{opened:?}"),
    };
    let world = || DiskFiles::new(None, Vec::new(), Vec::new());
    let objects = Arc::new(Objects::default());
    fs::write(&path, object("one")).unwrap();
    assert_eq!(needs_of(&world().sharing(objects.clone())), ["one"]);
    fs::write(&path, object("another")).unwrap();
    assert_eq!(needs_of(&world().sharing(objects)), ["one"]);
    assert_eq!(needs_of(&world()), ["another"]);
}
