//! Which system copies ours may displace.
//!
//! LD_LIBRARY_PATH begins with the system's directories, so a copy in `lib/` never displaces a library there;
//! DT_RPATH comes before it. The system's own libraries load into the same process and were built against the
//! system's copy. So our copy may take its place only if it offers every version node that the baseline lists for it
//! (those of later images, too); where there are no nodes, only if its file version is not older; and the libraries
//! of one package are pinned together or not at all. If no other library of the system's that could use it is loaded
//! beside glibc's parts, nothing can break, and our copy may always be pinned.
//!
//! A pin changes what is loaded, so the rules are checked again on every walk ([`Pinning::step`]): our copy must have
//! won, libraries of its package that are now loaded must be pinned with it, and no library that is now loaded may
//! break. A pin that fails is given up, and the plan begins again without it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::{Draft, Fit, Laid, Needing, Pin};
use super::harm::{Conflicts, hurts, may_use, others};
use super::search::BuildSearch;
use super::shipping::needing;
use super::{Asked, Conflict, Place, Request, Shipped, WhyNot, displaced, edits};
use crate::baseline::{SystemObject, is_glibc_part};
use crate::lambda::Walked;
use crate::loader::{Closure, VersionAnswer, VersionCheck};
use crate::paths::file_name;
use crate::world::Object;

/// One pass over the walks, which adds pins.
pub(super) struct Pinning<'a, 'b> {
    pub request: &'a Request<'a>,
    pub search: &'a mut BuildSearch<'b>,
    pub draft: &'a mut Draft,
    pub laid: &'a Laid,
    pub given_up: &'a Conflicts,
}

impl Pinning<'_, '_> {
    /// Checks the pins against the rules, then pins libraries that do not fit. Returns whether the walks must be
    /// repeated.
    ///
    /// # Errors
    ///
    /// If pins break a rule: these pins.
    pub fn step(&mut self, walks: &[Walked]) -> Result<bool, Conflicts> {
        if self.may_pin() {
            self.adopt(walks);
            self.losers(walks)?;
            if self.companions(walks)? {
                return Ok(true);
            }
        }
        Ok(self.new_pins(walks))
    }

    /// Whether the program can be edited to look for pinned libraries first, or already does.
    fn may_pin(&self) -> bool {
        self.request.may_edit || edits::looks_there_first(self.request)
    }

    /// Adopts the pins of another program to which this program's DT_RPATH leads.
    fn adopt(&mut self, walks: &[Walked]) {
        let Some(root) = self.draft.pins.values().next().map(|pin| pin.root.clone()) else { return };
        let directory = self.request.layout.pinned_path();
        for object in walks.iter().flat_map(|walked| &walked.closure.objects) {
            let path = object.absolute_path();
            let name = path.strip_prefix(&directory).and_then(|rest| rest.strip_prefix('/'));
            let given = self.request.pinned.iter().find(|library| name == Some(&library.name));
            let Some(library) = given.filter(|library| !self.draft.pins.contains_key(&library.name)) else {
                continue;
            };
            let Some(system) = self.search.lambda.baseline.object(&library.name).cloned() else { continue };
            self.search.displaced.insert(library.name.clone());
            let (library, root) = (library.clone(), root.clone());
            let pin = Pin { library, root, system, worst: Fit::Later, is_given: true };
            self.draft.pins.insert(pin.library.name.clone(), pin);
        }
    }

    /// Gives up pins whose system copy is loaded anyway.
    fn losers(&self, walks: &[Walked]) -> Result<(), Conflicts> {
        for closure in walks.iter().map(|walked| &walked.closure) {
            for (index, system) in others(closure) {
                let Some(pin) = self.draft.pins.get(&system.soname) else { continue };
                let index = closure.first_need(index).map_or(0, |need| need.by);
                let name = match index {
                    0 => file_name(self.request.path),
                    index => file_name(&closure.objects[index].path),
                };
                let (ours, soname) = (Some(pin.library.source.clone()), system.soname.clone());
                let why = WhyNot::Loses(name.to_owned());
                return Err(
                    self.give_up([pin.root.as_str()], Conflict { ours, soname, why, asked: Asked::Need })
                );
            }
        }
        Ok(())
    }

