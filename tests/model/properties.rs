//! Properties of the whole, for input that chance makes: nothing panics, no need is forgotten, order is no input.
//!
//! What must hold for bytes alone is in `fuzz.rs`, which the fuzz targets use, too.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

#[path = "fuzz.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::support::elf::{
    Built, DT_INIT_ARRAY, DT_INIT_ARRAYSZ, DT_JMPREL, DT_PLTGOT, DT_PLTREL, DT_PLTRELSZ, DT_RELA,
    DT_RELACOUNT, DT_RELASZ, DT_RELR, DT_RELRSZ, Hash, Object,
};
use cargo_lambda_bundle::archive::{self, Content, Entry, Mode};
use cargo_lambda_bundle::audit::{self, Code, Owner, Subject};
use cargo_lambda_bundle::baseline::{self, Baseline};
use cargo_lambda_bundle::elf::Arch;
use cargo_lambda_bundle::lambda::{Installed, LambdaWorld};
use cargo_lambda_bundle::layout::Layout;
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{Glibc, Outcome, Rules};
use cargo_lambda_bundle::patterns::Patterns;
use cargo_lambda_bundle::plan::{self, LibcSource, Request};
use cargo_lambda_bundle::world::{MemoryFiles, Object as WorldObject, OpenFile};
use proptest::prelude::*;

// Bytes.

type Target = fn(&[u8]);
const TARGETS: [(&str, Target); 5] = [
    ("elf", fuzz::elf),
    ("edit", fuzz::edit),
    ("conf", fuzz::conf),
    ("baseline", fuzz::baseline),
    ("zip", fuzz::zip),
];

/// A file of the fuzz targets' corpus: target, name, bytes.
type Seed = (&'static str, &'static str, Vec<u8>);

