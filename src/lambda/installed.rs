//! The files of a bundle where Lambda unpacks them, and the walks of programs among them.
//!
//! The file systems of the Lambda world are made once and grow with the bundle: an archive may have thousands of
//! programs, and each is walked among all the files.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::{LambdaWorld, Member, Processor, TASK_ROOT, Walked, add_members, asks_processor, has_platform};
use super::{OTHER_PROCESSORS, PROCESSOR_DIRS, assumed};
use crate::elf::{Arch, ElfFacts, Libc};
use crate::loader::{self, World};
use crate::paths;
use crate::paths::file_name;
use crate::world::{MemoryFiles, Object, OpenFile};

/// The files of a bundle, and of attached layers, in a Lambda world.
#[derive(Clone)]
pub struct Installed<'a> {
    lambda: &'a LambdaWorld,
    members: Vec<Member>,
    /// The last member with each path.
    by_path: BTreeMap<String, usize>,
    /// The names of the files, without directories.
    names: BTreeSet<String>,
    /// The members with the names of libraries that the runtime may have.
    namesakes: Vec<usize>,
    /// Whether a processor may load other files than the next one does.
    asks_processor: bool,
    /// The file systems without and with the doubtful libraries.
    systems: [OnceCell<Rc<MemoryFiles>>; 2],
}

impl<'a> Installed<'a> {
    /// The files of a bundle in a Lambda world.
    pub fn new(lambda: &'a LambdaWorld, members: Vec<Member>) -> Installed<'a> {
        let mut installed = Installed {
            lambda,
            members: Vec::new(),
            by_path: BTreeMap::new(),
            names: BTreeSet::new(),
            namesakes: Vec::new(),
            asks_processor: false,
            systems: Default::default(),
        };
        installed.add(members);
        installed
    }

    /// Adds files; a file takes the place of an earlier one with its path.
    pub fn add(&mut self, members: Vec<Member>) {
        for system in self.systems.iter_mut().filter_map(OnceCell::get_mut) {
            let files = Rc::make_mut(system);
            add_assumed(self.lambda, needed(&members), files);
            add_members(&members, files);
        }
        self.asks_processor |= members.iter().any(differs_by_processor);
        for member in members {
            let (at, name) = (self.members.len(), file_name(&member.path));
            if self.lambda.baseline.object(name).is_some() {
                self.namesakes.push(at);
            }
            self.names.insert(name.to_owned());
            self.by_path.insert(member.path.clone(), at);
            self.members.push(member);
        }
    }

    /// The world they are in.
    pub fn lambda(&self) -> &'a LambdaWorld {
        self.lambda
    }

    /// All files, in the order in which they were added.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// All files, in the order in which they were added.
    pub fn into_members(self) -> Vec<Member> {
        self.members
    }

    /// The file with this path; links are not followed.
    pub fn at(&self, path: &str) -> Option<&Member> {
        self.by_path.get(path).map(|at| &self.members[*at])
    }

    /// Whether a file in any directory has this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The files with the names of libraries that the runtime may have.
    pub fn namesakes(&self) -> impl Iterator<Item = &Member> {
        self.namesakes.iter().map(|at| &self.members[*at])
    }

    /// Walks a program at `path` in every variant, among these files and `more`.
    /// [`LambdaWorld::check_symbols`] checks the symbols, once the walks are final.
    pub fn walks(
        &self,
        path: &str,
        program: &Arc<ElfFacts>,
        extra: &[String],
        more: &[Member],
    ) -> Vec<Walked> {
        let lambda = self.lambda;
        let own_glibc = self.own_glibc(program, more);
        let mut walked = Vec::new();
        let mut files: Option<(bool, MemoryFiles)> = None;
        for variant in lambda.variants(&self.processors(program, extra, more)) {
            let stale = files.as_ref().is_none_or(|(present, _)| *present != variant.doubtful_present);
            if stale {
                let mut fresh = MemoryFiles::above(self.system(variant.doubtful_present).clone());
                let names = needed(more).chain(&program.needed).chain(extra);
                add_assumed(lambda, names, &mut fresh);
                add_members(more, &mut fresh);
                files = Some((variant.doubtful_present, fresh));
            }
            let Some((_, files)) = &files else { unreachable!("made above") };
            let rules = lambda.rules(program.process_libc(), own_glibc, variant.processor);
            let world = World {
                files,
                rules: rules.clone(),
                library_path: Some(variant.library_path.clone()),
                working_directory: TASK_ROOT.to_owned(),
            };
            let root = OpenFile { id: (1, 0), source: path.to_owned(), object: Object::Elf(program.clone()) };
            let closure = loader::walk(&world, path, paths::parent(path), root, extra);
            let checks = loader::check_versions(&closure, &rules);
            walked.push(Walked { variant, rules, closure, checks, undefined: Vec::new() });
        }
        walked
    }

    /// The file system with all members.
    fn system(&self, doubtful_present: bool) -> &Rc<MemoryFiles> {
        self.systems[usize::from(doubtful_present)].get_or_init(|| {
            let mut files = self.lambda.files(doubtful_present);
            add_assumed(self.lambda, needed(&self.members), &mut files);
            add_members(&self.members, &mut files);
            Rc::new(files)
        })
    }

    /// The processors on which the loader may load different files of a bundle.
    fn processors(&self, program: &ElfFacts, extra: &[String], more: &[Member]) -> Vec<Processor> {
        let lambda = self.lambda;
        let mut processors = vec![lambda.processor()];
        let mut texts = lambda.library_paths.iter().chain(&lambda.preload).chain(extra);
        let is_glibc = lambda.arch() == Arch::X86_64 && program.process_libc() != Libc::Musl;
        if is_glibc
            && (self.asks_processor
                || asks_processor(program)
                || texts.any(|text| has_platform(text))
                || more.iter().any(differs_by_processor))
        {
            processors.extend(OTHER_PROCESSORS);
        }
        processors
    }

    /// The release of the glibc beside the program's interpreter, if the bundle has both.
    fn own_glibc(&self, program: &ElfFacts, more: &[Member]) -> Option<(u32, u32)> {
        let object = |path: &str| {
            let member = more.iter().rfind(|member| member.path == path).or_else(|| self.at(path));
            member.and_then(Member::object)
        };
        let interpreter = program.interpreter.as_deref()?;
        object(interpreter)?;
        object(&format!("{}/libc.so.6", paths::parent(interpreter)))?.glibc_release()
    }
}

/// The names that files need.
fn needed(members: &[Member]) -> impl Iterator<Item = &String> {
    members.iter().filter_map(Member::object).flat_map(|facts| &facts.needed)
}

/// Adds the libraries among `names` that only the user's word puts on Lambda.
fn add_assumed<'n>(lambda: &LambdaWorld, names: impl Iterator<Item = &'n String>, files: &mut MemoryFiles) {
    for soname in names {
        if lambda.assume_present.matches(soname) && lambda.baseline.object(soname).is_none() {
            files.add(&format!("/usr/lib64/{soname}"), Object::System(Arc::new(assumed(soname))));
        }
    }
}

/// Whether the file, or its place, means something else on another processor.
fn differs_by_processor(member: &Member) -> bool {
    member.object().is_some_and(|facts| asks_processor(facts))
        || member.path.split('/').any(|part| PROCESSOR_DIRS.contains(&part))
}
