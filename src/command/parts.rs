//! The programs of one archive, each with the settings of its package.

use std::collections::{BTreeMap, BTreeSet};

use super::job::{Answer, ProgramJob};
use super::programs::{Program, ProgramInput};
use crate::audit::Subject;
use crate::error::{Error, Result};
use crate::lambda::{LambdaWorld, Walked};
use crate::layout::Layout;
use crate::plan::{BuildSide, Planned, PlannedInclude, ReboundFile, Shipped};
use crate::settings::{PackageSettings, Packages, Settings};

/// Settings of which an archive has one: the environment it is for, and how it is written.
const OF_ARCHIVE: [&str; 10] = [
    "kind",
    "runtime",
    "baseline",
    "env",
    "assume-present",
    "libc",
    "libraries-only",
    "attached-layer",
    "dir",
    "compression",
];

/// Checks that two programs agree on what their archive has once.
///
/// # Errors
///
/// If they do not.
pub(super) fn check_together(first: &ProgramInput, other: &ProgramInput, packages: &Packages) -> Result<()> {
    let differing = match (first.facts.arch(), other.facts.arch()) {
        (Some(one), Some(other)) if one != other => Some("the architecture"),
        _ => None,
    };
    let own = |input: &ProgramInput| package_of(packages, &input.program);
    let settings = own(first).and_then(|first| differing_setting(first, own(other)?));
    let Some(what) = differing.map(str::to_owned).or(settings) else { return Ok(()) };
    let (one, other) = (&first.program.name, &other.program.name);
    let path = first.output.as_ref().map_or("", |path| path.as_str());
    Err(Error::usage(format!(
        "`{one}` and `{other}` would both be written to `{path}`, but they do not agree on {what}, which an archive \
         has once"
    ))
    .help("write them to archives of their own: `-o DIR/{bin}.zip`"))
}

fn package_of<'a>(packages: &'a Packages, program: &Program) -> Option<&'a PackageSettings> {
    let built = program.cargo.as_ref()?;
    packages.iter().find(|package| package.directory == built.manifest_dir)
}

fn differing_setting(one: &PackageSettings, other: &PackageSettings) -> Option<String> {
    let pairs = one.values.iter().zip(&other.values);
    let mut pairs = pairs.filter(|(setting, _)| OF_ARCHIVE.contains(&setting.row.name.as_str()));
    pairs.find(|(one, other)| one.values != other.values).map(|(one, _)| format!("`{}`", one.row.name))
}

/// One program of an archive, with what its steps need.
pub(super) struct ArchiveProgram<'a> {
    pub job: ProgramJob<'a>,
    pub input: &'a ProgramInput<'a>,
    /// Its number; 0 is the first program.
    pub at: usize,
    /// Its name in the archive.
    pub entry_name: String,
}

/// What the plan of an archive has for one of its programs.
pub(super) struct OwnPlan<'a> {
    pub build: &'a BuildSide,
    pub walks: &'a [Walked],
    /// The files that are included for it.
    pub included: Vec<&'a PlannedInclude>,
    /// The rebound references, each with the name of the program or included file that it is for.
    pub rebound: Vec<(&'a str, &'a [ReboundFile])>,
}

impl ProgramJob<'_> {
    /// Returns the programs of an archive, the first first.
    pub fn parts<'p>(&'p self, input: &'p ProgramInput<'p>) -> Vec<ArchiveProgram<'p>> {
        let part = |settings: &'p Settings, input: &'p ProgramInput<'p>, at, layout: Layout| ArchiveProgram {
            entry_name: layout.program.clone(),
            job: ProgramJob {
                bundle: &settings.bundle,
                settings,
                baselines: self.baselines,
                context: self.context,
                ui: self.ui,
                layout,
                attached: self.attached,
                files: self.files,
                objects: self.objects,
                threads: self.threads,
                is_one_of_several: self.is_one_of_several,
            },
            input,
            at,
        };
        let first = part(self.settings, input, 0, self.layout.clone());
        let others = input.others.iter().enumerate().map(|(at, other)| {
            let layout = Layout { program: other.entry_name.clone(), ..self.layout.clone() };
            part(other.settings, &other.input, at + 1, layout)
        });
        [first].into_iter().chain(others).collect()
    }
}