fn seeds() -> Vec<Seed> {
    let library = Object::library("liba.so.1")
        .needs("libc.so.6")
        .runpath("/x:$ORIGIN/y")
        .auxiliary("libaux.so")
        .filter("libfilter.so")
        .weak_verneed("libc.so.6", &["GLIBC_2.38"])
        .defines("a", Some("V1"))
        .defines_hidden("a", "V2")
        .imports("b", Some(("libc.so.6", "GLIBC_2.34")))
        .imports_weak("c", None)
        .build_id(&[0xab, 0xcd])
        .abi_tag([3, 2, 0])
        .isa_needed(0b101);
    let program = Object::program().needs("libz.so.1").needs("libc.so.6").rpath("$ORIGIN/lib");
    // Relocation tables that lie: beyond the file, around the end of the address space, over each other, with more
    // relative ones than there are, and in the middle of the symbols; and tables of words that they should fill.
    let linked = program.clone().imports("a", None).imports("b", Some(("libc.so.6", "GLIBC_2.34")));
    let built = linked.build();
    let table = Built::address(built.relocations);
    let slots = linked.clone().dynamic(DT_JMPREL, table + 24).dynamic(DT_PLTRELSZ, 24).dynamic(DT_PLTREL, 7);
    let words = |object: &Object, address: u64, size: u64| {
        object.clone().dynamic(DT_INIT_ARRAY, address).dynamic(DT_INIT_ARRAYSZ, size)
    };
    let relocations: [(&'static str, Object); 8] = [
        ("words-beyond", words(&linked, Built::address(built.symbols), 1 << 40)),
        ("words-packed", words(&linked, table, 16).dynamic(DT_RELR, table).dynamic(DT_RELRSZ, 71)),
        ("words-of-slots", slots.clone().dynamic(DT_PLTGOT, table - 24)),
        ("relocations-beyond", linked.clone().dynamic(DT_RELASZ, 1 << 40)),
        ("relocations-at-the-end", linked.clone().dynamic(DT_RELA, u64::MAX - 47)),
        ("relocations-twice", slots),
        ("relocations-counted", linked.clone().dynamic(DT_RELACOUNT, u64::MAX / 24)),
        (
            "relocations-elsewhere",
            linked.dynamic(DT_RELA, Built::address(built.symbols)).dynamic(DT_RELASZ, 71),
        ),
    ];
    let relocations = relocations.map(|(name, object)| ("elf", name, object.bytes()));
    let file = |name: &str, bytes: &[u8]| Entry {
        name: name.to_owned(),
        mode: Mode::Executable,
        content: Content::File(Arc::new(bytes.to_vec())),
    };
    let link = Entry { content: Content::Link("liba.so.1".into()), ..file("lib/liba.so", b"") };
    let entries = [file("bootstrap", &b"\x7fELF boot".repeat(9)), link, file("lib/liba.so.1", b"\x7fELF")];
    let zip = archive::write(&entries, &archive::Options::default(), Vec::new()).unwrap();
    let table = baseline::embedded_text("provided.al2023", Arch::X86_64).unwrap();
    let header = table.split("\nobject ").next().unwrap();
    let objects: String =
        table.split("\nobject ").skip(1).take(4).map(|it| format!("\nobject {it}")).collect();
    let mut seeds = vec![
        ("elf", "library", library.bytes()),
        ("elf", "library-sysv", library.hash(Hash::SysV).bytes()),
        ("elf", "program", program.clone().bytes()),
        ("elf", "static", Object::static_program().musl_text().abi_tag([3, 2, 0]).bytes()),
        (
            "conf",
            "ld.so.conf",
            b"# a\ninclude /etc/ld.so.conf.d/*.conf\n/usr/lib=libc6\n//\n/opt/ \n".to_vec(),
        ),
        ("conf", "ld.so.cache", cache(&[("liba.so", "/opt/liba.so"), ("libb.so", "/opt/haswell/libb.so")])),
        ("baseline", "al2023", format!("{header}{objects}\n").into_bytes()),
        ("baseline", "captured", CAPTURED.as_bytes().to_vec()),
        ("baseline", "list", b"/lib64\n/lib64/libc-2.26.so\n/lib64/libz.so.1\n".to_vec()),
        ("zip", "bundle", zip),
        ("edit", "program", program.verneed("libc.so.6", &["GLIBC_2.38"]).bytes()),
    ];
    seeds.extend(relocations);
    seeds
}

/// A captured root with everything in it that the format knows.
const CAPTURED: &str = "\
runtime captured
arch x86_64
recorded 2026-11-23
glibc 2.31
complete yes
interpreter /lib64/ld-linux-x86-64.so.2
default-dirs /lib/x86_64-linux-gnu /usr/lib
library-path /lib64:/var/task/lib
cache libb.so.1 /srv/libb.so.1
link /lib64 usr/lib
link /lib /usr/lib
link /usr/lib/loop loop
refused /usr/lib/libtext.so.1 invalid ELF header

elf /usr/lib/ld-linux-x86-64.so.2
  soname ld-linux-x86-64.so.2
elf /srv/libb.so.1
  soname libb.so.1
  rpath $ORIGIN/x:/lib
  needed liba.so.1
  needed libtext.so.1
  filter libfilter.so.1
  auxiliary libaux.so.1
  nodeflib yes
  relr yes
  kernel 3.2.0
  alignment page
  wants liba.so.1 A_1 A_2
  wants-weakly liba.so.1 A_3
elf /usr/lib/x86_64-linux-gnu/liba.so.1
  soname liba.so.1
  runpath /usr/lib/loop
  defines 1 liba.so.1 base
  defines 2 A_1
  exports 1 plain
  exports 2 a b c
  exports 2h d
";

/// An ld.so.cache with these entries.
fn cache(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut strings = Vec::new();
    let mut bytes = b"glibc-ld.so.cache1.1".to_vec();
    bytes.extend((entries.len() as u32).to_le_bytes());
    bytes.resize(48, 0);
    let start = 48 + 24 * entries.len();
    for (name, path) in entries {
        bytes.extend(0x0303_u32.to_le_bytes());
        for text in [name, path] {
            bytes.extend(((start + strings.len()) as u32).to_le_bytes());
            strings.extend(text.bytes().chain([0]));
        }
        bytes.extend([0; 12]);
    }
    bytes.extend(strings);
    bytes
}

/// `UPDATE_CORPUS=1` writes the files.
#[test]
fn the_fuzz_targets_start_from_the_fixtures() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for (target, name, bytes) in seeds() {
        let path = corpus.join(target).join(name);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert!(fs::read(&path).is_ok_and(|found| found == bytes), "{path:?}: run with UPDATE_CORPUS=1");
        TARGETS.iter().find(|(known, _)| *known == target).unwrap().1(&bytes);
    }
}

