//! The fixed point: what must be in the bundle so that the program starts on Lambda.
//!
//! Start with the program alone, walk the Lambda world, ship what is missing there, walk again, until
//! nothing more is missing that the build world has. Drop what is no longer reached. The last walk is the
//! proof; [`crate::audit`] reads it, as it reads the walks of anybody's ZIP.
//!
//! What the build world's loader opens for a need is what that need meant. If that file does not fit the
//! runtime (a version that is too new), the next file in its search order that fits is taken instead. If
//! none fits the first one is planned, and the audit says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::audit::NotShipped;
use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Libc};
use crate::lambda::{Certainty, LambdaWorld, Member, MemberContent, TASK_ROOT, Walked};
use crate::loader::{self, Attempt, Closure, Loaded, Need, Outcome, Passed, Rule};
use crate::patterns::Patterns;
use crate::world::{Object, OpenFile, World};

/// What to plan for.
pub struct Request<'a> {
    /// The program, as the build world opens it.
    pub program: &'a OpenFile,
    /// Its facts.
    pub facts: &'a Arc<ElfFacts>,
    /// Its absolute path in the build world, links resolved.
    pub path: &'a str,
    /// Names it opens at run time, beside DT_NEEDED.
    pub extra: &'a [String],
    /// SONAMEs that are never shipped.
    pub exclude: &'a Patterns,
}

/// One library of the bundle.
#[derive(Debug, Clone)]
pub struct Shipped {
    /// The name that was needed: the file name in `lib/`.
    pub name: String,
    /// The build world's file, links resolved.
    pub source: String,
    /// Its facts.
    pub facts: Arc<ElfFacts>,
    /// Another shipped name that has the same file: this one becomes a link to it.
    pub link_to: Option<String>,
}

/// What to write, and the walks that prove it.
#[derive(Default)]
pub struct BundlePlan {
    /// The libraries, sorted by name.
    pub shipped: Vec<Shipped>,
    /// The bundle's files as the Lambda world sees them.
    pub members: Vec<Member>,
    /// The last walks.
    pub walks: Vec<Walked>,
    /// What the build world's loader would open for each needed name.
    pub build_files: BTreeMap<String, BuildFile>,
    /// Why a missing name is not shipped.
    pub not_shipped: BTreeMap<String, NotShipped>,
    /// What the build world's loader does.
    pub build: Closure,
}

/// A library of the build world.
#[derive(Debug, Clone)]
pub struct BuildFile {
    /// Where it is, links resolved.
    pub path: String,
    /// Its facts.
    pub facts: Arc<ElfFacts>,
}

/// Where a shipped library stands on Lambda.
pub fn library_path(name: &str) -> String {
    format!("{TASK_ROOT}/lib/{name}")
}

/// Plans the bundle of one program.
pub fn plan(request: &Request, lambda: &LambdaWorld, build: &World) -> BundlePlan {
    let origin = crate::world::parent(request.path);
    let build_closure = loader::walk(build, request.path, origin, request.program.clone(), request.extra);
    let mut search =
        BuildSearch { world: build, lambda, objects: build_closure.objects.clone(), closure: build_closure };
    let mut shipped: BTreeMap<String, Shipped> = BTreeMap::new();
    let mut not_shipped: BTreeMap<String, NotShipped> = BTreeMap::new();
    let program_path = format!("{TASK_ROOT}/bootstrap");
    loop {
        let members = members(&shipped);
        let walks = lambda.walks(&program_path, request.facts, request.extra, &members);
        let before = shipped.len();
        for walked in &walks {
            for need in &walked.closure.needs {
                let missing = matches!(need.outcome, Outcome::Missing(_));
                if !missing || shipped.contains_key(&need.name) || not_shipped.contains_key(&need.name) {
                    continue;
                }
                let by = &walked.closure.objects[need.by];
                match search.choose(by, &need.name, request.exclude) {
                    Ok(file) => {
                        let Some(facts) = file.facts else { continue };
                        let same = shipped.values().find(|known| known.source == file.source);
                        let link_to = same.map(|known| known.link_to.clone().unwrap_or(known.name.clone()));
                        let library =
                            Shipped { name: need.name.clone(), source: file.source, facts, link_to };
                        shipped.insert(need.name.clone(), library);
                    }
                    Err(reason) => {
                        not_shipped.insert(need.name.clone(), reason);
                    }
                }
            }
        }
        if shipped.len() == before {
            break;
        }
    }
    // Nobody needs what is not reached: dropping it cannot make anything missing.
    let reached =
        reached(&lambda.walks(&program_path, request.facts, request.extra, &members(&shipped)), &shipped);
    shipped.retain(|name, _| reached.contains(name));
    let members = members(&shipped);
    let mut walks = lambda.walks(&program_path, request.facts, request.extra, &members);
    let build_files = search.build_files();
    let build = build_files.iter().map(|(name, file)| (name.clone(), file.facts.clone())).collect();
    lambda.check_symbols(&mut walks, request.facts.libc(), &build);
    let shipped = shipped.into_values().collect();
    BundlePlan { shipped, members, walks, build_files, not_shipped, build: search.closure }
}