impl ArchiveProgram<'_> {
    /// The name of the program.
    pub fn name(&self) -> &str {
        &self.input.program.name
    }

    /// Returns what the plan has for the program. `first` is the input of the archive.
    pub fn plan<'p>(&'p self, first: &ProgramInput, planned: &'p Planned) -> OwnPlan<'p> {
        let is_own = |name: &str| first.owner_of(name) == self.at;
        let itself = planned.included.iter().find(|it| self.at > 0 && it.name() == self.entry_name);
        let (build, walks) = match itself {
            Some(itself) => (itself.build(), itself.walks()),
            None => (&planned.plan.build, &*planned.plan.walks),
        };
        let mut rebound = vec![match itself {
            Some(itself) => (self.name(), itself.rebound()),
            None => (self.name(), &*planned.plan.rebound),
        }];
        let is_itself = |name: &str| self.at > 0 && name == self.entry_name;
        let included: Vec<&PlannedInclude> =
            planned.included.iter().filter(|it| is_own(it.name()) && !is_itself(it.name())).collect();
        rebound.extend(included.iter().map(|it| (it.name(), it.rebound())));
        OwnPlan { build, walks, included, rebound }
    }

    /// Returns the program as the subject of the audit.
    pub fn subject<'s>(
        &'s self,
        lambda: &'s LambdaWorld,
        planned: &'s Planned,
        own: &OwnPlan<'s>,
    ) -> Subject<'s> {
        Subject {
            name: &self.input.program.name,
            program: &self.input.facts,
            lambda,
            owner: self.input.program.owner(),
            members: &planned.plan.members,
            attached: &self.job.attached.paths,
            build: own.build,
        }
    }
}

/// Concludes the answers for all programs of an archive. Returns whether one of them makes the run fail.
pub(super) fn conclude_all(parts: &[ArchiveProgram], answers: &mut [Answer]) -> bool {
    for (part, answer) in parts.iter().zip(answers.iter_mut()) {
        answer.conclude(&part.job.settings.output);
    }
    answers.iter().any(Answer::fails)
}

/// The programs that load each library of an archive.
pub(super) struct LibraryUsers<'p> {
    parts: &'p [ArchiveProgram<'p>],
    /// The indices of the programs, by the path of the library on Lambda.
    by_path: BTreeMap<String, BTreeSet<usize>>,
}

impl<'p> LibraryUsers<'p> {
    /// `first` is the input of the archive.
    pub fn new(parts: &'p [ArchiveProgram<'p>], first: &ProgramInput, planned: &Planned) -> Self {
        let mut by_path: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (at, part) in parts.iter().enumerate().filter(|_| parts.len() > 1) {
            let own = part.plan(first, planned);
            let included = own.included.iter().flat_map(|included| included.walks());
            for object in own.walks.iter().chain(included).flat_map(|walked| &walked.closure.objects) {
                by_path.entry(object.absolute_path()).or_default().insert(at);
            }
        }
        LibraryUsers { parts, by_path }
    }

    /// Returns the program whose settings count for a library: debug information stays if one of those that load it
    /// keeps theirs.
    pub fn of(&self, library: &Shipped) -> &'p ArchiveProgram<'p> {
        let layout = &self.parts[0].job.layout;
        let users = self.by_path.get(&layout.path(&library.entry_name(layout)));
        let mut users = users.into_iter().flatten().map(|at| &self.parts[*at]).peekable();
        let first = users.peek().copied().unwrap_or(&self.parts[0]);
        users.find(|part| !part.job.bundle.strip).unwrap_or(first)
    }
}