    /// Pins what a pin requires: libraries of the same package, and system libraries that a pinned copy would break.
    fn companions(&mut self, walks: &[Walked]) -> Result<bool, Conflicts> {
        let mut grew = false;
        for walked in walks {
            let closure = &walked.closure;
            for (index, system) in others(closure) {
                if self.draft.pins.contains_key(&system.soname) {
                    continue;
                }
                if let Some(root) = self.root_of_package(system) {
                    let worst = self
                        .draft
                        .pins
                        .values()
                        .find(|pin| pin.root == root)
                        .map_or(Fit::Later, |pin| pin.worst);
                    let pin = self.pin_for(closure, index, system, worst);
                    let pin = pin.map_err(|conflict| self.give_up([root.as_str()], conflict))?;
                    self.insert(Pin { root, ..pin });
                    grew = true;
                    continue;
                }
                if self.hurting(system).is_empty() {
                    continue;
                }
                let needing =
                    self.draft.pins.values().find(|pin| pin.library.facts.needed.contains(&system.soname));
                let needing = needing.map(|pin| (pin.root.clone(), pin.worst));
                let pin = needing.map(|(root, worst)| (root, self.pin_for(closure, index, system, worst)));
                let Some((root, Ok(pin))) = pin else {
                    return Err(self.blame(closure, index, system));
                };
                self.insert(Pin { root, ..pin });
                grew = true;
            }
        }
        Ok(grew || self.companions_of_takers(walks))
    }

    /// Pins each library that has taken a SONAME of the runtime's under another name, and the libraries of its
    /// package.
    ///
    /// A listed library of the baseline, or one of ours, may load the system's copy first: only a pin answers those
    /// needs, too.
    fn companions_of_takers(&mut self, walks: &[Walked]) -> bool {
        let mut grew = false;
        for walked in walks {
            let closure = &walked.closure;
            for taken in displaced::taken(self.request, self.search.lambda, walked, &self.laid.libraries) {
                let is_settled = |pinning: &Self, soname: &String| {
                    pinning.draft.pins.contains_key(soname) || pinning.given_up.contains_key(soname)
                };
                let (system, soname) = (taken.system, &taken.system.soname);
                if taken.is_ours
                    && !is_settled(self, soname)
                    && others(closure).any(|(_, user)| user.soname == *soname || may_use(user, soname))
                {
                    let library =
                        Shipped { name: soname.clone(), place: Place::Pinned, link_to: None, ..taken.by };
                    let (root, system) = (soname.clone(), system.clone());
                    self.insert(Pin { library, root, system, worst: Fit::Later, is_given: false });
                    grew = true;
                }
                for (index, other) in others(closure) {
                    let is_mate = system.package.is_some() && other.package == system.package;
                    if is_mate
                        && !is_settled(self, &other.soname)
                        && let Ok(pin) = self.pin_for(closure, index, other, Fit::Later)
                    {
                        self.insert(pin);
                        grew = true;
                    }
                }
            }
        }
        grew
    }

