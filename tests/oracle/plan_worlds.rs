//! Random worlds: a runtime, a machine, a program. The plan ends, keeps its rules, and tells the truth.
//!
//! A world has libraries of the system's in packages, ours of the same names with other version nodes, libraries of
//! our own, DT_RPATH and DT_RUNPATH, needs by path, layers, and wishes. The same seed gives the same world. What holds
//! of every plan is checked in memory; a part of the worlds is written to a root directory and started by
//! this machine's kernel and ld.so. `PLAN_WORLDS` is the number of these (150 by default), `PLAN_WORLDS_FROM` the
//! first seed.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use crate::support::elf::{Built, Object, PT_LOAD};
use crate::support::lambda_root;
use cargo_lambda_bundle::audit::{self, Code, Finding, Owner, Severity, Subject};
use cargo_lambda_bundle::baseline::Baseline;
use cargo_lambda_bundle::baseline::captured::{Root, RootEntry};
use cargo_lambda_bundle::elf::{self, Arch, ElfFacts};
use cargo_lambda_bundle::lambda::{LambdaWorld, Member, MemberContent};
use cargo_lambda_bundle::layout::Layout;
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{Glibc, Outcome, Rules};
use cargo_lambda_bundle::patterns::Patterns;
use cargo_lambda_bundle::plan::{self, BundlePlan, LibcSource, Place, Request};
use cargo_lambda_bundle::repair::{self, Edits};
use cargo_lambda_bundle::world::{MemoryFiles, Object as WorldObject, OpenFile};

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// What a library is in one of the places where it may be.
#[derive(Debug, Clone, Default)]
struct Library {
    soname: String,
    /// Its version nodes; none: it has no version definitions.
    nodes: Vec<usize>,
    /// The version in its file name, where it has no nodes.
    version: usize,
    needs: Vec<Wanted>,
    rpath: Option<&'static str>,
    runpath: Option<&'static str>,
}

/// A need of a library, and the node or symbol of it that is used.
#[derive(Debug, Clone)]
struct Wanted {
    entry: String,
    soname: String,
    node: Option<String>,
}

