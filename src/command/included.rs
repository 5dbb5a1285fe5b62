//! The included files, and the programs and libraries among them, which are looked at like the program itself.
//!
//! What those need and Lambda lacks is shipped for them, too, and they are edited by the same rules.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::Utf8Path;

use crate::archive::Content;
use crate::audit::{self, Findings, Owner, Subject};
use crate::disk;
use crate::disk::build_world::{self, DiskFiles};
use crate::disk::paths::world_name;
use crate::elf::{self, Arch, ElfFacts, Libc, Linkage, ObjectType};
use crate::error::{Error, Result};
use crate::include::{Include, Included};
use crate::lambda::{LambdaWorld, Member, MemberContent};
use crate::layout::Layout;
use crate::loader::World;
use crate::plan::{self, BundlePlan, ReboundFile, Request, Shipped};
use crate::repair::Edits;
use crate::report::{self, Library};
use crate::settings::{Bundle, Origin, Package};
use crate::ui::Ui;
use crate::world::{Object, OpenFile, Opened};

/// cargo-lambda's settings are not ours: what is taken from them is said.
pub(super) fn say_whose(package: &Package, ui: &Ui) {
    for setting in &package.values {
        if let Origin::CargoLambda(path) = &setting.origin {
            let names: Vec<String> = setting
                .values
                .iter()
                .map(|word| word.parse().map_or(word.clone(), |include: Include| include.from))
                .collect();
            ui.status(
                "Including",
                &format!("{}, as cargo-lambda's settings in {path} say", names.join(", ")),
            );
        }
    }
}

/// The files to include, as they are named in the bundle.
///
/// # Errors
///
/// What [`disk::include::collect`] says.
pub(super) fn collect(job: &Bundle) -> Result<Vec<Included>> {
    let mut included = Vec::new();
    for selector in &job.includes {
        included.extend(disk::include::collect(selector, job.keep_links)?);
    }
    Ok(included)
}

/// The build world, for programs of any C library.
pub(super) struct Build<'a> {
    pub(super) files: &'a DiskFiles,
    pub(super) arch: Arch,
    pub(super) library_path: String,
    pub(super) working_directory: String,
    /// For glibc's programs, and for musl's.
    pub(super) worlds: [OnceCell<World<'a>>; 2],
}

impl<'a> Build<'a> {
    pub(super) fn world(&self, libc: Libc) -> &World<'a> {
        self.worlds[usize::from(libc == Libc::Musl)].get_or_init(|| World {
            files: self.files,
            rules: build_world::rules(self.files, self.arch, libc),
            library_path: Some(self.library_path.clone()),
            working_directory: self.working_directory.clone(),
        })
    }
}

/// An included ELF file with the plan for what it needs.
pub(super) struct Other {
    name: String,
    facts: Arc<ElfFacts>,
    source: String,
    plan: BundlePlan,
}

/// The included files as the loader will meet them.
pub(super) fn members(included: &[Included], layout: &Layout) -> Vec<Member> {
    let member = |file: &Included| {
        let content = match &file.content {
            Content::Link(target) => MemberContent::Link(target.clone()),
            Content::File(bytes) => {
                MemberContent::of_file(elf::parse(bytes).map(Arc::new), bytes.len() as u64)
            }
            Content::Stored(stored) => {
                match elf::parse_ranges(stored.n_bytes(), |range| stored.read(range)) {
                    Ok(facts) => MemberContent::of_file(facts.map(Arc::new), stored.n_bytes()),
                    Err(_) => MemberContent::Other(Opened::Unreadable),
                }
            }
        };
        Member { path: layout.path(&file.name), content }
    };
    included.iter().map(member).collect()
}

/// Plans for each included program and shared library, and adds to `plan`, which is for the `bootstrap` of
/// `request`, what they need beside it.
///
/// All are walked again at the end, when everything is there: those walks are the proof.
///
/// # Errors
///
/// A file that has gone.
pub(super) fn plan(
    plan: &mut BundlePlan,
    request: &Request,
    lambda: &LambdaWorld,
    included: &[Included],
    build: &Build,
) -> Result<Vec<Other>> {
    let mut others: Vec<Other> = Vec::new();
    let n_members = plan.members.len();
    let mut objects: BTreeMap<String, Arc<ElfFacts>> = BTreeMap::new();
    for member in &plan.members {
        if let MemberContent::Object(facts) = &member.content {
            objects.entry(member.path.clone()).or_insert_with(|| facts.clone());
        }
    }
    for file in included {
        let facts = objects.get(&request.layout.path(&file.name)).cloned();
        // An object file is data to everyone but a linker.
        let Some(facts) = facts.filter(|facts| !matches!(facts.object_type, ObjectType::Other(_))) else {
            continue;
        };
        // Links were followed to it; `$ORIGIN` is where it is.
        let source = disk::canonicalize(&file.source)?.into_string();
        let mut other = Other { name: file.name.clone(), facts, source, plan: BundlePlan::default() };
        if other.facts.arch() == Some(lambda.arch()) {
            let members = std::mem::take(&mut plan.members);
            let main = plan.program.clone();
            let (pinned, taken) = (plan.pinned(), plan.loaded_of_system());
            let known = Request { pinned: &pinned, taken: &taken, ..*request };
            other.plan = other.with_request(&known, &members, &main, |request| {
                plan::plan(request, lambda, build.world(request.process_libc()))
            });
            // Not one list for each: there may be a thousand of them.
            plan.members = std::mem::take(&mut other.plan.members);
            merge(&mut plan.shipped, std::mem::take(&mut other.plan.shipped), request.layout);
            plan.compat = plan.compat.take().or(other.plan.compat.take());
        }
        others.push(other);
    }
    plan.shipped.sort_by(|a, b| a.name.cmp(&b.name));
    if plan.members.len() > n_members {
        let members = std::mem::take(&mut plan.members);
        let shipped = plan.shipped.clone();
        let request = &Request { pinned: &shipped, ..*request };
        plan.walk_again(request, lambda, &members);
        for other in others.iter_mut().filter(|other| other.facts.arch() == Some(lambda.arch())) {
            let mut its = std::mem::take(&mut other.plan);
            let main = plan.program.clone();
            other.with_request(request, &[], &main, |request| its.walk_again(request, lambda, &members));
            other.plan = its;
        }
        plan.members = members;
    }
    for other in others.iter_mut().filter(|other| other.facts.linkage() == Linkage::SharedLibrary) {
        // Who opens a plugin brings the symbols that it leaves open.
        for walked in &mut other.plan.walks {
            walked.undefined.clear();
        }
    }
    Ok(others)
}