    /// Pins libraries that do not fit and those that the user wishes, by whole packages; records the conflicts.
    fn new_pins(&mut self, walks: &[Walked]) -> bool {
        let mut grew = false;
        for walked in walks {
            let misfits = walked.checks.iter().filter_map(|check| misfit(&walked.closure, check));
            let wished =
                others(&walked.closure).filter(|(_, system)| self.request.pin.matches(&system.soname));
            let wished = wished.map(|(index, system)| (index, system, Fit::Every));
            let wanted: Vec<(usize, &Arc<SystemObject>, Fit)> = misfits.chain(wished).collect();
            for (index, system, worst) in wanted {
                let soname = &system.soname;
                // A copy that is asked for may be one whose references are rebound.
                let is_wished = self.request.pin.matches(soname);
                let worst = if is_wished { worst.max(Fit::Rebound) } else { worst };
                let is_settled = self.draft.pins.contains_key(soname)
                    || self.draft.refused.contains_key(soname)
                    || self.given_up.contains_key(soname);
                // If files may not be edited, a missing version is reported anyway; only a wish needs an answer.
                let is_asked = self.may_pin() || is_wished;
                if is_settled || is_glibc_part(soname) || !is_asked {
                    continue;
                }
                match self.unit(&walked.closure, index, system, worst) {
                    Ok(pins) => {
                        pins.into_iter().for_each(|pin| self.insert(Pin { root: soname.clone(), ..pin }));
                        grew = true;
                    }
                    Err(conflict) => {
                        let asked = self.asked(soname);
                        self.draft.refused.insert(soname.clone(), Conflict { asked, ..conflict });
                    }
                }
            }
        }
        grew
    }

    /// Our copies of a library and of the rest of its package, if they may be pinned.
    fn unit(
        &mut self,
        closure: &Closure,
        index: usize,
        wanted: &Arc<SystemObject>,
        worst: Fit,
    ) -> Result<Vec<Pin>, Conflict> {
        if !self.may_pin() {
            return Err(Conflict::new(&wanted.soname, WhyNot::NoLeave));
        }
        let is_mate = |system: &SystemObject| wanted.package.is_some() && system.package == wanted.package;
        let mut unit: Vec<(usize, &Arc<SystemObject>)> = vec![(index, wanted)];
        unit.extend(others(closure).filter(|(_, system)| is_mate(system) && system.soname != wanted.soname));
        let sonames: BTreeSet<&str> = unit.iter().map(|(_, system)| system.soname.as_str()).collect();
        if let Some(conflict) = sonames.iter().find_map(|soname| self.given_up.get(*soname)) {
            return Err(conflict.clone());
        }
        let before = self.search.displaced.clone();
        self.search.displaced.extend(sonames.iter().map(|soname| (*soname).to_owned()));
        let pins: Result<Vec<Pin>, Conflict> =
            unit.iter().map(|(index, system)| self.pin_for(closure, *index, system, worst)).collect();
        let pins = pins.and_then(|pins| match somebody_hurt(closure, &pins) {
            Some(conflict) => Err(conflict),
            None => Ok(pins),
        });
        if pins.is_err() {
            self.search.displaced = before;
        }
        pins
    }

    /// Our copy of one of the system's libraries.
    fn pin_for(
        &mut self,
        closure: &Closure,
        index: usize,
        system: &Arc<SystemObject>,
        worst: Fit,
    ) -> Result<Pin, Conflict> {
        let soname = &system.soname;
        if self.request.taken.contains(soname) {
            return Err(Conflict::new(soname, WhyNot::Taken));
        }
        let index = closure.first_need(index).map_or(0, |need| need.by);
        let needing = needing(self.request, self.laid, index, closure).unwrap_or_else(|| Needing {
            facts: self.request.facts.clone(),
            source: self.request.path.to_owned(),
            may_rename: false,
        });
        let candidate = self.search.choose(&needing, soname, self.request.exclude);
        let candidate = candidate.map_err(|_| Conflict::new(soname, WhyNot::NoCopy))?;
        let fit = self.search.fit(&candidate.facts);
        let library = Shipped::new(soname, candidate, Place::Pinned);
        let ours = Some(library.source.clone());
        let given = self.request.pinned.iter().find(|given| given.name == *soname);
        if given.is_some_and(|given| given.source != library.source) {
            return Err(Conflict { ours, ..Conflict::new(soname, WhyNot::Other) });
        }
        // A copy that does not fit either would only move the error.
        if fit > worst {
            return Err(Conflict { ours, ..Conflict::new(soname, WhyNot::TooNew) });
        }
        let (root, system) = (soname.clone(), system.clone());
        Ok(Pin { library, root, system, worst, is_given: given.is_some() })
    }