/// All of one world.
#[derive(Debug, Default)]
struct Scene {
    system: Vec<(Library, Option<&'static str>)>,
    /// Files of the build world by path.
    build: Vec<(String, Library)>,
    links: Vec<(String, String)>,
    layer: Vec<Library>,
    program: Library,
    wishes: Vec<String>,
    excluded: Vec<String>,
    extra: Vec<String>,
    may_edit: bool,
    is_captured: bool,
}

const N_SYSTEM: usize = 6;
const N_OWN: usize = 5;

fn system_name(n: usize) -> String {
    format!("libs{n}.so.1")
}

fn own_name(n: usize) -> String {
    format!("libb{n}.so.1")
}

fn node(soname: &str, n: usize) -> String {
    format!("{}_{n}", soname.trim_start_matches("lib").split('.').next().unwrap().to_uppercase())
}

impl Scene {
    fn of(seed: u64) -> Scene {
        let mut random = Random::new(seed);
        let mut scene =
            Scene { is_captured: random.percent(50), may_edit: random.percent(85), ..Scene::default() };
        // Which libraries have nodes is the same in both worlds.
        let has_nodes: Vec<bool> = (0..N_SYSTEM).map(|_| random.percent(70)).collect();
        for (n, has_nodes) in has_nodes.iter().enumerate() {
            let nodes = if *has_nodes { (1..=1 + random.below(3)).collect() } else { Vec::new() };
            let library = Library { soname: system_name(n), nodes, version: 3, ..Library::default() };
            let package = [None, Some("one"), Some("two"), Some("three")][random.below(4)];
            scene.system.push((library, package));
        }
        // The system is consistent in itself: its needs are met by what it has.
        for n in 0..N_SYSTEM {
            for other in (n + 1..N_SYSTEM).filter(|_| random.percent(30)).collect::<Vec<_>>() {
                let wanted = wanted(&mut random, &scene.system[other].0, None);
                scene.system[n].0.needs.push(wanted);
            }
        }
        // This machine has its own copies, most of them newer.
        for (n, has_nodes) in has_nodes.iter().enumerate() {
            let mut library = Library { soname: system_name(n), ..Library::default() };
            if *has_nodes {
                library.nodes = (1..=1 + random.below(5)).filter(|_| !random.percent(15)).collect();
                if library.nodes.is_empty() {
                    library.nodes.push(1);
                }
            }
            library.version = 1 + random.below(5);
            scene.add_build(library, &mut random);
        }
        for n in 0..N_OWN {
            let library = Library {
                soname: own_name(n),
                nodes: if random.percent(40) { vec![1, 2] } else { vec![] },
                version: 1,
                ..Library::default()
            };
            scene.add_build(library, &mut random);
        }
        let order: Vec<usize> = (0..scene.build.len()).collect();
        for at in &order {
            for other in
                order.iter().filter(|other| *other != at && random.percent(22)).copied().collect::<Vec<_>>()
            {
                // Real libraries of the system's do not need ours; a few cycles are fine.
                if (*at < N_SYSTEM && other >= N_SYSTEM && random.percent(70))
                    || (other < *at && random.percent(70))
                {
                    continue;
                }
                let path = Some(scene.build[other].0.clone());
                let wanted = wanted(&mut random, &scene.build[other].1.clone(), path);
                scene.build[*at].1.needs.push(wanted);
            }
        }
        let mut program = Library { soname: "app".into(), ..Library::default() };
        paths(&mut program, &mut random);
        for other in order.iter().filter(|_| random.percent(40)).copied().collect::<Vec<_>>() {
            let path = Some(scene.build[other].0.clone());
            program.needs.push(wanted(&mut random, &scene.build[other].1.clone(), path));
        }
        scene.program = program;
        for n in 0..scene.build.len() {
            let library = scene.build[n].1.clone();
            if random.percent(8) {
                let keeps: Vec<usize> =
                    library.nodes.iter().copied().filter(|_| random.percent(70)).collect();
                scene.layer.push(Library { nodes: keeps, needs: Vec::new(), ..library.clone() });
            }
            let soname = library.soname;
            if random.percent(12) {
                scene.wishes.push(soname.clone());
            }
            if random.percent(2) {
                scene.excluded.push(soname.clone());
            }
            if random.percent(4) {
                scene.extra.push(soname);
            }
        }
        scene
    }

    fn add_build(&mut self, mut library: Library, random: &mut Random) {
        paths(&mut library, random);
        let file = format!("/build/lib/{}.{}", library.soname, library.version);
        let path = format!("/build/lib/{}", library.soname);
        if library.nodes.is_empty() {
            self.links.push((path, file.clone()));
            self.build.push((file, library.clone()));
        } else {
            self.build.push((path.clone(), library.clone()));
        }
        self.links.push((
            format!("/build/lib/lib{}-alias.so", library.soname),
            format!("/build/lib/{}", library.soname),
        ));
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let of = |(path, library): &(String, Library)| {
            (path.clone(), library.bytes(Object::library(&library.soname)))
        };
        self.build.iter().map(of).collect()
    }