/// The bundle's libraries as the Lambda world sees them.
fn members(shipped: &BTreeMap<String, Shipped>) -> Vec<Member> {
    shipped
        .values()
        .map(|library| Member {
            path: library_path(&library.name),
            content: match &library.link_to {
                Some(target) => MemberContent::Link(target.clone()),
                None => MemberContent::Object(library.facts.clone()),
            },
        })
        .collect()
}

/// The shipped names that any walk loads or asks for, with the files that links among them lead to.
fn reached(walks: &[Walked], shipped: &BTreeMap<String, Shipped>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for object in walks.iter().flat_map(|walked| &walked.closure.objects) {
        for library in shipped.values().filter(|library| object.names.contains(&library.name)) {
            reached.insert(library.name.clone());
            reached.extend(library.link_to.clone());
        }
    }
    // In the bundle and yet not loaded: a library path of the user's own, or a file that Lambda's loader
    // refuses. It stays, and the audit says so.
    let failed = |need: &&Need| !matches!(need.outcome, Outcome::Loaded(_));
    for need in walks.iter().flat_map(|walked| walked.closure.needs.iter().filter(failed)) {
        reached.extend(shipped.get(&need.name).map(|library| library.name.clone()));
    }
    reached
}

struct Candidate {
    source: String,
    facts: Option<Arc<ElfFacts>>,
}

/// The build world as the source of libraries.
struct BuildSearch<'a> {
    world: &'a World<'a>,
    lambda: &'a LambdaWorld,
    closure: Closure,
    /// The closure's objects, then those that were chosen in place of one of them.
    objects: Vec<Loaded>,
}

impl BuildSearch<'_> {
    /// The file for a name that `by`, an object of the Lambda world, needs.
    fn choose(&mut self, by: &Loaded, name: &str, exclude: &Patterns) -> Result<Candidate, NotShipped> {
        if exclude.matches(name) {
            return Err(NotShipped::Excluded);
        }
        if name.contains('/') {
            return Err(NotShipped::Path);
        }
        if is_glibc_part(name) {
            return Err(NotShipped::GlibcPart);
        }
        let by = self.build_index(by);
        let mut files: Vec<OpenFile> = Vec::new();
        let need = self.closure.needs.iter().find(|need| need.by == by && need.name == name);
        match need.map(|need| &need.outcome) {
            Some(Outcome::Loaded(index)) => files.push(self.closure.objects[*index].file.clone()),
            Some(Outcome::Fatal { path, reason }) => {
                return Err(NotShipped::Refused(path.clone(), reason.clone()));
            }
            Some(Outcome::Missing(attempts)) => return Err(NotShipped::NotFound(tried(attempts))),
            None => {}
        }
        files.extend(
            loader::candidates(self.world, &self.objects, by, name).into_iter().map(|(_, file)| file),
        );
        let chosen = files
            .iter()
            .find(|file| file.object.elf().is_some_and(|elf| fits(elf, self.lambda)))
            .or(files.first())
            .cloned()
            .ok_or_else(|| NotShipped::NotFound(Vec::new()))?;
        let Object::Elf(facts) = &chosen.object else {
            return Err(NotShipped::NotFound(Vec::new()));
        };
        if !self.objects.iter().any(|object| object.file.id == chosen.id) {
            self.objects.push(Loaded {
                path: chosen.source.clone(),
                origin: crate::world::parent(&chosen.source).to_owned(),
                names: vec![name.to_owned()],
                file: chosen.clone(),
                rule: Rule::LdLibraryPath,
                loader: Some(by),
                attempts: Vec::new(),
            });
        }
        Ok(Candidate { source: chosen.source.clone(), facts: Some(facts.clone()) })
    }

    /// The build world's object for an object of the Lambda world: the one with the same facts.
    fn build_index(&self, object: &Loaded) -> usize {
        let Object::Elf(wanted) = &object.file.object else { return 0 };
        self.objects
            .iter()
            .position(|known| match &known.file.object {
                Object::Elf(facts) => Arc::ptr_eq(facts, wanted),
                _ => false,
            })
            .unwrap_or(0)
    }

    /// What each needed name led to.
    fn build_files(&self) -> BTreeMap<String, BuildFile> {
        let mut files = BTreeMap::new();
        for need in &self.closure.needs {
            let Outcome::Loaded(index) = need.outcome else { continue };
            let file = &self.closure.objects[index].file;
            if let Object::Elf(facts) = &file.object {
                let found = BuildFile { path: file.source.clone(), facts: facts.clone() };
                files.entry(need.name.clone()).or_insert(found);
            }
        }
        files
    }
}

fn tried(attempts: &[Attempt]) -> Vec<String> {
    attempts
        .iter()
        .map(|attempt| match &attempt.why {
            Passed::Absent => attempt.path.clone(),
            why => format!("{} ({})", attempt.path, why.describe()),
        })
        .collect()
}

/// Whether a library's own version needs are met by the runtime's objects.
///
/// Needs of libraries that would be shipped with it are left to the walk.
fn fits(elf: &ElfFacts, lambda: &LambdaWorld) -> bool {
    if elf.has_relr || elf.libc() == Libc::Musl {
        return false;
    }
    elf.verneed.iter().all(|need| {
        if need.weak || lambda.certainty(&need.file) == Certainty::Absent {
            return true;
        }
        let Some(object) = lambda.baseline.object(&need.file) else { return true };
        !matches!(object.node(&need.node), NodeAnswer::Absent)
    })
}