/// A file of 4,600 bytes became one of 64 GiB: the alignment of its last segment.
#[test]
fn what_the_fuzzer_found_is_answered() {
    fuzz::edit(include_bytes!("../corpus/edit/found-aligned"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn any_change_of_a_file_is_answered(
        seed in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 1..5_usize), 1..8),
        cut in any::<prop::sample::Index>(),
        is_cut in prop::bool::weighted(0.2),
    ) {
        let mut seeds = seeds();
        let (target, _, mut bytes) = seeds.swap_remove(seed.index(seeds.len()));
        for (at, value, length) in changes {
            let at = at.index(bytes.len());
            let length = length.min(4).min(bytes.len() - at);
            bytes[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        TARGETS.iter().find(|(known, _)| *known == target).unwrap().1(&bytes);
    }
}

// Plans.

const LIB: &str = "/usr/lib/x86_64-linux-gnu";

/// Libraries 0, 1, ... and what each needs, as numbers; numbers beyond the libraries are absent ones, or the
/// system's. Library 0 is the program.
type Graph = Vec<Vec<usize>>;

fn graphs() -> impl Strategy<Value = Graph> {
    prop::collection::vec(prop::collection::vec(0..12_usize, 0..5), 1..9)
}

fn name(n: usize) -> String {
    match n {
        9 => "libc.so.6".to_owned(),
        10 => "libz.so.1".to_owned(),
        n => format!("lib{n}.so"),
    }
}

/// Plans and audits; the text has all of the answer.
fn answer(graph: &Graph, order: &[usize]) -> String {
    let object = |needs: &[usize], object: Object| {
        needs.iter().filter(|n| **n > 0).fold(object, |object, n| object.needs(name(*n)))
    };
    let program = object(&graph[0], Object::program()).facts();
    let mut files = MemoryFiles::new();
    for &n in order.iter().filter(|n| **n > 0) {
        let facts = object(&graph[n], Object::library(name(n))).facts();
        files.add(&format!("{LIB}/{}", name(n)), WorldObject::Elf(facts));
    }
    let build = World {
        files: &files,
        rules: Rules::Glibc(Glibc {
            interpreter: "/lib64/ld-linux-x86-64.so.2".into(),
            machine: Arch::X86_64.machine(),
            default_dirs: vec![LIB.into()],
            lib: "lib/x86_64-linux-gnu".into(),
            ..Glibc::default()
        }),
        library_path: None,
        working_directory: "/".into(),
    };
    let none = || Patterns::new("none", &[]).unwrap();
    let baseline: Baseline = baseline::embedded("provided.al2023", Arch::X86_64).unwrap();
    let lambda = LambdaWorld {
        library_paths: baseline.library_paths.clone(),
        baseline: baseline.into(),
        assume_present: none(),
        binds_now: false,
        tunables: String::new(),
        preload: Vec::new(),
    };
    let opened =
        OpenFile { id: (9, 9), source: "/build/app".into(), object: WorldObject::Elf(program.clone()) };
    let request = Request {
        program: &opened,
        facts: &program,
        path: "/build/app",
        extra: &[],
        exclude: &none(),
        pin: &none(),
        may_edit: true,
        libc: LibcSource::System,
        layout: &Layout::function(),
        installed: &Installed::new(&lambda, Vec::new()),
        pinned: &[],
        taken: &Default::default(),
        dlopened_by: None,
    };
    let plan = plan::plan(&request, &lambda, &build);
    let subject = Subject {
        name: "app",
        program: &program,
        lambda: &lambda,
        owner: Owner::Binary,
        members: &plan.members,
        attached: &Default::default(),
        build: &plan.build,
    };
    let findings = audit::audit(&subject, &plan.walks);
    let shipped: BTreeSet<&str> = plan.shipped.iter().map(|library| library.name.as_str()).collect();
    let missing: BTreeSet<&str> = findings
        .iter()
        .filter(|finding| finding.code == Code::MissingLibrary)
        .filter_map(|finding| finding.soname.as_deref())
        .collect();
    for walked in &plan.walks {
        for need in &walked.closure.needs {
            match need.outcome {
                Outcome::Loaded(index) => {
                    let object = &walked.closure.objects[index].file.object;
                    let is_system = matches!(object, WorldObject::System(_));
                    assert!(is_system || shipped.contains(need.name.as_str()), "{need:?}");
                }
                _ => assert!(missing.contains(need.name.as_str()), "no finding: {need:?}"),
            }
        }
    }
    // From the outside: all that can be reached.
    let (mut reached, mut queue) = (BTreeSet::new(), vec![0]);
    while let Some(n) = queue.pop() {
        for &needed in graph.get(n).into_iter().flatten().filter(|n| **n > 0) {
            if reached.insert(needed) && needed < graph.len() {
                queue.push(needed);
            }
        }
    }
    for n in reached {
        let name = name(n);
        let ends = [shipped.contains(name.as_str()), lambda.baseline.object(&name).is_some()];
        let found = missing.contains(name.as_str());
        assert!(ends.contains(&true) != found, "{name}: shipped, system {ends:?}, missing {found}");
    }
    let findings: Vec<String> = findings.iter().map(|finding| format!("{finding:?}")).collect();
    format!("{shipped:?}\n{}", findings.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_need_ends_as_a_member_a_system_object_or_a_finding_whatever_the_order_of_files(
        (graph, order) in graphs().prop_flat_map(|graph| {
            let order: Vec<usize> = (0..graph.len()).collect();
            (Just(graph), Just(order).prop_shuffle())
        }),
    ) {
        let sorted: Vec<usize> = (0..graph.len()).collect();
        prop_assert_eq!(answer(&graph, &sorted), answer(&graph, &order));
    }
}
