//! A bundle's own C library (`--libc bundle`): the files that are shipped beside what the program needs.
//!
//! The interpreter, libc and every library go to one private directory, which is on no library path and is the
//! program's DT_RPATH. glibc itself opens more files, NSS modules and libgcc_s (to unwind a cancelled thread), and
//! finds them there by the same DT_RPATH. Each part of glibc that a library might ask for becomes a need of the
//! program: a library that is already loaded is not searched for, so no library can load a part of another glibc, not
//! even a system library with its own DT_RUNPATH that the program opens.

use super::draft::{Candidate, Draft, Private};
use super::search::BuildSearch;
use super::{Place, Request, Shipped};
use crate::elf::{Libc, Linkage};
use crate::loader::{self, Outcome, Rule};
use crate::paths;
use crate::paths::file_name;
use crate::plan::NotShipped;
use crate::world::{Object, OpenFile};

/// Parts that a library may be linked to, without preloaded debugging aids and the debugger's thread library.
const LINKED: &[&str] = &[
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libnsl.so.1",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
];

/// Files that glibc opens: modules of nsswitch.conf (built into libc since 2.34), IDNA before 2.28, unwinding.
const OPENED: &[&str] =
    &["libcidn.so.1", "libgcc_s.so.1", "libnss_compat.so.2", "libnss_dns.so.2", "libnss_files.so.2"];

/// Ships the program's interpreter and the parts of its C library. A static program has no C library to ship.
pub(super) fn begin(request: &Request, search: &mut BuildSearch, draft: &mut Draft) {
    if let Some(program) = request.dlopened_by {
        // The program that opens this library has shipped it.
        let directory = request.layout.path(&request.layout.private);
        let interpreter = program.interpreter.as_deref().and_then(|path| path.strip_prefix(&directory));
        if let Some(name) = interpreter {
            search.is_private = true;
            let interpreter = name.trim_start_matches('/').to_owned();
            draft.private = Some(Private { interpreter, parts: Vec::new(), opened: Vec::new() });
        }
        return;
    }
    let Some(path) = request.facts.interpreter.as_deref() else { return };
    if request.facts.linkage() != Linkage::Dynamic {
        return;
    }
    let named = search.closure.objects.iter().find(|object| object.rule == Rule::Interpreter);
    // In a cross compiler's system the interpreter is not at its path.
    let found = || loader::candidates(search.world, &search.objects, 0, file_name(path)).into_iter().next();
    let interpreter = named.and_then(|object| candidate(&object.file));
    let Some(candidate) = interpreter.or_else(|| candidate(&found()?.1)) else {
        draft.not_shipped.insert(path.to_owned(), NotShipped::NotFound);
        return;
    };
    search.is_private = true;
    let name = file_name(path).to_owned();
    let library = Shipped { is_interpreter: true, ..Shipped::new(&name, candidate, Place::Private) };
    draft.shipped.insert(name.clone(), library);
    let mut private = Private { interpreter: name, parts: Vec::new(), opened: Vec::new() };
    if request.facts.libc() == Libc::Glibc {
        for (names, list) in [(LINKED, &mut private.parts), (OPENED, &mut private.opened)] {
            for name in names.iter().filter(|name| !request.exclude.matches(name)) {
                if let Some(candidate) = part(search, name) {
                    let library = Shipped::new(name, candidate, Place::Private);
                    draft.shipped.insert((*name).to_owned(), library);
                    list.push((*name).to_owned());
                }
            }
        }
    }
    draft.private = Some(private);
}

/// The build world's copy of a part: the one in its closure, or else the one in the directory of its libc. All parts
/// must come from one build.
fn part(search: &BuildSearch, name: &str) -> Option<Candidate> {
    let loaded = |name: &str| {
        let need = search.closure.needs.iter().find(|need| need.name == name)?;
        let Outcome::Loaded(index) = need.outcome else { return None };
        Some(&search.closure.objects[index].file)
    };
    if let Some(file) = loaded(name) {
        return candidate(file);
    }
    let libc = paths::parent(&loaded("libc.so.6")?.source);
    let files = loader::candidates(search.world, &search.objects, 0, name);
    // libgcc_s belongs to the compiler, and may be in another directory.
    let is_of_libc = |file: &OpenFile| name == "libgcc_s.so.1" || paths::parent(&file.source) == libc;
    files.iter().map(|(_, file)| file).find(|file| is_of_libc(file)).and_then(candidate)
}

fn candidate(file: &OpenFile) -> Option<Candidate> {
    let Object::Elf(facts) = &file.object else { return None };
    Some(Candidate { source: file.source.clone(), facts: facts.clone() })
}
