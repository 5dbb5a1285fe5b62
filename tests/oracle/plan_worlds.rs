//! Random worlds: a runtime, a machine, a program. The plan ends, keeps its rules, and tells the truth.
//!
//! A world has libraries of the system's in packages, ours of the same names with other version nodes, libraries of
//! our own, DT_RPATH and DT_RUNPATH, needs by path, layers, and wishes. The same seed gives the same world. What holds
//! of every plan is checked in memory; a part of the worlds is written to a root directory and started by
//! this machine's kernel and ld.so. `PLAN_WORLDS` is the number of these (150 by default), `PLAN_WORLDS_FROM` the
//! first seed.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod random;
mod root;

use std::collections::{BTreeMap, BTreeSet};

use self::random::{RandomWorld, baseline, parse};
use self::root::RealRoot;
use crate::support::elf::Object;
use crate::support::lambda_root;
use cargo_lambda_bundle::audit::{self, Code, Finding, Owner, Severity, Subject};
use cargo_lambda_bundle::elf::Arch;
use cargo_lambda_bundle::lambda::{Installed, LambdaWorld, Member, MemberContent};
use cargo_lambda_bundle::layout::Layout;
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{Glibc, Outcome, Rules};
use cargo_lambda_bundle::patterns::Patterns;
use cargo_lambda_bundle::plan::{self, BundlePlan, LibcSource, Place, Request};
use cargo_lambda_bundle::world::{MemoryFiles, Object as WorldObject, OpenFile};

/// A world with its plan.
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

/// What a variant of the world leaves to the plan.
#[derive(Clone, Copy, PartialEq)]
enum Leave {
    AsItIs,
    /// Nothing is edited and nothing is wished: the system as it is.
    Unmodified,
}

fn planned(world: &RandomWorld, leave: Leave) -> Planned {
    let (files, program) = (world.files(), world.program.bytes(Object::program()));
    let mut build_files = MemoryFiles::new();
    build_files.add_directory("/build/bin");
    for (path, bytes) in &files {
        build_files.add(path, WorldObject::Elf(parse(bytes)));
    }
    for (path, target) in &world.links {
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
    let baseline = baseline(world);
    let none = || Patterns::new("none", &[]).unwrap();
    let lambda = LambdaWorld {
        library_paths: baseline.library_paths.clone(),
        baseline: baseline.into(),
        assume_present: none(),
        binds_now: false,
        tunables: String::new(),
        preload: Vec::new(),
    };
    let layer: Vec<Member> = world
        .layer
        .iter()
        .map(|library| Member {
            path: format!("/opt/lib/{}", library.soname),
            content: MemberContent::Object(parse(&library.bytes(Object::library(&library.soname)))),
        })
        .collect();
    let opened =
        OpenFile { id: (9, 9), source: "/build/bin/app".into(), object: WorldObject::Elf(facts.clone()) };
    let wishes = if leave == Leave::AsItIs { &world.wishes[..] } else { &[] };
    let request = Request {
        program: &opened,
        facts: &facts,
        path: "/build/bin/app",
        extra: &world.extra,
        exclude: &Patterns::new("--exclude-lib", &world.excluded).unwrap(),
        pin: &Patterns::new("--bundle-lib", wishes).unwrap(),
        may_edit: world.may_edit && leave == Leave::AsItIs,
        libc: LibcSource::System,
        layout: &Layout::function(),
        installed: &Installed::new(&lambda, layer.clone()),
        pinned: &[],
        taken: &BTreeSet::new(),
        dlopened_by: None,
    };
    let mut plan = plan::plan(&request, &lambda, &build);
    plan.members.splice(0..0, layer.clone());
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
fn check_rules(seed: u64, world: &RandomWorld, planned: &Planned) {
    let plan = &planned.plan;
    let context = || {
        format!(
            "seed {seed}: {world:#?}\nshipped {:#?}\n{:?}",
            plan.shipped.iter().map(|it| (&it.name, it.place, &it.source, &it.link_to)).collect::<Vec<_>>(),
            planned.findings
        )
    };
    // The last walk is the proof: walked once more, the same is loaded.
    let again = Installed::new(&planned.lambda, plan.members.clone()).walks(
        "/var/task/bootstrap",
        &plan.program,
        &plan.libs,
        &[],
    );
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
    let loaded: BTreeSet<String> = plan
        .walks
        .iter()
        .flat_map(|walked| &walked.closure.objects)
        .map(|object| object.absolute_path())
        .collect();
    for library in plan.shipped.iter().filter(|library| !failed.contains(library.name.as_str())) {
        let path = layout.path(&library.entry_name(&layout));
        let names = plan.shipped.iter().filter(|other| other.source == library.source);
        let mut paths = names.map(|other| layout.path(&other.entry_name(&layout)));
        let is_loaded = loaded.contains(&path) || paths.any(|path| loaded.contains(&path));
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
    for wish in &world.wishes {
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
        let world = RandomWorld::of(seed);
        let planned = planned(&world, Leave::AsItIs);
        check_rules(seed, &world, &planned);
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
        let world = RandomWorld { extra: Vec::new(), ..RandomWorld::of(seed) };
        let planned_as_asked = planned(&world, Leave::AsItIs);
        check_rules(seed, &world, &planned_as_asked);
        root.furnish(&world);
        let kind = if world.is_captured { "captured" } else { "table" };
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
        let unmodified = match root.start(&planned(&world, Leave::Unmodified)) {
            Ok(()) => "starts unmodified",
            Err(_) => "fails unmodified",
        };
        let is_wish = |finding: &&Finding| {
            finding.versions.is_empty()
                && finding.soname.as_ref().is_some_and(|soname| world.wishes.contains(soname))
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
