//! Finds the crates that ask for the symbols of findings: reads the static libraries of the program's build.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use super::job::{Answer, ProgramJob};
use super::programs::ProgramInput;
use crate::audit::{
    self, BuildOrigins, BuildPackage, LinkedPackage, ReadLibrary, Severity, SymbolOrigin, Unread,
};
use crate::disk;
use crate::elf::static_library::{self, ProgramSymbols, StaticLibraryError, StaticReferences};
use crate::elf::{ElfFacts, Offer};
use crate::plan::BuildSide;
use crate::report::{ReferenceReport, SymbolExplanation};
use crate::text;
use crate::workspace::{self, BuiltProgram, LinkedCrate};

/// Static libraries that are larger are not read. Those of a debug build have up to some 100 MB.
const LARGEST: u64 = 1 << 30;

/// Adds to the findings where their symbols come from. Nothing is read unless such a finding is shown.
pub(super) fn add(job: &ProgramJob, input: &ProgramInput, side: &BuildSide, answer: &mut Answer) {
    let Some(built) = &input.program.cargo else { return };
    let name = &input.program.name;
    let mut shown = answer.findings.as_slice().to_vec();
    job.settings.output.weigh(&mut shown);
    let shows_notes = job.settings.output.is_document() || job.ui.is_verbose();
    shown.retain(|finding| audit::has_origin(finding) && (finding.severity != Severity::Note || shows_notes));
    if shown.is_empty() {
        return;
    }
    let mut symbols: BTreeSet<String> =
        shown.iter().flat_map(|finding| audit::symbols_of(finding, name)).cloned().collect();
    let libraries = shown.iter().filter_map(|finding| audit::linked_library(finding, name));
    let functions: BTreeMap<String, BTreeSet<String>> = libraries
        .filter_map(|library| {
            let functions = used_functions(&input.facts, &side.files.get(&library)?.facts);
            Some((library, functions))
        })
        .collect();
    symbols.extend(functions.values().flatten().cloned());
    // cargo guarantees none of these files: if one cannot be read, the findings stay as they are.
    let Ok(mut build) = read(built, input, &symbols) else { return };
    build.functions = functions;
    for finding in answer.findings.iter_mut() {
        audit::add_origin(finding, name, &build);
    }
}

/// Returns the functions and variables of a library that the program refers to.
fn used_functions(program: &ElfFacts, library: &ElfFacts) -> BTreeSet<String> {
    let offered = library.symbols.iter().filter(|symbol| symbol.offer == Offer::Everything);
    let offered: BTreeSet<&[u8]> = offered.map(|symbol| library.symbols.name_bytes(symbol)).collect();
    let used = program.symbols.iter().filter(|symbol| !symbol.defined);
    let used = used.filter(|symbol| offered.contains(program.symbols.name_bytes(symbol)));
    used.map(|symbol| program.symbols.name(symbol).into_owned()).collect()
}

/// Adds the object files of the build that ask for explained symbols of the program.
pub(super) fn add_to_explanations(
    input: &ProgramInput,
    explanations: &mut [SymbolExplanation],
    is_verbose: bool,
) {
    let Some(built) = &input.program.cargo else { return };
    let name = &input.program.name;
    let is_own = |reference: &&mut ReferenceReport| reference.object == *name && reference.symbol.is_some();
    let mut own: Vec<&mut ReferenceReport> =
        explanations.iter_mut().flat_map(|explanation| &mut explanation.references).filter(is_own).collect();
    let symbols: BTreeSet<String> = own.iter().filter_map(|reference| reference.symbol.clone()).collect();
    if symbols.is_empty() {
        return;
    }
    // As for findings: without these files the rest of the explanation holds.
    let Ok(build) = read(built, input, &symbols) else { return };
    for reference in &mut own {
        let symbols: Vec<String> = reference.symbol.iter().cloned().collect();
        reference.add_origin(&SymbolOrigin::of_symbols(&symbols, &build), is_verbose);
    }
}

/// Reads which static libraries of a build refer to these symbols.
fn read(
    built: &BuiltProgram,
    input: &ProgramInput,
    symbols: &BTreeSet<String>,
) -> crate::error::Result<BuildOrigins> {
    let linked = workspace::linked_crates(built)?;
    let mut build =
        BuildOrigins { package: built.package.clone(), is_exact: linked.is_exact, ..BuildOrigins::default() };
    for one in &linked.crates {
        build.packages.push(BuildPackage {
            package: package(one),
            links: one.links.clone(),
            features_off: one.features_off.clone(),
            is_direct: built.direct_dependencies.contains(&one.package),
        });
    }
    if symbols.is_empty() {
        return Ok(build);
    }
    let program = contents(&input.path).unwrap_or_default();
    let program = ProgramSymbols::of(&program);
    let toolchain = workspace::toolchain_crates(built)?;
    if toolchain.is_none() {
        let (library, why) = ("libstd.rlib".to_owned(), "its directory is unknown".to_owned());
        build.unread.push(Unread { library, why });
    }
    for one in linked.crates.iter().chain(toolchain.iter().flatten()) {
        for path in &one.static_libraries {
            let why = match references(path, symbols, program.as_ref()) {
                Ok(found) => {
                    let (package, path) = (package(one), path.to_string());
                    build.libraries.push(ReadLibrary { package, path, references: found.references });
                    if !found.has_bitcode {
                        continue;
                    }
                    "its code is LLVM bitcode, for LTO".to_owned()
                }
                Err(why) => why,
            };
            build.unread.push(Unread { library: path.to_string(), why });
        }
    }
    Ok(build)
}

fn references(
    path: &Utf8Path,
    symbols: &BTreeSet<String>,
    program: Option<&ProgramSymbols>,
) -> Result<StaticReferences, String> {
    static_library::references(&contents(path)?, symbols, program).map_err(|error| match error {
        StaticLibraryError::Thin => "it is a thin archive".to_owned(),
        StaticLibraryError::Malformed => "it is not a static library, or is damaged".to_owned(),
    })
}

/// Reads a file; the error is the reason why it is not read.
fn contents(path: &Utf8Path) -> Result<Vec<u8>, String> {
    let size = disk::size(path).map_err(|error| error.to_string())?;
    if size > LARGEST {
        return Err(format!("it has {}", text::size(size)));
    }
    disk::read(path).map_err(|error| error.to_string())
}

fn package(one: &LinkedCrate) -> LinkedPackage {
    LinkedPackage { name: one.package.clone(), version: one.version.clone() }
}