    fn system_files(&self) -> BTreeMap<String, Vec<u8>> {
        let of = |(library, _): &(Library, _)| {
            let version =
                if library.nodes.is_empty() { format!(".{}", library.version) } else { String::new() };
            let path = format!("/usr/lib64/{}{version}", library.soname);
            (path, library.bytes(Object::library(&library.soname)))
        };
        self.system.iter().map(of).collect()
    }
}

fn paths(library: &mut Library, random: &mut Random) {
    let path = random.one_of(&[
        "/usr/lib64",
        "/lib64:/build/lib",
        "$ORIGIN",
        "/build/lib",
        "/opt/lib",
        "/var/task/lib/pinned",
        "$ORIGIN/pinned",
    ]);
    match random.below(10) {
        0 | 1 => library.rpath = Some(path),
        2 | 3 => library.runpath = Some(path),
        _ => {}
    }
}

/// A need of what a library has.
fn wanted(random: &mut Random, library: &Library, path: Option<String>) -> Wanted {
    let soname = library.soname.clone();
    let node = match library.nodes.len() {
        0 => None,
        n => Some(node(&soname, library.nodes[random.below(n)])),
    };
    let entry = match (random.below(20), path) {
        (0, Some(path)) => path,
        (1, Some(_)) => format!("$ORIGIN/../lib/{soname}"),
        (2, Some(_)) => format!("lib{soname}-alias.so"),
        _ => soname.clone(),
    };
    Wanted { entry, soname, node }
}

impl Library {
    fn bytes(&self, mut object: Object) -> Vec<u8> {
        if let Some(path) = self.rpath {
            object = object.rpath(path);
        }
        if let Some(path) = self.runpath {
            object = object.runpath(path);
        }
        for wanted in &self.needs {
            object = object.needs(&wanted.entry);
        }
        for n in &self.nodes {
            let node = node(&self.soname, *n);
            object = object.defines(node.to_lowercase(), Some(&node));
        }
        if self.nodes.is_empty() && self.soname != "app" {
            object = object.defines(format!("plain_{}", self.soname), None);
        }
        for wanted in &self.needs {
            object = match &wanted.node {
                Some(node) => object.imports(node.to_lowercase(), Some((&wanted.entry, node))),
                None => object.imports(format!("plain_{}", wanted.soname), None),
            };
        }
        // exit_group(0), where it is a program.
        const EXIT: &[u8] = &[0xb8, 0xe7, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
        // An edit takes the place of the note's program header.
        let mut built = object.build_id(&[1; 20]).text(EXIT).build();
        let (entry, load) = (built.bytes.len() - EXIT.len(), built.header(PT_LOAD));
        if self.soname == "app" {
            built = built.put_u64(24, Built::address(entry));
        }
        built.put_u32(load + 4, 7).bytes
    }
}

fn parse(bytes: &[u8]) -> Arc<ElfFacts> {
    Arc::new(elf::parse(bytes).unwrap())
}

/// The runtime of a scene as a table, or as it would be captured.
fn baseline(scene: &Scene) -> Baseline {
    let mut text = "runtime test\narch x86_64\nrecorded 2026-01-01\nglibc 2.36\ncomplete yes\n\
         interpreter /lib64/ld-linux-x86-64.so.2\ndefault-dirs /lib64 /usr/lib64\n\
         library-path /lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib\n"
        .to_owned();
    if scene.is_captured {
        let mut root = Root::default();
        let mut link =
            |from: &str, to: &str| root.entries.insert(from.to_owned(), RootEntry::Link(to.to_owned()));
        link("/lib64", "usr/lib64");
        let loader = Object::library("ld-linux-x86-64.so.2").facts();
        root.entries.insert("/usr/lib64/ld-linux-x86-64.so.2".into(), RootEntry::Elf(loader));
        for ((path, bytes), (library, package)) in scene.system_files().iter().zip(&scene.system) {
            root.entries.insert(path.clone(), RootEntry::Elf(parse(bytes)));
            if let Some(package) = package {
                root.packages.insert(path.clone(), (*package).to_owned());
            }
            if library.nodes.is_empty() {
                let link = RootEntry::Link(cargo_lambda_bundle::paths::file_name(path).to_owned());
                root.entries.insert(format!("/usr/lib64/{}", library.soname), link);
            }
        }
        // As it is read back from its text.
        return Baseline::parse(&Baseline::parse(&text).unwrap().with_root(root).captured_text()).unwrap();
    }
    text.push_str("evidence X a test\n");
    text.push_str("object ld-linux-x86-64.so.2\n  presence present\n  evidence derived X\n  nodes GLIBC_2.3\n  nodes-from high X\n");
    for (library, package) in &scene.system {
        text.push_str(&format!("object {}\n", library.soname));
        if library.nodes.is_empty() {
            text.push_str(&format!("  file {}.{}\n", library.soname, library.version));
        }
        if let Some(package) = package {
            text.push_str(&format!("  package {package}\n"));
        }
        let nodes: Vec<String> = library.nodes.iter().map(|n| node(&library.soname, *n)).collect();
        let nodes = if nodes.is_empty() { "none".to_owned() } else { nodes.join(" ") };
        text.push_str(&format!(
            "  presence present\n  evidence derived X\n  nodes {nodes}\n  nodes-from high X\n"
        ));
    }
    Baseline::parse(&text).unwrap()
}

/// A scene with its plan.
struct Planned {
    plan: BundlePlan,
    findings: Vec<Finding>,
    lambda: LambdaWorld,
    files: BTreeMap<String, Vec<u8>>,
    program: Vec<u8>,
}

impl Planned {
    fn errors(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).collect()
    }
}

/// What a variant of the scene leaves to the plan.
#[derive(Clone, Copy, PartialEq)]
enum Leave {
    AsItIs,
    /// Nothing is edited and nothing is wished: the system as it is.
    Unmodified,
}

fn planned(scene: &Scene, leave: Leave) -> Planned {
    let (files, program) = (scene.files(), scene.program.bytes(Object::program()));
    let mut build_files = MemoryFiles::new();
    build_files.add_directory("/build/bin");
    for (path, bytes) in &files {
        build_files.add(path, WorldObject::Elf(parse(bytes)));
    }
    for (path, target) in &scene.links {
        build_files.add_link(path, target);
    }
    let facts = parse(&program);
    let build = World {
        files: &build_files,
        rules: Rules::Glibc(Glibc {
            interpreter: "/lib64/ld-linux-x86-64.so.2".into(),
            machine: Arch::X86_64.machine(),
            release: (2, 36),
            default_dirs: vec!["/build/lib".into()],
            lib: "lib".into(),
            ..Glibc::default()
        }),
        library_path: None,
        working_directory: "/".into(),
    };
    let baseline = baseline(scene);
    let none = || Patterns::new("none", &[]).unwrap();
    let lambda = LambdaWorld {
        library_paths: baseline.library_paths.clone(),
        baseline: baseline.into(),
        assume_present: none(),
        assume_missing: none(),
        binds_now: false,
        preload: Vec::new(),
    };
    let layer: Vec<Member> = scene
        .layer
        .iter()
        .map(|library| Member {
            path: format!("/opt/lib/{}", library.soname),
            content: MemberContent::Object(parse(&library.bytes(Object::library(&library.soname)))),
        })
        .collect();
    let opened =
        OpenFile { id: (9, 9), source: "/build/bin/app".into(), object: WorldObject::Elf(facts.clone()) };
    let wishes = if leave == Leave::AsItIs { &scene.wishes[..] } else { &[] };
    let request = Request {
        program: &opened,
        facts: &facts,
        path: "/build/bin/app",
        extra: &scene.extra,
        exclude: &Patterns::new("--exclude-lib", &scene.excluded).unwrap(),
        pin: &Patterns::new("--bundle-lib", wishes).unwrap(),
        may_edit: scene.may_edit && leave == Leave::AsItIs,
        libc: LibcSource::System,
        layout: &Layout::function(),
        members: &layer,
        pinned: &[],
        taken: &BTreeSet::new(),
        dlopened_by: None,
    };
    let plan = plan::plan(&request, &lambda, &build);
    let subject = Subject {
        name: "app",
        program: &facts,
        lambda: &lambda,
        owner: Owner::Binary,
        members: &plan.members,
        attached: &layer.iter().map(|member| member.path.clone()).collect(),
        build: &plan.build,
    };
    let findings = audit::audit(&subject, &plan.walks);
    Planned { findings, lambda, files, program, plan }
}

/// What holds of every plan.
fn check_rules(seed: u64, scene: &Scene, planned: &Planned) {
    let plan = &planned.plan;
    let context = || {
        format!(
            "seed {seed}: {scene:#?}\nshipped {:#?}\n{:?}",
            plan.shipped.iter().map(|it| (&it.name, it.place, &it.source, &it.link_to)).collect::<Vec<_>>(),
            planned.findings
        )
    };
    // The last walk is the proof: walked once more, the same is loaded.
    let again = planned.lambda.walks("/var/task/bootstrap", &plan.program, &plan.libs, &plan.members);
    for (walked, again) in plan.walks.iter().zip(&again) {
        let paths = |walked: &cargo_lambda_bundle::lambda::Walked| {
            walked.closure.objects.iter().map(|object| object.path.clone()).collect::<Vec<_>>()
        };
        assert_eq!(paths(walked), paths(again), "{}", context());
    }
    let failed: BTreeSet<&str> = plan
        .walks
        .iter()
        .flat_map(|walked| &walked.closure.needs)
        .filter(|need| !matches!(need.outcome, Outcome::Loaded(_)))
        .map(|need| cargo_lambda_bundle::paths::file_name(&need.name))
        .collect();
    // Nothing is shipped in vain.
    let layout = Layout::function();
    let loaded: BTreeSet<&str> = plan
        .walks
        .iter()
        .flat_map(|walked| &walked.closure.objects)
        .map(|object| object.path.as_str())
        .collect();
    for library in plan.shipped.iter().filter(|library| !failed.contains(library.name.as_str())) {
        let path = layout.path(&library.entry_name(&layout));
        let names = plan.shipped.iter().filter(|other| other.source == library.source);
        let mut paths = names.map(|other| layout.path(&other.entry_name(&layout)));
        let is_loaded = loaded.contains(path.as_str()) || paths.any(|path| loaded.contains(path.as_str()));
        assert!(is_loaded, "{} is shipped in vain: {}", library.name, context());
        if let Some(target) = &library.link_to {
            let target = cargo_lambda_bundle::paths::normalize(&format!(
                "{}/{target}",
                cargo_lambda_bundle::paths::parent(&path)
            ));
            let is_there = plan.shipped.iter().any(|other| layout.path(&other.entry_name(&layout)) == target);
            assert!(is_there, "{target} is not there: {}", context());
        }
    }
    // A package is pinned whole or not at all, or that is an error.
    let package = |soname: &str| planned.lambda.baseline.object(soname).and_then(|it| it.package.clone());
    if planned.errors().is_empty() {
        for walked in &plan.walks {
            let mut sides: BTreeMap<String, [BTreeSet<&str>; 2]> = BTreeMap::new();
            for object in walked.closure.objects.iter().skip(1) {
                let is_system = matches!(object.file.object, WorldObject::System(_));
                let is_layers = object.path.starts_with("/opt/");
                let soname = object.file.object.soname().unwrap_or_default();
                if let Some(package) = package(soname).filter(|_| !is_layers) {
                    sides.entry(package).or_default()[usize::from(is_system)].insert(soname);
                }
            }
            // Under a path or another name ours may stand beside the system's of the same SONAME.
            let is_half =
                |[ours, systems]: &[BTreeSet<&str>; 2]| !ours.is_empty() && !systems.is_subset(ours);
            assert!(!sides.values().any(is_half), "half a package: {sides:?} {}", context());
        }
    }
    // A wish is done or answered.
    for wish in &scene.wishes {
        let is_answered = planned
            .findings
            .iter()
            .any(|finding| finding.code == Code::RepairConflict && finding.soname.as_ref() == Some(wish));
        for object in plan.walks.iter().flat_map(|walked| &walked.closure.objects) {
            let is_other =
                matches!(object.file.object, WorldObject::System(_)) || object.path.starts_with("/opt/");
            let is_wished = object.file.object.soname() == Some(wish) && is_other;
            assert!(!is_wished || is_answered, "{wish} is forgotten: {}", context());
        }
    }
}

#[test]
fn every_plan_ends_and_keeps_the_rules() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..400 {
        let scene = Scene::of(seed);
        let planned = planned(&scene, Leave::AsItIs);
        check_rules(seed, &scene, &planned);
        let word = if planned.errors().is_empty() { "starts" } else { "refused" };
        *counts.entry(word).or_default() += 1;
        let is_pinning = planned.plan.shipped.iter().any(|library| library.place == Place::Pinned);
        *counts.entry(if is_pinning { "pins" } else { "pins nothing" }).or_default() += 1;
    }
    // The worlds are of all kinds.
    for kind in ["starts", "refused", "pins", "pins nothing"] {
        assert!(counts.get(kind).is_some_and(|count| *count > 20), "{counts:?}");
    }
}