/// Adds what another program ships. Two programs with the bundle's C library both ship its parts: one file, planned
/// twice, is shipped once. Two files for one name stay, for [`check_names`] to refuse.
fn merge(shipped: &mut Vec<Shipped>, more: Vec<Shipped>, layout: &Layout) {
    let places = shipped.iter().enumerate().map(|(at, library)| (library.entry_name(layout), at));
    let places: BTreeMap<String, usize> = places.collect();
    for library in more {
        // What a link leads to is edited as the link's file would be: edits follow from the file and its place.
        let is_same = |known: &&mut Shipped| {
            let is_link = known.link_to.is_some() || library.link_to.is_some();
            known.source == library.source && (is_link || known.edits == library.edits)
        };
        let known = places.get(&library.entry_name(layout)).map(|at| &mut shipped[*at]);
        match known.filter(is_same) {
            Some(known) => known.is_interpreter |= library.is_interpreter,
            None => shipped.push(library),
        }
    }
}

impl Other {
    /// Its name in the archive.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is rebound in it and for it.
    pub(super) fn rebound(&self) -> &[ReboundFile] {
        &self.plan.rebound
    }

    /// What is edited in it, by its name in the archive.
    pub(super) fn edits(&self) -> Option<(&str, &Edits)> {
        Some((&self.name, self.plan.program_edits.as_ref()?))
    }

    /// Acts on the request for this file, which goes by the same choices as that for the program.
    fn with_request<T>(
        &self,
        of: &Request,
        members: &[Member],
        main: &ElfFacts,
        act: impl FnOnce(&Request) -> T,
    ) -> T {
        let program = OpenFile {
            id: (u64::MAX, 2),
            source: self.source.clone(),
            object: Object::Elf(self.facts.clone()),
        };
        let is_library = self.facts.linkage() == Linkage::SharedLibrary;
        let none = BTreeSet::new();
        act(&Request {
            program: &program,
            facts: &self.facts,
            path: &world_name(Utf8Path::new(&self.source)),
            extra: &[],
            layout: &Layout { program: self.name.clone(), ..of.layout.clone() },
            members,
            taken: if is_library { of.taken } else { &none },
            opened_by: is_library.then_some(main),
            ..*of
        })
    }

    fn subject<'a>(
        &'a self,
        lambda: &'a LambdaWorld,
        (members, attached): (&'a [Member], &'a BTreeSet<String>),
    ) -> Subject<'a> {
        Subject {
            name: &self.name,
            program: &self.facts,
            lambda,
            owner: Owner::Binary,
            members,
            attached,
            build: &self.plan.build,
        }
    }
}

/// Adds what is found of the included programs and libraries, and the libraries they load.
pub(super) fn add(
    others: &[Other],
    lambda: &LambdaWorld,
    members: (&[Member], &BTreeSet<String>),
    findings: &mut Findings,
    libraries: &mut Vec<Library>,
) {
    for other in others {
        let subject = other.subject(lambda, members);
        findings.merge(audit::audit(&subject, &other.plan.walks));
        findings.merge(audit::rebound_findings(&other.name, lambda, &other.plan.rebound));
        report::add_libraries(libraries, report::libraries(&subject, &other.plan.walks));
    }
}

/// Holds the files of a bundle to one for each path.
///
/// # Errors
///
/// Two files for one path; names both.
pub(super) fn check_names(
    program: &Utf8Path,
    plan: &BundlePlan,
    layout: &Layout,
    included: &[Included],
) -> Result<()> {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let ours =
        plan.shipped.iter().map(|library| (library.entry_name(layout), format!("`{}`", library.source)));
    let bootstrap = (layout.program.clone(), format!("`{program}`"));
    let theirs = included
        .iter()
        .map(|file| (file.name.clone(), format!("`{}` (of `--include {}`)", file.source, file.by)));
    for (name, source) in [bootstrap].into_iter().chain(ours).chain(theirs) {
        if let Some(other) = sources.get(&name) {
            return Err(Error::new(format!(
                "two files would be `{name}` in the archive: {other} and {source}"
            ))
            .help("give one of them another place, or leave it out with `exclude`"));
        }
        sources.insert(name, source);
    }
    for (name, source) in &sources {
        let mut parents = name.match_indices('/').map(|(at, _)| &name[..at]);
        if let Some((parent, other)) = parents.find_map(|parent| sources.get_key_value(parent)) {
            return Err(Error::new(format!(
                "`{parent}` would be a file and a directory in the archive: {other} and {source}"
            ))
            .help("give one of them another place"));
        }
    }
    Ok(())
}