    fn insert(&mut self, pin: Pin) {
        self.search.displaced.insert(pin.library.name.clone());
        self.draft.pins.insert(pin.library.name.clone(), pin);
    }

    /// The root of the pin whose package includes this library of the system's.
    fn root_of_package(&self, system: &SystemObject) -> Option<String> {
        let package = system.package.as_ref()?;
        let baseline = &self.search.lambda.baseline;
        let is_of =
            |name: &&String| baseline.object(name).and_then(|it| it.package.as_ref()) == Some(package);
        let mate = self.draft.pins.keys().find(is_of)?;
        Some(self.draft.pins[mate].root.clone())
    }

    /// The pins that would break this library of the system's, and why.
    fn hurting(&self, system: &SystemObject) -> Vec<(&Pin, Conflict)> {
        let pins = self.draft.pins.values();
        pins.filter_map(|pin| hurts(&pin.system, &pin.library, system).map(|why| (pin, why))).collect()
    }

    /// Gives up those of the harmful pins that loaded the library that would break; all of them if none did.
    fn blame(&self, closure: &Closure, index: usize, system: &SystemObject) -> Conflicts {
        let chain = closure.chain(index);
        let paths: BTreeSet<String> =
            chain.iter().map(|index| closure.objects[*index].absolute_path()).collect();
        let path = |pin: &Pin| format!("{}/{}", self.request.layout.pinned_path(), pin.library.name);
        let pins = self.draft.pins.values().filter(|pin| paths.contains(&path(pin)));
        let brought: BTreeSet<&str> = pins.map(|pin| pin.root.as_str()).collect();
        let hurting = self.hurting(system);
        let is_blamed = hurting.iter().any(|(pin, _)| brought.contains(pin.root.as_str()));
        let mut given_up = Conflicts::new();
        for (pin, conflict) in hurting {
            if !is_blamed || brought.contains(pin.root.as_str()) {
                given_up.extend(self.give_up([pin.root.as_str()], conflict));
            }
        }
        given_up
    }

    fn give_up<'c>(&self, roots: impl IntoIterator<Item = &'c str>, conflict: Conflict) -> Conflicts {
        let given_up =
            |root: &str| (root.to_owned(), Conflict { asked: self.asked(root), ..conflict.clone() });
        roots.into_iter().map(given_up).collect()
    }

    fn asked(&self, soname: &str) -> Asked {
        if self.request.pin.matches(soname) { Asked::Wish } else { Asked::Need }
    }
}

/// The system object that does not fit a version need, in every image or in the older ones, and the worst fit that a
/// copy in its place may have.
fn misfit<'a>(closure: &'a Closure, check: &VersionCheck) -> Option<(usize, &'a Arc<SystemObject>, Fit)> {
    let worst = match check.answer {
        VersionAnswer::NotThere if !check.need.weak => Fit::Later,
        // A copy that only later images can load is no better than the system's copy, whose node only they have.
        VersionAnswer::Later(_) => Fit::Every,
        _ => return None,
    };
    match &closure.objects[check.object?].file.object {
        Object::System(system) => Some((check.object?, system, worst)),
        _ => None,
    }
}

/// Why these copies would break a system library. Libraries that another of them needs would be pinned along with it.
fn somebody_hurt(closure: &Closure, pins: &[Pin]) -> Option<Conflict> {
    let is_ours = |soname: &String| {
        pins.iter().any(|pin| pin.library.name == *soname || pin.library.facts.needed.contains(soname))
    };
    let mut users = others(closure).filter(|(_, system)| !is_ours(&system.soname));
    users.find_map(|(_, user)| pins.iter().find_map(|pin| hurts(&pin.system, &pin.library, user)))
}