/// A root directory with this machine's ld.so, for one world after another.
struct RealRoot {
    dir: tempfile::TempDir,
}

impl RealRoot {
    fn new() -> RealRoot {
        let root = RealRoot { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(root.path("usr/lib64")).unwrap();
        fs::create_dir_all(root.path("usr/lib")).unwrap();
        symlink("usr/lib64", root.path("lib64")).unwrap();
        // What is built into Debian's ld.so is this directory.
        symlink("../lib64", root.path("usr/lib/x86_64-linux-gnu")).unwrap();
        fs::copy("/lib64/ld-linux-x86-64.so.2", root.path("usr/lib64/ld-linux-x86-64.so.2")).unwrap();
        root
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside.trim_start_matches('/'))
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Puts the system of a scene and its layer in the place of the last one's.
    fn furnish(&self, scene: &Scene) {
        for entry in fs::read_dir(self.path("usr/lib64")).unwrap().map(Result::unwrap) {
            if !entry.file_name().to_string_lossy().starts_with("ld-linux") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        let _ = fs::remove_dir_all(self.path("opt"));
        for ((path, bytes), (library, _)) in scene.system_files().iter().zip(&scene.system) {
            self.write(path, bytes);
            if library.nodes.is_empty() {
                self.link(
                    &format!("/usr/lib64/{}", library.soname),
                    cargo_lambda_bundle::paths::file_name(path),
                );
            }
        }
        for library in &scene.layer {
            let bytes = library.bytes(Object::library(&library.soname));
            self.write(&format!("/opt/lib/{}", library.soname), &bytes);
        }
    }

    /// Writes what a plan says and starts it; what ld.so said if it did not start.
    fn start(&self, planned: &Planned) -> Result<(), String> {
        let _ = fs::remove_dir_all(self.path("var/task"));
        let edited = |bytes: &[u8], edits: Option<&Edits>| match edits {
            Some(edits) => repair::edit(bytes, edits).unwrap().bytes,
            None => bytes.to_vec(),
        };
        let layout = Layout::function();
        for library in &planned.plan.shipped {
            let path = layout.path(&library.entry_name(&layout));
            match &library.link_to {
                Some(target) => self.link(&path, target),
                None => self.write(&path, &edited(&planned.files[&library.source], library.edits.as_ref())),
            }
        }
        self.write("/var/task/bootstrap", &edited(&planned.program, planned.plan.program_edits.as_ref()));
        let mut command = Command::new("chroot");
        command.arg(self.dir.path()).arg("/var/task/bootstrap").env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LD_LIBRARY_PATH", &planned.lambda.library_paths[0]);
        let output = command.output().unwrap();
        match output.status.code() {
            Some(0) => Ok(()),
            code => Err(format!("{code:?} {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn what_is_written_starts_and_refusals_are_judged() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let root = RealRoot::new();
    let first = number("PLAN_WORLDS_FROM", 10_000);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in first..first + number("PLAN_WORLDS", 150) {
        // What is opened later says nothing of the start.
        let scene = Scene { extra: Vec::new(), ..Scene::of(seed) };
        let planned_as_asked = planned(&scene, Leave::AsItIs);
        check_rules(seed, &scene, &planned_as_asked);
        root.furnish(&scene);
        let kind = if scene.is_captured { "captured" } else { "table" };
        let outcome = root.start(&planned_as_asked);
        let errors = planned_as_asked.errors();
        if errors.is_empty() {
            *counts.entry(format!("{kind}: written")).or_default() += 1;
            if let Err(said) = outcome {
                wrong.push(format!(
                    "seed {seed} ({kind}): written, and {said}\n{:?}",
                    planned_as_asked.findings
                ));
            }
            continue;
        }
        let codes: BTreeSet<&str> = errors.iter().map(|finding| finding.code.as_str()).collect();
        let codes = codes.into_iter().collect::<Vec<_>>().join("+");
        let by_force = if outcome.is_ok() { "starts by force" } else { "fails by force" };
        let unmodified = match root.start(&planned(&scene, Leave::Unmodified)) {
            Ok(()) => "starts unmodified",
            Err(_) => "fails unmodified",
        };
        let is_wish = |finding: &&Finding| {
            finding.versions.is_empty()
                && finding.soname.as_ref().is_some_and(|soname| scene.wishes.contains(soname))
        };
        let wish = if errors.iter().all(is_wish) { ", a wish" } else { "" };
        let line = format!("{kind}: refused{wish}, {by_force}, {unmodified}: {codes}");
        if std::env::var_os("PLAN_WORLDS_SHOW").is_some()
            && (outcome.is_ok() || unmodified.starts_with('s'))
            && wish.is_empty()
        {
            eprintln!("seed {seed}: {line}: {:?}", errors.iter().map(|it| &it.message).collect::<Vec<_>>());
        }
        *counts.entry(line).or_default() += 1;
    }
    for (line, count) in &counts {
        eprintln!("{count:6} {line}");
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}
