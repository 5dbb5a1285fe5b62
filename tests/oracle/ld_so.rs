//! The rules of glibc's ld.so, each asked of the model and of the real ld.so of this machine.
//!
//! Every row makes small objects with GNU ld and writes down what has to load. Both sides must say so.
//!
//! Rules without a row, and why:
//! - The kernel refuses a program of another machine before any loader runs; `elf` and `audit` judge that.
//! - A secure (setuid) start: Lambda has none.
//! - An ABI note that asks for a newer kernel, and offsets that do not fit `p_align`: ld.so stopped looking at
//!   them in 2.35, and here is 2.36. `tests/model/plan` has rows for the model alone.
//! - An ISA level above the CPU's: machines that run this have every level that can be asked for.
//! - An unknown `vn_version` or `vd_version`: `elf` takes such a file for broken, ld.so as well.
//! - Symbols: `tests/oracle/symbols.rs` asks `ldd -r`.
//! - DT_RELR without GLIBC_ABI_DT_RELR, which 2.36 refuses: no rule of any glibc on Lambda; `audit` judges it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod elements;
mod files;
mod names;
mod order;
mod roots;
mod versions;

use std::path::Path;

use crate::support::objects::{Tree, X86_64};
use crate::support::real_loader::{self, Answer, LD_SO};
use crate::support::{processor, tools};
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, Libc};
use cargo_lambda_bundle::loader::{self, Closure, Rules, World};
use cargo_lambda_bundle::world::{Files, Opened};

/// A tree to put objects in, if this machine has the tools.
#[track_caller]
fn tree() -> Option<Tree> {
    let glibc = Path::new(LD_SO).exists() || tools::skip("glibc's ld.so (apt: libc6)");
    let able = glibc && tools::require("ld", "binutils") && tools::require("as", "binutils");
    able.then(|| Tree::new(X86_64))
}

/// One question: what loads when `T/prog` starts.
struct Start<'a> {
    tree: &'a Tree,
    program: &'a str,
    library_path: Option<&'a str>,
    directory: &'a str,
}

fn start(tree: &Tree) -> Start<'_> {
    Start { tree, program: "prog", library_path: None, directory: "" }
}

impl<'a> Start<'a> {
    fn program(self, program: &'a str) -> Self {
        Start { program, ..self }
    }

    fn library_path(self, value: &'a str) -> Self {
        Start { library_path: Some(value), ..self }
    }

    fn in_directory(self, directory: &'a str) -> Self {
        Start { directory, ..self }
    }

    fn walk(&self) -> (Closure, Rules) {
        let files = DiskFiles::new(None, Vec::new(), Vec::new());
        let path = self.tree.path(self.program);
        let Opened::File(root) = files.open(path.to_str().unwrap()) else { panic!("{path:?} is there") };
        // The kernel's link to the running program has no links in it.
        let origin = path.canonicalize().unwrap().parent().unwrap().to_str().unwrap().to_owned();
        let world = World {
            rules: processor::of_this_processor(
                build_world::rules(&files, Arch::X86_64, Libc::Glibc),
                Some(Path::new("/etc/ld.so.cache")),
            ),
            files: &files,
            library_path: self.library_path.map(|value| self.tree.long(value)),
            working_directory: self.tree.path(self.directory).to_str().unwrap().to_owned(),
        };
        let closure = loader::walk(&world, path.to_str().unwrap(), &origin, root, &[]);
        (closure, world.rules)
    }

    /// Both answers, in terms of `T`; of a fatal file its name counts, since ld.so does not always tell where.
    fn answers(&self) -> [(&'static str, Answer); 2] {
        let (closure, rules) = self.walk();
        let library_path = self.library_path.map(|value| self.tree.long(value));
        let real = real_loader::ask_by_start(
            &self.tree.path(self.program),
            library_path.as_deref(),
            &self.tree.path(self.directory),
        );
        [("model", real_loader::answer_of(&closure, &rules)), ("ld.so", real)].map(|(side, answer)| {
            let short = |lines: Vec<String>| lines.iter().map(|line| self.tree.short(line)).collect();
            let fatal = answer.fatal.map(|why| match why.split_once(": ") {
                Some((path, reason)) => format!("{}: {reason}", path.rsplit('/').next().unwrap()),
                None => why,
            });
            (side, Answer { objects: short(answer.objects), versions: short(answer.versions), fatal })
        })
    }

    #[track_caller]
    fn loads(self, expected: &[&str]) {
        for (side, answer) in self.answers() {
            assert_eq!(answer.fatal, None, "{side}");
            assert_eq!(answer.objects, expected, "{side}");
            assert_eq!(answer.versions, [""; 0], "{side}");
        }
    }

    /// What ld.so says about version nodes.
    #[track_caller]
    fn says(self, expected: &[&str]) {
        for (side, answer) in self.answers() {
            assert_eq!(answer.fatal, None, "{side}");
            assert_eq!(answer.versions, expected, "{side}");
        }
    }

    /// The start ends with this message.
    #[track_caller]
    fn fails(self, expected: &str) {
        for (side, answer) in self.answers() {
            let fatal = answer.fatal.unwrap_or_else(|| panic!("{side} loads {:?}", answer.objects));
            assert_eq!(fatal, expected, "{side}");
        }
    }
}
