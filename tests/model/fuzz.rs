//! What must hold for any bytes, one function for each kind of file that comes from outside.
//!
//! The fuzz targets call these with bytes of libFuzzer's making, `properties.rs` with those of proptest.
//! A panic is a find. Sizes are checked too: a small file must not become a large value.
//!
//! ```text
//! cargo install cargo-fuzz
//! mkdir -p target/corpus
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none elf target/corpus tests/corpus/elf -- -max_total_time=1800
//! ```
//!
//! The code has no `unsafe`, so a sanitizer would look for nothing of ours; without one, stable Rust will do.
//! New inputs that libFuzzer keeps go to the first directory; the repository has the named files only.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use cargo_lambda_bundle::archive::{self, Kind, Limits};
use cargo_lambda_bundle::baseline::probed::Probe;
use cargo_lambda_bundle::baseline::{self, Baseline, NodeAnswer, Nodes};
use cargo_lambda_bundle::disk::build_world::{ConfLine, conf_line};
use cargo_lambda_bundle::elf::{self, Arch, ElfFacts};
use cargo_lambda_bundle::lambda::{Installed, LambdaWorld, TASK_ROOT};
use cargo_lambda_bundle::loader::Cache;
use cargo_lambda_bundle::patterns::Patterns;
use cargo_lambda_bundle::repair::{self, Edits, VersionNode};
use cargo_lambda_bundle::template;

/// An ELF file: its facts, the answers derived from them, and what the loader does with it.
pub fn elf(bytes: &[u8]) {
    // Sections are read by themselves, also of files that the loader refuses.
    let _ = elf::sections::of(bytes);
    let Ok(facts) = elf::parse(bytes) else { return };
    // Bytes that are not UTF-8 are written as four.
    let text = |names: &[String]| names.iter().map(String::len).sum::<usize>();
    let lists = text(&facts.needed) + text(&facts.auxiliary) + text(&facts.filter);
    let single = [&facts.soname, &facts.rpath, &facts.runpath].into_iter().flatten().map(String::len);
    let nodes = facts.verneed.iter().map(|need| need.file.len() + need.node.len());
    let definitions = facts.verdef.iter().map(|definition| definition.node.len());
    assert!(lists + single.chain(nodes).chain(definitions).sum::<usize>() <= 4 << 20);
    assert!(facts.symbols.iter().count() <= bytes.len() / 24);
    assert!(facts.faults.len() <= 16);
    let _ = (facts.program_fault(), facts.library_fault());

    let _ = (facts.arch(), facts.machine_name(), facts.is_program(), facts.linkage(), facts.libc());
    let _ = facts.binds_now();
    for symbol in facts.symbols.iter() {
        let _ = facts.symbols.name(symbol);
    }
    let files: BTreeSet<&str> = facts.verneed.iter().map(|need| need.file.as_str()).collect();
    for file in files.into_iter().take(8) {
        let nodes: Vec<&str> =
            facts.verneed.iter().filter(|need| need.file == file).map(|need| need.node.as_str()).collect();
        let names = facts.symbols_needing(file, &nodes);
        assert!(names.is_sorted());
    }
    if facts.arch() == Some(Arch::X86_64) {
        walk(Arc::new(facts));
    }
}

/// An edit of an ELF file: it is refused, or the edited file says what was asked for.
pub fn edit(bytes: &[u8]) {
    let Ok(before) = elf::parse(bytes) else { return };
    let rpath = Some("$ORIGIN/lib".to_owned());
    let interpreter = before.interpreter.as_ref().map(|_| "/var/task/lib/ld.so".to_owned());
    let rename_needed =
        before.needed.first().map(|name| (name.clone(), "lib/renamed.so".to_owned())).into_iter().collect();
    let unbind =
        before.verneed.first().map(|need| VersionNode { file: need.file.clone(), node: need.node.clone() });
    let one = Edits { rpath: rpath.clone(), interpreter, rename_needed, ..Edits::default() };
    let other = Edits { rpath, unbind: unbind.into_iter().collect(), ..Edits::default() };
    for edits in [one, other] {
        let Ok(edited) = repair::edit(bytes, &edits) else { continue };
        let after = elf::parse(&edited.bytes).unwrap_or_else(|error| panic!("edited: {error}"));
        assert_eq!(after.rpath, edits.rpath);
    }
}

/// Every needed entry comes to an end, as an object or as one that was not found.
fn walk(facts: Arc<ElfFacts>) {
    static LAMBDA: OnceLock<Baseline> = OnceLock::new();
    let baseline = LAMBDA.get_or_init(|| {
        let mut text = String::from(
            "runtime fuzz\narch x86_64\nrecorded 2026-01-01\nglibc 2.34\ncomplete yes\n\
            interpreter /lib64/ld-linux-x86-64.so.2\ndefault-dirs /lib64 /usr/lib64\n\
            library-path /lib64:/var/task/lib:\nlibrary-path relative:$ORIGIN/x:/var/task\nevidence A probe 2026-11-01 one\n",
        );
        for name in ["ld-linux-x86-64.so.2", "libc.so.6", "libz.so.1"] {
            text.push_str(&format!("object {name}\nevidence A\n"));
            text.push_str("nodes GLIBC_2.2.5 GLIBC_2.34\nnodes-from high A\n");
        }
        Baseline::parse(&text).unwrap_or_else(|error| panic!("the fuzzer's own baseline: {error}"))
    });
    let none = || Patterns::new("none", &[]).unwrap_or_else(|error| panic!("no patterns: {error}"));
    let lambda = LambdaWorld {
        baseline: baseline.clone().into(),
        library_paths: baseline.library_paths.clone(),
        assume_present: none(),
        binds_now: false,
        tunables: String::new(),
        preload: Vec::new(),
    };
    let mut walks =
        Installed::new(&lambda, Vec::new()).walks(&format!("{TASK_ROOT}/bootstrap"), &facts, &[], &[]);
    lambda.check_symbols(&mut walks, &Default::default());
    for walked in &walks {
        assert!(!walked.closure.objects.is_empty());
    }
}

