//! The build world as the source of libraries: which file a need means, and how well it fits the runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::BuildFile;
use super::draft::{Candidate, Fit, Needing};
use super::rebind::{self, Around};
use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Libc, VersionNeed};
use crate::lambda::{Certainty, LambdaWorld};
use crate::loader::World;
use crate::loader::{self, Attempt, Closure, Loaded, Outcome, Rule, SkipReason};
use crate::paths;
use crate::paths::file_name;
use crate::patterns::Patterns;
use crate::plan::NotShipped;
use crate::world::{Object, OpenFile};

/// The build world as the source of libraries.
pub(super) struct BuildSearch<'a> {
    pub world: &'a World<'a>,
    pub lambda: &'a LambdaWorld,
    pub closure: Closure,
    /// The objects of the closure, then those that were chosen in place of one of them.
    pub objects: Vec<Loaded>,
    /// Whether files may be edited to use functions that the runtime's glibc has.
    pub may_rebind: bool,
    /// Whether no library of the system's is used: libraries need not fit it, and glibc's parts are shipped, too.
    pub is_private: bool,
    /// SONAMEs that our copies displace, or will displace: it does not matter what the system's copies lack.
    pub displaced: BTreeSet<String>,
}

impl BuildSearch<'_> {
    /// Chooses the file for an entry of `object`, an object of the Lambda world: a name, or a path if it can be
    /// rewritten.
    pub fn choose(
        &mut self,
        object: &Needing,
        entry: &str,
        exclude: &Patterns,
    ) -> Result<Candidate, NotShipped> {
        let name = file_name(entry);
        if exclude.matches(entry) || exclude.matches(name) {
            return Err(NotShipped::Excluded);
        }
        // The facts of a file write bytes that are not UTF-8 as `\xNN`.
        if name.contains('\\') {
            return Err(NotShipped::Name);
        }
        if entry.contains('/') && !object.may_rename {
            return Err(NotShipped::Path);
        }
        if is_glibc_part(name) && !self.is_private {
            return Err(NotShipped::GlibcPart);
        }
        let index = self.build_index(&object.facts);
        let mut files: Vec<OpenFile> = Vec::new();
        let need = self.closure.needs.iter().find(|need| need.by == index && need.entry() == entry);
        match need.map(|need| &need.outcome) {
            Some(Outcome::Loaded(loaded)) => files.push(self.closure.objects[*loaded].file.clone()),
            Some(Outcome::Fatal { path, reason }) => {
                return Err(NotShipped::Refused(path.clone(), reason.clone()));
            }
            Some(Outcome::Missing(attempts)) => return Err(not_found(attempts)),
            None => {}
        }
        let fits = |file: &&OpenFile, may_rebind: bool| {
            let is_met = |fit: Fit| fit <= Fit::Later && (may_rebind || fit != Fit::Rebound);
            file.object.elf().is_some_and(|elf| self.is_private || self.fits(elf).into_iter().all(is_met))
        };
        // A path means exactly one file.
        if files.is_empty() || !entry.contains('/') && !files.iter().any(|file| fits(&file, false)) {
            let more = loader::candidates(self.world, &self.objects, index, entry);
            files.extend(more.into_iter().map(|(_, file)| file));
        }
        let chosen = files
            .iter()
            .find(|file| fits(file, false))
            .or_else(|| files.iter().find(|file| fits(file, true)))
            .or(files.first())
            .cloned()
            .ok_or(NotShipped::NotFound)?;
        let Object::Elf(facts) = &chosen.object else {
            return Err(NotShipped::NotFound);
        };
        // A part of glibc under another name is still one: ld.so knows it by its SONAME.
        if facts.soname.as_deref().is_some_and(is_glibc_part) && !self.is_private {
            return Err(NotShipped::GlibcPart);
        }
        if !self.objects.iter().any(|known| known.file.id == chosen.id) {
            self.objects.push(Loaded {
                path: chosen.source.clone(),
                origin: paths::parent(&chosen.source).to_owned(),
                names: vec![name.to_owned()],
                file: chosen.clone(),
                rule: Rule::LdLibraryPath,
                loader: Some(index),
                opening: None,
                attempts: Vec::new(),
            });
        }
        Ok(Candidate { source: chosen.source.clone(), facts: facts.clone() })
    }

    /// The index of the build world's object with these facts.
    fn build_index(&self, wanted: &Arc<ElfFacts>) -> usize {
        self.objects
            .iter()
            .position(|known| match &known.file.object {
                Object::Elf(facts) => Arc::ptr_eq(facts, wanted),
                _ => false,
            })
            .unwrap_or(0)
    }

    /// How well a file fits the runtime. Needs of libraries that would be shipped with it are left to the walk.
    pub fn fit(&self, elf: &ElfFacts) -> Fit {
        self.fits(elf).into_iter().max().unwrap_or(Fit::Every)
    }

    /// How well each need of a file is met.
    fn fits(&self, elf: &ElfFacts) -> Vec<Fit> {
        let lambda = self.lambda;
        if (elf.has_relr && lambda.glibc_release() < (2, 36)) || elf.libc() == Libc::Musl {
            return vec![Fit::None];
        }
        let rebinding = rebind::rebind(elf, &Around::empty(lambda, self.may_rebind));
        let is_rebound = |need: &VersionNeed| {
            rebinding.unbind.iter().any(|node| node.file == need.file && node.node == need.node)
        };
        let fit_of = |need: &VersionNeed| {
            let is_listed = !matches!(lambda.certainty(&need.file), Certainty::Absent | Certainty::Unknown);
            let is_ours = !is_listed || self.displaced.contains(&need.file);
            if need.weak || is_ours {
                return Fit::Every;
            }
            match lambda.baseline.object(&need.file).map(|object| object.node(&need.node)) {
                Some(NodeAnswer::Absent) if is_rebound(need) => Fit::Rebound,
                Some(NodeAnswer::Absent) => Fit::None,
                Some(NodeAnswer::Later(_)) => Fit::Later,
                _ => Fit::Every,
            }
        };
        elf.verneed.iter().map(fit_of).collect()
    }

    /// The file that each needed name led to.
    pub fn build_files(&self) -> BTreeMap<String, BuildFile> {
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

/// Why a search found nothing.
fn not_found(attempts: &[Attempt]) -> NotShipped {
    let of_other_machine = attempts.iter().find_map(|attempt| match &attempt.why {
        SkipReason::WrongMachine(machine) => Some((attempt.path.clone(), machine.clone())),
        _ => None,
    });
    of_other_machine
        .map_or(NotShipped::NotFound, |(path, machine)| NotShipped::OtherMachine { path, machine })
}
