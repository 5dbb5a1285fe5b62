//! The fixed point and the audit of what it planned, on worlds in memory.
//!
//! The build world holds the given files, Lambda is the embedded `provided.al2023` on x86_64 unless a row says
//! otherwise. `check` is the only place that calls the API.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod own_libc;
mod paths;
mod pins;
mod rebind;
mod shipped;
mod symbols;
mod versions;

use std::sync::Arc;

use crate::support::elf::Object;
use cargo_lambda_bundle::audit::{self, Owner, Subject};
use cargo_lambda_bundle::baseline::{self, Baseline};
use cargo_lambda_bundle::elf::{Arch, ElfFacts};
use cargo_lambda_bundle::lambda::{Installed, LambdaWorld, Member, MemberContent};
use cargo_lambda_bundle::layout::Layout;
use cargo_lambda_bundle::loader::{Glibc, Rules, World};
use cargo_lambda_bundle::patterns::Patterns;
use cargo_lambda_bundle::plan::{self, LibcSource, Place, Request};
use cargo_lambda_bundle::repair::Edits;
use cargo_lambda_bundle::world::{MemoryFiles, Object as WorldObject, OpenFile};

const BUILD_LIB: &str = "/usr/lib/x86_64-linux-gnu";

/// One bundle to plan.
struct Case {
    program: Object,
    files: Vec<(String, Arc<ElfFacts>)>,
    links: Vec<(String, String)>,
    library_path: Option<&'static str>,
    baseline: Baseline,
    lambda_library_path: Option<&'static str>,
    assume_present: Vec<String>,
    exclude: Vec<String>,
    extra: Vec<String>,
    may_edit: bool,
    prefer: Vec<String>,
    binds_now: bool,
    libc: LibcSource,
    /// Files that are there whatever is planned.
    members: Vec<Member>,
}

fn case(program: Object) -> Case {
    Case {
        program,
        files: Vec::new(),
        links: Vec::new(),
        library_path: None,
        baseline: baseline::embedded("provided.al2023", Arch::X86_64).unwrap(),
        lambda_library_path: None,
        assume_present: Vec::new(),
        exclude: Vec::new(),
        extra: Vec::new(),
        may_edit: false,
        prefer: Vec::new(),
        binds_now: false,
        libc: LibcSource::System,
        members: Vec::new(),
    }
}

impl Case {
    /// A library of the build world's usual directory, under its SONAME.
    fn has(self, name: &str, object: Object) -> Case {
        let path = format!("{BUILD_LIB}/{name}");
        self.at(&path, object)
    }

    fn at(self, path: &str, object: Object) -> Case {
        self.facts_at(path, object.facts())
    }

    fn facts_at(mut self, path: &str, facts: Arc<ElfFacts>) -> Case {
        self.files.push((path.to_owned(), facts));
        self
    }

    fn link(mut self, path: &str, target: &str) -> Case {
        self.links.push((path.to_owned(), target.to_owned()));
        self
    }

    /// A file of an attached layer.
    fn layer(mut self, name: &str, object: Object) -> Case {
        let path = format!("/opt/lib/{name}");
        self.members.push(Member { path, content: MemberContent::Object(object.facts()) });
        self
    }

    fn baseline(mut self, text: &str) -> Case {
        self.baseline = Baseline::parse(text).unwrap();
        self
    }

    /// Plans, audits, and compares with what should be shipped and found.
    ///
    /// `shipped` rows are `name` or `name -> link target` or `name from path`; `findings` are
    /// `severity code object [soname] [versions]`, sorted.
    #[track_caller]
    fn check(self, shipped: &[&str], findings: &[&str]) {
        self.edits(shipped, findings);
    }