/// A program that needs every library of a table finds an end, whatever its links lead to.
fn walk_in(baseline: &Baseline) {
    let none = || Patterns::new("none", &[]).unwrap_or_else(|error| panic!("no patterns: {error}"));
    let lambda = LambdaWorld {
        baseline: baseline.clone().into(),
        library_paths: vec![baseline.library_paths[0].clone()],
        assume_present: none(),
        binds_now: false,
        tunables: String::new(),
        preload: Vec::new(),
    };
    let program = ElfFacts {
        class64: true,
        little_endian: true,
        machine: baseline.arch.machine(),
        needed: baseline.objects().iter().map(|object| object.soname.clone()).take(64).collect(),
        ..ElfFacts::default()
    };
    let mut walks = Installed::new(&lambda, Vec::new()).walks(
        &format!("{TASK_ROOT}/bootstrap"),
        &Arc::new(program),
        &[],
        &[],
    );
    lambda.check_symbols(&mut walks, &Default::default());
}

/// An `ld.so.cache`, and the lines of an `ld.so.conf`.
pub fn conf(bytes: &[u8]) {
    let hwcaps = ["glibc-hwcaps/x86-64-v3", "haswell"].map(str::to_owned);
    for arch in [Arch::X86_64, Arch::Arm64] {
        let cache = Cache::of_file(bytes.to_vec(), arch, &hwcaps);
        let _ = cache.path("liba.so");
        let cache = cache.paths();
        // An entry has 24 bytes.
        assert!(cache.len() <= bytes.len() / 24);
        let text: usize = cache.iter().map(|(name, path)| name.len() + path.len()).sum();
        assert!(text <= MAX_CACHE_TEXT, "{text} bytes of text from {}", bytes.len());
    }
    // A deployment template is a text of the user's, too.
    let _ = template::functions(&String::from_utf8_lossy(bytes), None);
    for line in String::from_utf8_lossy(bytes).lines() {
        match conf_line(line) {
            ConfLine::Directory(directory) => {
                assert!(directory.starts_with('/'), "{line:?}");
                assert!(directory == "/" || !directory.ends_with('/'), "{line:?}");
            }
            ConfLine::Include(patterns) => assert_eq!(patterns, patterns.trim(), "{line:?}"),
            ConfLine::Nothing => {}
        }
    }
}

/// Far more than the cache of a machine with 10,000 libraries has.
const MAX_CACHE_TEXT: usize = 64 << 20;

/// A baseline's text, and what one asks a baseline.
pub fn baseline(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Baseline::of_list(&text, "list", Arch::X86_64, "2026-01-01");
    let _ = Probe::parse(&text);
    let Ok(baseline) = Baseline::parse(&text) else { return };
    if baseline.root_files.is_some() {
        // What was captured is written as it is read.
        let written = baseline.captured_text();
        let again = Baseline::parse(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
        assert_eq!(again.captured_text(), written);
        walk_in(&baseline);
    }
    assert!(!baseline.interpreters.is_empty() && !baseline.library_paths.is_empty());
    assert!(baseline.objects().is_sorted_by(|a, b| a.soname < b.soname));
    for object in baseline.objects() {
        assert_eq!(baseline.object(&object.soname), Some(object));
        for code in &object.codes {
            assert!(baseline.source(code).is_some(), "{code}");
        }
        let _ = (object.file_version(), object.older_file_version(), object.highest("GLIBC"));
        let _ = object.node("GLIBC_2.34");
        if object.facts.is_some() {
            continue;
        }
        let Nodes::Known { floor, later, uncertain } = &object.nodes else { continue };
        for node in floor {
            assert_eq!(object.node(node), NodeAnswer::Floor);
        }
        for node in later {
            assert_eq!(object.node(&node.node), NodeAnswer::Later(&node.image));
        }
        for node in uncertain {
            assert_eq!(object.node(node), NodeAnswer::Uncertain);
        }
    }
    let _ = baseline.object("libc.so.6");
    let _ = baseline::exports(&baseline.glibc, baseline.arch);
}

/// A ZIP archive, read with small limits.
pub fn zip(bytes: &[u8]) {
    let limits = Limits { unzipped_bytes: 1 << 20, entries: 64 };
    let Ok(read) = archive::read("fuzz.zip", Cursor::new(bytes), &limits) else { return };
    assert!(read.entries.len() <= limits.entries);
    assert_eq!(read.unpacked, read.unzipped_bytes <= limits.unzipped_bytes);
    let mut names = BTreeSet::new();
    let mut unzipped_bytes = 0;
    for entry in &read.entries {
        assert!(names.insert(&entry.name), "twice: {:?}", entry.name);
        let parts_are_names = entry.name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        assert!(parts_are_names && !entry.name.contains(['\0', '\\']), "{:?}", entry.name);
        if let Some(bytes) = &entry.content {
            assert!(read.unpacked && entry.kind == Kind::File);
            assert_eq!(bytes.len() as u64, entry.size);
            unzipped_bytes += entry.size;
        }
        if let Kind::Link(target) = &entry.kind
            && let Some(inside) = archive::link_target(&entry.name, target)
        {
            assert!(inside.split('/').all(|part| !matches!(part, "" | "." | "..")), "{inside:?}");
        }
    }
    assert!(unzipped_bytes <= limits.unzipped_bytes.min(read.unzipped_bytes));
}