    /// The same; returns the edits of the program and of the libraries that have any.
    #[track_caller]
    fn edits(self, shipped: &[&str], findings: &[&str]) -> Vec<(String, Edits)> {
        let mut files = MemoryFiles::new();
        for (path, facts) in &self.files {
            files.add(path, WorldObject::Elf(facts.clone()));
        }
        for (path, target) in &self.links {
            files.add_link(path, target);
        }
        let facts = self.program.facts();
        let build = World {
            files: &files,
            rules: Rules::Glibc(Glibc {
                interpreter: "/lib64/ld-linux-x86-64.so.2".into(),
                machine: Arch::X86_64.machine(),
                release: (2, 36),
                default_dirs: vec![BUILD_LIB.into()],
                lib: "lib/x86_64-linux-gnu".into(),
                ..Glibc::default()
            }),
            library_path: self.library_path.map(str::to_owned),
            working_directory: "/".into(),
        };
        let lambda = LambdaWorld {
            library_paths: match self.lambda_library_path {
                Some(value) => vec![value.to_owned()],
                None => self.baseline.library_paths.clone(),
            },
            baseline: self.baseline.into(),
            assume_present: Patterns::new("--assume-present", &self.assume_present).unwrap(),
            binds_now: self.binds_now,
            tunables: String::new(),
            preload: Vec::new(),
        };
        let program =
            OpenFile { id: (9, 9), source: "/build/app".into(), object: WorldObject::Elf(facts.clone()) };
        let exclude = Patterns::new("--exclude-lib", &self.exclude).unwrap();
        let prefer = Patterns::new("--bundle-lib", &self.prefer).unwrap();
        let request = Request {
            program: &program,
            facts: &facts,
            path: "/build/app",
            extra: &self.extra,
            exclude: &exclude,
            pin: &prefer,
            may_edit: self.may_edit,
            libc: self.libc,
            layout: &Layout::function(),
            installed: &Installed::new(&lambda, self.members.clone()),
            pinned: &[],
            taken: &Default::default(),
            dlopened_by: None,
        };
        let mut plan = plan::plan(&request, &lambda, &build);
        plan.members.splice(0..0, self.members.clone());
        let found: Vec<String> = plan
            .shipped
            .iter()
            .map(|library| match &library.link_to {
                Some(target) if library.place == Place::Pinned => {
                    format!("pinned {} -> {target}", library.name)
                }
                None if library.place == Place::Pinned => format!("pinned {}", library.name),
                _ if library.place == Place::Private => format!("private {}", library.name),
                Some(target) => format!("{} -> {target}", library.name),
                None if library.source != format!("{BUILD_LIB}/{}", library.name) => {
                    format!("{} from {}", library.name, library.source)
                }
                None => library.name.clone(),
            })
            .collect();
        assert_eq!(found, shipped, "{:?}", plan.build.not_shipped);
        let subject = Subject {
            name: "app",
            program: &facts,
            lambda: &lambda,
            owner: Owner::Cargo { target: None, words: "-p app --bin app", has_zigbuild: true },
            members: &plan.members,
            attached: &Default::default(),
            build: &plan.build,
        };
        let mut found: Vec<String> = audit::audit(&subject, &plan.walks)
            .into_iter()
            .map(|finding| {
                let mut words = vec![
                    finding.severity.as_str().to_owned(),
                    finding.code.as_str().to_owned(),
                    finding.object,
                ];
                words.extend(finding.soname);
                words.extend(finding.versions);
                words.join(" ")
            })
            .collect();
        found.sort();
        assert_eq!(found, findings);
        let libraries = plan.shipped.into_iter().map(|library| (library.name, library.edits));
        let program = ("app".to_owned(), plan.program_edits);
        std::iter::once(program).chain(libraries).filter_map(|(name, edits)| Some((name, edits?))).collect()
    }
}

/// A program that uses libc, as all do.
fn app() -> Object {
    Object::program().needs("libc.so.6").verneed("libc.so.6", &["GLIBC_2.34"])
}

/// A library that uses libc, as all do.
fn library(soname: &str) -> Object {
    Object::library(soname).needs("libc.so.6").verneed("libc.so.6", &["GLIBC_2.2.5"])
}

/// A runtime with glibc 2.34 and these objects.
fn runtime_with(objects: &str) -> String {
    format!(
        "runtime test\narch x86_64\nrecorded 2026-01-01\nglibc 2.34\ncomplete yes\n\
         interpreter /lib64/ld-linux-x86-64.so.2\ndefault-dirs /lib64 /usr/lib64\n\
         library-path /lib64:/usr/lib64:/var/task:/var/task/lib:/opt/lib\n\
         evidence X probe 2026-11-01 a test\nevidence Y report 2026-11-01 a report\n\
         object ld-linux-x86-64.so.2\n  evidence X\n  nodes GLIBC_2.3\n  nodes-from high X\n\
         object libc.so.6\n  evidence X\n  nodes GLIBC_2.2.5 GLIBC_2.34\n  nodes-from high X\n\
         {objects}"
    )
}

/// A runtime whose `libfoo.so.1` has the node FOO_1; `lines` are further ones of it.
fn with_foo(lines: &str, others: &str) -> String {
    runtime_with(&format!(
        "object libfoo.so.1\n  {lines}  evidence X\n  nodes FOO_1\n  nodes-from high X\n{others}"
    ))
}

/// A program that needs a version of `libfoo.so.1` which the runtime's copy lacks.
fn wants_foo_2() -> Object {
    app().needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"])
}

fn foo(nodes: &[&str]) -> Object {
    library("libfoo.so.1").verdef(nodes)
}

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn loader() -> Object {
    Object::library("ld-linux-x86-64.so.2").verdef(&["GLIBC_2.3"])
}

#[test]
fn rows_share_their_facts() {
    // The plan tells objects apart by their facts; a fixture's facts must be its own.
    assert!(!Arc::ptr_eq(&library("liba.so.1").facts(), &library("liba.so.1").facts()));
}
