//! The fixed point and the audit of what it planned, on worlds in memory.
//!
//! The build world holds the given files, Lambda is the embedded `provided.al2023` on x86_64 unless a row says
//! otherwise. `check` is the only place that calls the API.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::sync::Arc;

use crate::support::elf::{Object, PT_LOAD, Relocation, SymbolKind};
use cargo_lambda_bundle::audit::{self, Owner, Subject};
use cargo_lambda_bundle::baseline::{self, Baseline};
use cargo_lambda_bundle::elf::{self, Arch, ElfFacts};
use cargo_lambda_bundle::lambda::{LambdaWorld, Member, MemberContent};
use cargo_lambda_bundle::layout::Layout;
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{Glibc, Rules};
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
    assume_missing: Vec<String>,
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
        assume_missing: Vec::new(),
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
            assume_missing: Patterns::new("--assume-missing", &self.assume_missing).unwrap(),
            binds_now: self.binds_now,
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
            members: &self.members,
            pinned: &[],
            taken: &Default::default(),
            opened_by: None,
        };
        let plan = plan::plan(&request, &lambda, &build);
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
            owner: Owner::Cargo { target: None, profile: None, package: "app" },
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

#[test]
fn a_static_program_ships_alone() {
    case(Object::static_program()).check(&[], &[]);
    case(Object::static_pie()).check(&[], &[]);
}

#[test]
fn what_the_runtime_has_is_not_shipped() {
    case(app().needs("libz.so.1")).has("libz.so.1", library("libz.so.1")).check(&[], &[]);
}

#[test]
fn what_the_runtime_lacks_is_shipped_with_what_it_needs() {
    case(app().needs("libpq.so.5"))
        .has("libpq.so.5", library("libpq.so.5").needs("libldap.so.2").needs("libssl.so.3"))
        .has("libldap.so.2", library("libldap.so.2").needs("libsasl2.so.2"))
        .has("libsasl2.so.2", library("libsasl2.so.2"))
        .has("libssl.so.3", library("libssl.so.3"))
        .check(&["libldap.so.2", "libpq.so.5", "libsasl2.so.2"], &[]);
}

#[test]
fn cycles_of_libraries_end() {
    case(app().needs("liba.so.1"))
        .has("liba.so.1", library("liba.so.1").needs("libb.so.1"))
        .has("libb.so.1", library("libb.so.1").needs("liba.so.1"))
        .check(&["liba.so.1", "libb.so.1"], &[]);
}

#[test]
fn one_file_under_two_names_is_stored_once() {
    case(app().needs("libfoo.so").needs("libfoo.so.2"))
        .has("libfoo.so.2", library("libfoo.so.1"))
        .link(&format!("{BUILD_LIB}/libfoo.so"), "libfoo.so.2")
        .check(&[&format!("libfoo.so from {BUILD_LIB}/libfoo.so.2"), "libfoo.so.2 -> libfoo.so"], &[]);
}

#[test]
fn a_soname_that_is_loaded_needs_no_file_of_its_name() {
    case(app().needs("libfoo.so").needs("libbar.so.1"))
        .has("libfoo.so", library("libfoo.so.1"))
        .has("libbar.so.1", library("libbar.so.1").needs("libfoo.so.1"))
        .check(&["libbar.so.1", "libfoo.so"], &[]);
}

#[test]
fn what_nobody_has_is_missing() {
    case(app().needs("libgone.so.1")).check(&[], &["error missing-library app libgone.so.1"]);
}

#[test]
fn what_a_shipped_library_lacks_is_missing_too() {
    case(app().needs("liba.so.1"))
        .has("liba.so.1", library("liba.so.1").needs("libgone.so.1"))
        .check(&["liba.so.1"], &["error missing-library liba.so.1 libgone.so.1"]);
}

#[test]
fn a_part_of_glibc_is_never_shipped() {
    case(app().needs("libnss_db.so.2"))
        .has("libnss_db.so.2", library("libnss_db.so.2"))
        .check(&[], &["error missing-library app libnss_db.so.2"]);
}

#[test]
fn an_excluded_library_is_missing() {
    let mut case = case(app().needs("libfoo.so.1")).has("libfoo.so.1", library("libfoo.so.1"));
    case.exclude = vec!["libfoo*".into()];
    case.check(&[], &["error missing-library app libfoo.so.1"]);
}

#[test]
fn a_path_in_needed_cannot_be_shipped() {
    case(app().needs("/opt/acme/libfoo.so"))
        .at("/opt/acme/libfoo.so", library("libfoo.so"))
        .check(&[], &["error missing-library app /opt/acme/libfoo.so"]);
}

#[test]
fn a_library_that_is_opened_at_run_time_is_shipped_on_demand() {
    let mut case = case(app()).has("libplugin.so", library("libplugin.so").needs("libdep.so.1"));
    case = case.has("libdep.so.1", library("libdep.so.1"));
    case.extra = vec!["libplugin.so".into()];
    case.check(&["libdep.so.1", "libplugin.so"], &[]);
}

#[test]
fn the_programs_runpath_finds_its_library_at_build_time_only() {
    case(app().needs("libfoo.so.1").runpath("/opt/acme/lib"))
        .at("/opt/acme/lib/libfoo.so.1", library("libfoo.so.1"))
        .check(&["libfoo.so.1 from /opt/acme/lib/libfoo.so.1"], &[]);
}

#[test]
fn a_version_whose_name_was_edited_is_not_there() {
    let edited = |to: &str| app().verneed("libc.so.6", &["GLIBC_2.38"]).renamed("GLIBC_2.38", to);
    case(edited("GLIBC_2.34")).check(&[], &["error version-too-new app libc.so.6 GLIBC_2.34"]);
    case(edited("GLIBC_2.99")).check(&[], &["error version-too-new app libc.so.6 GLIBC_2.99"]);
}

#[test]
fn a_version_that_only_newer_glibc_has_is_too_new() {
    case(Object::program().needs("libc.so.6").verneed("libc.so.6", &["GLIBC_2.34", "GLIBC_2.38"]))
        .check(&[], &["error version-too-new app libc.so.6 GLIBC_2.38"]);
}

#[test]
fn a_shipped_librarys_own_needs_count() {
    case(app().needs("libexpat.so.1"))
        .has("libexpat.so.1", library("libexpat.so.1").verneed("libc.so.6", &["GLIBC_2.36"]))
        .check(&["libexpat.so.1"], &["error version-too-new libexpat.so.1 libc.so.6 GLIBC_2.36"]);
}

#[test]
fn of_several_candidates_the_first_that_fits_is_taken() {
    let mut case = case(app().needs("libexpat.so.1"))
        .at("/first/libexpat.so.1", library("libexpat.so.1").verneed("libc.so.6", &["GLIBC_2.36"]))
        .at("/second/libexpat.so.1", library("libexpat.so.1"))
        .has("libexpat.so.1", library("libexpat.so.1"));
    case.library_path = Some("/first:/second");
    case.check(&["libexpat.so.1 from /second/libexpat.so.1"], &[]);
}

#[test]
fn the_needs_of_a_candidate_that_was_taken_instead_are_found() {
    let mut case = case(app().needs("libexpat.so.1"))
        .at("/first/libexpat.so.1", library("libexpat.so.1").verneed("libc.so.6", &["GLIBC_2.36"]))
        .at("/second/libexpat.so.1", library("libexpat.so.1").needs("libother.so.1"))
        .at("/second/libother.so.1", library("libother.so.1"));
    case.library_path = Some("/first:/second");
    case.check(
        &["libexpat.so.1 from /second/libexpat.so.1", "libother.so.1 from /second/libother.so.1"],
        &[],
    );
}

#[test]
fn a_weak_version_need_only_warns() {
    case(app().weak_verneed("libc.so.6", &["GLIBC_2.38"]))
        .check(&[], &["warning version-too-new app libc.so.6 GLIBC_2.38"]);
}

#[test]
fn a_version_of_later_images_is_dated() {
    case(app().verneed("libc.so.6", &["GLIBC_2.35"]))
        .check(&[], &["warning version-recent app libc.so.6 GLIBC_2.35"]);
}

#[test]
fn a_version_that_may_be_there_is_unknown() {
    case(app().needs("libcrypto.so.3").verneed("libcrypto.so.3", &["OPENSSL_3.0.1"]))
        .has("libcrypto.so.3", library("libcrypto.so.3"))
        .check(&[], &["warning version-unknown app libcrypto.so.3 OPENSSL_3.0.1"]);
}

#[test]
fn a_library_without_version_nodes_only_makes_ld_so_talk() {
    case(app().needs("libtinfo.so.6").verneed("libtinfo.so.6", &["NCURSES6_TINFO_5.0.19991023"]))
        .has("libtinfo.so.6", library("libtinfo.so.6").verdef(&["NCURSES6_TINFO_5.0.19991023"]))
        .check(&[], &["note version-unknown app libtinfo.so.6 NCURSES6_TINFO_5.0.19991023"]);
}

#[test]
fn a_newer_file_at_build_time_is_a_skew_where_no_nodes_tell() {
    let of_file = |soname: &str, version: &str, findings: &[&str]| {
        let file = format!("{soname}.{version}");
        case(app().needs(soname))
            .has(&file, library(soname))
            .link(&format!("{BUILD_LIB}/{soname}"), &file)
            .check(&[], findings);
    };
    of_file("libcap.so.2", "99", &["warning version-skew libcap.so.2 libcap.so.2"]);
    of_file("libcap.so.2", "1", &[]);
    // The runtime's are 0.11.0 and 2.1.0; a revision has the same functions.
    of_file("libpcre2-8.so.0", "11.2", &[]);
    of_file("libunistring.so.2", "1.9", &[]);
    of_file("libunistring.so.2", "2.0", &["warning version-skew libunistring.so.2 libunistring.so.2"]);
    case(app().needs("libcap.so.2"))
        .has("libcap.so.2.1", library("libcap.so.2"))
        .link(&format!("{BUILD_LIB}/libcap.so.2"), "libcap.so.2.1")
        .check(&[], &[]);
}

#[test]
fn a_doubtful_library_is_shipped_and_noted() {
    case(app().needs("libzstd.so.1"))
        .has("libzstd.so.1", library("libzstd.so.1"))
        .check(&["libzstd.so.1"], &["note doubtful-library app libzstd.so.1"]);
}

#[test]
fn a_doubtful_library_must_fit_if_it_is_there() {
    let doubtful = "object libfoo.so.1\n  presence doubtful\n  evidence doubtful X\n  nodes FOO_1\n  nodes-from high X\n";
    case(app().needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"]))
        .has("libfoo.so.1", library("libfoo.so.1").verdef(&["FOO_1", "FOO_2"]))
        .baseline(&runtime_with(doubtful))
        .check(
            &["libfoo.so.1"],
            &["error version-too-new app libfoo.so.1 FOO_2", "note doubtful-library app libfoo.so.1"],
        );
}

#[test]
fn the_users_word_on_presence_counts() {
    let library_foo = || case(app().needs("libfoo.so.1")).has("libfoo.so.1", library("libfoo.so.1"));
    let mut present = library_foo();
    present.assume_present = vec!["libfoo*".into()];
    present.check(&[], &[]);
    let mut missing = case(app().needs("libz.so.1")).has("libz.so.1", library("libz.so.1"));
    missing.assume_missing = vec!["libz.so.1".into()];
    missing.check(&["libz.so.1"], &[]);
}

#[test]
fn a_customers_library_path_decides_what_loads() {
    let mut case = case(app().needs("libfoo.so.1")).has("libfoo.so.1", library("libfoo.so.1"));
    case.lambda_library_path = Some("/opt/lib");
    case.check(&["libfoo.so.1"], &["error missing-library app libfoo.so.1"]);
}

#[test]
fn the_default_directories_need_no_library_path() {
    let mut case = case(app().needs("libz.so.1"));
    case.lambda_library_path = Some("/var/task/lib");
    case.check(&[], &[]);
}

#[test]
fn an_absent_interpreter_is_named() {
    case(app().interpreter("/nix/store/x/ld-linux-x86-64.so.2"))
        .check(&[], &["error interpreter-missing app"]);
    case(Object::program().interpreter("/lib/ld-musl-x86_64.so.1").needs("libc.musl-x86_64.so.1"))
        .check(&[], &["error interpreter-missing app"]);
}

#[test]
fn needs_without_an_interpreter_are_broken() {
    case(Object::static_pie().needs("libz.so.1"))
        .has("libz.so.1", library("libz.so.1"))
        .check(&[], &["error broken-static-pie app"]);
}

#[test]
fn packed_relocations_are_for_later_glibcs() {
    case(app().relr(16)).check(&[], &["error relr-unsupported app"]);
    case(Object::static_pie().relr(16)).check(&[], &[]);
    case(app().needs("libfoo.so.1"))
        .has("libfoo.so.1", library("libfoo.so.1").relr(16))
        .check(&["libfoo.so.1"], &["error relr-unsupported libfoo.so.1"]);
}

#[test]
fn private_symbols_of_glibc_are_judged_by_name() {
    let check = |symbol: &str, findings: &[&str]| {
        let library = library("libfoo.so.1").imports(symbol, Some(("libc.so.6", "GLIBC_PRIVATE")));
        case(app().needs("libfoo.so.1")).has("libfoo.so.1", library).check(&["libfoo.so.1"], findings);
    };
    let warning = "warning libc-mixed libfoo.so.1 libc.so.6 GLIBC_PRIVATE";
    check("__resolv_context_get", &[warning]);
    check("fnord", &["error undefined-symbol libfoo.so.1 libc.so.6 GLIBC_PRIVATE", warning]);
}

#[test]
fn a_library_for_musl_does_not_go_with_glibc() {
    let musl = || Object::library("libfoo.so.1").needs("libc.musl-x86_64.so.1");
    case(app().needs("libfoo.so.1"))
        .has("libfoo.so.1", musl())
        .check(&["libfoo.so.1"], &["error libc-mixed libfoo.so.1"]);
    // By itself it is opened by a process of the runtime's, and nothing is shipped as its C library.
    case(musl()).check(&[], &["error libc-mixed app"]);
}

#[test]
fn a_symbol_that_glibc_lacks_is_undefined() {
    // The node is there, the symbol is not: libm has no such function.
    let now = |object: Object| object.flags(8);
    case(now(app().needs("libm.so.6").imports("fnord", Some(("libm.so.6", "GLIBC_2.29")))))
        .check(&[], &["error undefined-symbol app libm.so.6 GLIBC_2.29"]);
    case(now(app().needs("libm.so.6").imports("exp", Some(("libm.so.6", "GLIBC_2.29"))))).check(&[], &[]);
}

#[test]
fn a_symbol_that_a_shipped_library_lacks_is_undefined() {
    let library_foo = |names: &[&str]| {
        let object = library("libfoo.so.1");
        names.iter().fold(object, |object, name| object.defines(name, None))
    };
    let app = || app().needs("libfoo.so.1").imports("foo_open", None).flags(8);
    case(app()).has("libfoo.so.1", library_foo(&["foo_open"])).check(&["libfoo.so.1"], &[]);
    case(app())
        .has("libfoo.so.1", library_foo(&["foo_close"]))
        .check(&["libfoo.so.1"], &["error undefined-symbol app"]);
}

#[test]
fn a_weak_symbol_may_be_undefined() {
    case(app().imports_weak("__gmon_start__", None).flags(8)).check(&[], &[]);
}

/// A program that refers to `foo` of a library that lacks it, by one kind of relocation.
fn refers(relocation: Relocation) -> Case {
    case(app().needs("libfoo.so.1").imports("foo", None).relocated(Some(relocation)))
        .has("libfoo.so.1", library("libfoo.so.1").defines("bar", None))
}

#[test]
fn only_a_call_is_bound_late() {
    let at_start: &[&str] = &["error undefined-symbol app"];
    refers(Relocation::Call).check(&["libfoo.so.1"], &["warning undefined-symbol app"]);
    refers(Relocation::Data).check(&["libfoo.so.1"], at_start);
    refers(Relocation::ThreadLocal).check(&["libfoo.so.1"], at_start);
    refers(Relocation::Copy).check(&["libfoo.so.1"], at_start);
}

#[test]
fn what_fails_later_does_not_hide_what_fails_at_start() {
    let app = app().needs("libfoo.so.1").imports("foo", None).relocated(Some(Relocation::Call));
    case(app.imports("bar", None))
        .has("libfoo.so.1", library("libfoo.so.1"))
        .check(&["libfoo.so.1"], &["error undefined-symbol app", "warning undefined-symbol app"]);
}

#[test]
fn immediate_binding_leaves_nothing_for_later() {
    let app = app().needs("libfoo.so.1").imports("foo", None).relocated(Some(Relocation::Call)).flags(8);
    case(app)
        .has("libfoo.so.1", library("libfoo.so.1"))
        .check(&["libfoo.so.1"], &["error undefined-symbol app"]);
    let mut environment = refers(Relocation::Call);
    environment.binds_now = true;
    environment.check(&["libfoo.so.1"], &["error undefined-symbol app"]);
}

#[test]
fn a_symbol_that_no_relocation_names_is_not_looked_up() {
    case(app().imports("fnord", None).relocated(None).flags(8)).check(&[], &[]);
}

#[test]
fn a_copied_symbol_is_somebody_elses() {
    let app = || app().needs("libfoo.so.1").imports("foo", None).relocated(Some(Relocation::Copy));
    case(app()).has("libfoo.so.1", library("libfoo.so.1").defines("foo", None)).check(&["libfoo.so.1"], &[]);
    // The library's own reference is met by the program's copy.
    case(app())
        .has("libfoo.so.1", library("libfoo.so.1").imports("foo", None))
        .check(&["libfoo.so.1"], &["error undefined-symbol app"]);
}

#[test]
fn a_thread_local_reference_wants_a_thread_local_definition() {
    let app = || {
        let app = app().needs("libfoo.so.1").imports("foo", None);
        app.of_kind(SymbolKind::ThreadLocal).relocated(Some(Relocation::ThreadLocal))
    };
    let library = || library("libfoo.so.1").defines("foo", None);
    case(app()).has("libfoo.so.1", library().of_kind(SymbolKind::ThreadLocal)).check(&["libfoo.so.1"], &[]);
    case(app()).has("libfoo.so.1", library()).check(&["libfoo.so.1"], &["error undefined-symbol app"]);
}

#[test]
fn a_library_without_version_nodes_needs_its_symbols_all_the_same() {
    let app = || app().needs("libfoo.so.1").imports("foo", Some(("libfoo.so.1", "V1"))).flags(8);
    // It has a DT_VERSYM, because it uses versions of others.
    let library =
        || library("libfoo.so.1").needs("libc.so.6").imports("abs", Some(("libc.so.6", "GLIBC_2.2.5")));
    let note = "note version-unknown app libfoo.so.1 V1";
    case(app()).has("libfoo.so.1", library().defines("foo", None)).check(&["libfoo.so.1"], &[note]);
    case(app())
        .has("libfoo.so.1", library().defines("bar", None))
        .check(&["libfoo.so.1"], &["error undefined-symbol app libfoo.so.1 V1", note]);
}

#[test]
fn a_library_without_any_versions_fails_an_assertion() {
    case(app().needs("libfoo.so.1").imports("foo", Some(("libfoo.so.1", "V1"))).flags(8))
        .has("libfoo.so.1", Object::library("libfoo.so.1").defines("foo", None))
        .check(
            &["libfoo.so.1"],
            &["error undefined-symbol app libfoo.so.1 V1", "note version-unknown app libfoo.so.1 V1"],
        );
}

#[test]
fn a_weak_version_need_needs_its_symbols_all_the_same() {
    let app = |relocation| {
        let app = app().needs("libfoo.so.1").weak_verneed("libfoo.so.1", &["V2"]);
        app.imports("foo", Some(("libfoo.so.1", "V2"))).relocated(Some(relocation))
    };
    let check = |relocation, findings: &[&str]| {
        case(app(relocation))
            .has("libfoo.so.1", library("libfoo.so.1").defines("foo", Some("V1")))
            .check(&["libfoo.so.1"], findings);
    };
    let weak = "warning version-too-new app libfoo.so.1 V2";
    check(Relocation::Data, &["error undefined-symbol app libfoo.so.1 V2", weak]);
    check(Relocation::Call, &["warning undefined-symbol app libfoo.so.1 V2", weak]);
}

#[test]
fn a_symbol_of_a_system_library_is_taken_to_be_there_if_the_builds_copy_has_it() {
    let app = || app().needs("libsqlite3.so.0").flags(8);
    let sqlite = || library("libsqlite3.so.0").defines("sqlite3_open", None);
    case(app().imports("sqlite3_open", None)).has("libsqlite3.so.0", sqlite()).check(&[], &[]);
    case(app().imports("sqlite3_fnord", None))
        .has("libsqlite3.so.0", sqlite())
        .check(&[], &["error undefined-symbol app"]);
}

#[test]
fn an_opened_library_sees_the_program_and_itself() {
    let check = |plugin: Object, other: Object, findings: &[&str]| {
        let mut case =
            case(app().defines("of_app", None)).has("libplug.so.1", plugin).has("libother.so.1", other);
        case.extra = vec!["libother.so.1".into(), "libplug.so.1".into()];
        case.check(&["libother.so.1", "libplug.so.1"], findings);
    };
    let (plugin, other) = (|| library("libplug.so.1"), || library("libother.so.1").defines("of_other", None));
    check(plugin().imports("of_app", None), other(), &[]);
    let error = &["error undefined-symbol libplug.so.1"];
    // Another opened library has a scope of its own.
    check(plugin().imports("of_other", None), other(), error);
    check(plugin().imports("of_other", None).needs("libother.so.1"), other(), &[]);
    // dlopen binds calls, too.
    check(plugin().imports("fnord", None).relocated(Some(Relocation::Call)), other(), error);
}

#[test]
fn a_library_by_itself_leaves_symbols_to_the_program_that_opens_it() {
    let plugin = || Object::plugin().needs("libc.so.6").imports("PyArg_ParseTuple", None).flags(8);
    case(plugin()).check(&[], &["note undefined-symbol app"]);
    // Nobody brings a version of glibc's.
    let plugin = plugin().imports("fnord", Some(("libc.so.6", "GLIBC_2.34")));
    case(plugin)
        .check(&[], &["error undefined-symbol app libc.so.6 GLIBC_2.34", "note undefined-symbol app"]);
}

#[test]
fn the_symbols_of_gccs_libraries_are_known_without_the_builds_copy() {
    let check = |soname: &str, symbol: &str, node: Option<&str>, findings: &[&str]| {
        let version = node.map(|node| (soname, node));
        case(app().needs(soname).imports(symbol, version).flags(8)).check(&[], findings);
    };
    check("libgcc_s.so.1", "_Unwind_Resume", Some("GCC_3.0"), &[]);
    check("libgcc_s.so.1", "foo_new", None, &["error undefined-symbol app"]);
    check("libstdc++.so.6", "_ZSt4cout", Some("GLIBCXX_3.4"), &[]);
    check("libstdc++.so.6", "_ZSt4cerr2", None, &["error undefined-symbol app"]);
    check(
        "libstdc++.so.6",
        "_ZSt4cerr2",
        Some("GLIBCXX_3.4"),
        &["error undefined-symbol app libstdc++.so.6 GLIBCXX_3.4"],
    );
}

#[test]
fn a_symbol_of_a_system_library_that_the_build_lacks_is_unknown() {
    case(app().needs("libsqlite3.so.0").imports("sqlite3_fnord", None).flags(8))
        .check(&[], &["warning undefined-symbol app"]);
    // glibc's are listed.
    case(app().needs("libc.so.6").imports("fnord", None).flags(8))
        .check(&[], &["error undefined-symbol app"]);
}

#[test]
fn a_program_for_another_machine_is_refused() {
    let case = case(Object::program().arm64().needs("libc.so.6"));
    case.check(&[], &["error interpreter-missing app", "error wrong-arch app"]);
}

#[test]
fn a_segment_that_lambdas_loader_cannot_map_is_refused() {
    // The fixture's segment is 0x10000 away from its offset; a later glibc only looks at pages.
    let of_align = |align: u64| {
        let built = library("libfoo.so.1").build();
        let at = built.header(PT_LOAD) + 48;
        Arc::new(elf::parse(&built.put_u64(at, align).bytes).unwrap())
    };
    let path = format!("{BUILD_LIB}/libfoo.so.1");
    for (align, findings) in
        [(0x1000, &[][..]), (0x10000, &[]), (0x20_0000, &["error not-elf lib/libfoo.so.1 libfoo.so.1"])]
    {
        case(app().needs("libfoo.so.1")).facts_at(&path, of_align(align)).check(&["libfoo.so.1"], findings);
    }
}

#[test]
fn a_library_for_a_later_kernel_is_passed_over() {
    let library_foo = |kernel| library("libfoo.so.1").abi_tag(kernel);
    let app = || app().needs("libfoo.so.1");
    case(app()).has("libfoo.so.1", library_foo([3, 2, 0])).check(&["libfoo.so.1"], &[]);
    case(app())
        .has("libfoo.so.1", library_foo([6, 1, 0]))
        .check(&["libfoo.so.1"], &["error missing-library app libfoo.so.1"]);
}

/// A runtime with glibc 2.34 and these objects.
fn runtime_with(objects: &str) -> String {
    format!(
        "runtime test\narch x86_64\nrecorded 2026-01-01\nglibc 2.34\ncomplete yes\n\
         interpreter /lib64/ld-linux-x86-64.so.2\ndefault-dirs /lib64 /usr/lib64\n\
         library-path /lib64:/usr/lib64:/var/task:/var/task/lib:/opt/lib\n\
         evidence X a test\n\
         object ld-linux-x86-64.so.2\n  presence present\n  evidence derived X\n  nodes GLIBC_2.3\n  nodes-from high X\n\
         object libc.so.6\n  presence present\n  evidence derived X\n  nodes GLIBC_2.2.5 GLIBC_2.34\n  nodes-from high X\n\
         {objects}"
    )
}

/// A runtime whose `libfoo.so.1` has the node FOO_1; `lines` are further ones of it.
fn with_foo(lines: &str, others: &str) -> String {
    runtime_with(&format!(
        "object libfoo.so.1\n  {lines}  presence present\n  evidence derived X\n  nodes FOO_1\n  nodes-from high X\n{others}"
    ))
}

/// A program that needs a version of `libfoo.so.1` which the runtime's copy lacks.
fn wants_foo_2() -> Object {
    app().needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"])
}

fn foo(nodes: &[&str]) -> Object {
    library("libfoo.so.1").verdef(nodes)
}

const OTHER: &str = "object libother.so.1\n  presence present\n  evidence derived X\n";

#[test]
fn a_copy_with_all_the_nodes_displaces_the_systems() {
    let mut case = case(wants_foo_2().needs("libother.so.1"))
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1"], &[]);
}

#[test]
fn nothing_is_displaced_without_leave() {
    case(wants_foo_2())
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
        .baseline(&with_foo("", ""))
        .check(&[], &["error version-too-new app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_copy_that_lacks_a_node_may_hurt_the_systems_others() {
    let mut case = case(wants_foo_2().needs("libother.so.1"))
        .has("libfoo.so.1", foo(&["FOO_2"]))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER));
    case.may_edit = true;
    case.check(&[], &["error repair-conflict app libfoo.so.1 FOO_2"]);
}

#[test]
fn with_nobody_to_be_hurt_any_copy_that_fits_may_be_pinned() {
    let mut case = case(wants_foo_2()).has("libfoo.so.1", foo(&["FOO_2"])).baseline(&with_foo("", ""));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1"], &[]);
}

#[test]
fn what_the_copy_itself_needs_comes_along_where_that_leaves_nobody() {
    let mut case = case(wants_foo_2())
        .has("libfoo.so.1", foo(&["FOO_2"]).needs("libother.so.1"))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1", "pinned libother.so.1"], &[]);
}

#[test]
fn a_pin_for_want_of_others_goes_when_others_turn_up() {
    // Ours needs `liblate.so.1`, which is shipped and needs a library of the system's.
    let mut case = case(wants_foo_2())
        .has("libfoo.so.1", foo(&["FOO_2"]).needs("liblate.so.1"))
        .has("liblate.so.1", library("liblate.so.1").needs("libother.so.1"))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER));
    case.may_edit = true;
    case.check(&[], &["error repair-conflict app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_copy_that_does_not_fit_itself_is_not_pinned() {
    let mut case = case(wants_foo_2())
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]).verneed("libc.so.6", &["GLIBC_2.36"]))
        .baseline(&with_foo("", ""));
    case.may_edit = true;
    case.check(&[], &["error repair-conflict app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_copy_that_only_later_images_load_is_no_better_than_their_own() {
    // GLIBCXX_3.4.30 and GLIBC_2.35 both came later.
    let mut case = case(app().needs("libstdc++.so.6").verneed("libstdc++.so.6", &["GLIBCXX_3.4.30"])).has(
        "libstdc++.so.6",
        library("libstdc++.so.6").verdef(&["GLIBCXX_3.4.30"]).verneed("libc.so.6", &["GLIBC_2.35"]),
    );
    case.may_edit = true;
    case.check(&[], &["warning version-recent app libstdc++.so.6 GLIBCXX_3.4.30"]);
}

#[test]
fn a_package_comes_whole() {
    let bar = "object libbar.so.1\n  package foo\n  presence present\n  evidence derived X\n  nodes BAR_1\n  nodes-from high X\n";
    let case = |bar_nodes: &[&str]| {
        let mut case = case(wants_foo_2().needs("libbar.so.1").needs("libother.so.1"))
            .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
            .has("libbar.so.1", library("libbar.so.1").verdef(bar_nodes))
            .has("libother.so.1", library("libother.so.1"))
            .baseline(&with_foo("package foo\n", &format!("{bar}{OTHER}")));
        case.may_edit = true;
        case
    };
    case(&["BAR_1"]).check(&["pinned libbar.so.1", "pinned libfoo.so.1"], &[]);
    case(&["BAR_2"]).check(&[], &["error repair-conflict app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_librarys_runpath_does_not_keep_the_pinned_copy_from_it() {
    let mut case = case(app().needs("libuser.so.1"))
        .has(
            "libuser.so.1",
            library("libuser.so.1")
                .needs("libfoo.so.1")
                .verneed("libfoo.so.1", &["FOO_2"])
                .runpath("/opt/acme"),
        )
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
        .baseline(&with_foo("", ""));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1", "libuser.so.1"], &[]);
}

#[test]
fn glibc_is_never_displaced() {
    let mut case = case(app().verneed("libc.so.6", &["GLIBC_2.38"])).has("libc.so.6", library("libc.so.6"));
    case.may_edit = true;
    case.check(&[], &["error version-too-new app libc.so.6 GLIBC_2.38"]);
}

#[test]
fn a_program_that_was_linked_to_look_there_first_needs_no_edit() {
    let linked = |path: &str| {
        let mut program = wants_foo_2();
        program = program.rpath(path);
        case(program).has("libfoo.so.1", foo(&["FOO_1", "FOO_2"])).baseline(&with_foo("", ""))
    };
    let edits = linked("/var/task/lib/pinned:$ORIGIN").edits(&["pinned libfoo.so.1"], &[]);
    assert_eq!(edits, []);
    linked("/var/task/lib").check(&[], &["error version-too-new app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_wish_is_granted_where_a_pin_would_be() {
    let wish = |nodes: &[&str]| {
        let mut case =
            case(app().needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_1"]).needs("libother.so.1"))
                .has("libfoo.so.1", foo(nodes))
                .has("libother.so.1", library("libother.so.1"))
                .baseline(&with_foo("", OTHER));
        case.may_edit = true;
        case.prefer = vec!["libfoo*".into()];
        case
    };
    wish(&["FOO_1", "FOO_2"]).check(&["pinned libfoo.so.1"], &[]);
    wish(&["FOO_2"]).check(&[], &["error repair-conflict app libfoo.so.1"]);
}

#[test]
fn an_older_libglib_does_not_come_under_the_systems_libgio() {
    // Neither has version nodes: the file names tell. The runtime's libgio was built with its own libglib.
    let with = |program: Object| {
        let mut case = case(program.needs("libgio-2.0.so.0").needs("libglib-2.0.so.0"));
        for name in ["libgio-2.0.so.0", "libglib-2.0.so.0"] {
            let file = format!("{BUILD_LIB}/{name}.6600.8");
            case = case.at(&file, library(name)).link(&format!("{BUILD_LIB}/{name}"), &file);
        }
        case.may_edit = true;
        case.prefer = vec!["libglib-2.0.so.0".into()];
        case.has("libz.so.1", library("libz.so.1"))
    };
    with(app().needs("libz.so.1")).check(&[], &["error repair-conflict app libglib-2.0.so.0"]);
    // Their whole package, and nobody else who could be hurt.
    with(app()).check(&["pinned libgio-2.0.so.0", "pinned libglib-2.0.so.0"], &[]);
}

#[test]
fn a_path_in_needed_is_shipped_and_stays_a_path() {
    // Under its plain name the runtime's zlib would come between.
    let mut case = case(app().needs("/opt/acme/libz.so.1").verneed("/opt/acme/libz.so.1", &["ACME_1"]))
        .at("/opt/acme/libz.so.1", library("libz.so.1").verdef(&["ACME_1"]));
    case.may_edit = true;
    let edits = case.edits(&["libz.so.1 from /opt/acme/libz.so.1"], &[]);
    let renamed = vec![("/opt/acme/libz.so.1".to_owned(), "/var/task/lib/libz.so.1".to_owned())];
    assert_eq!(edits, [("app".to_owned(), Edits { rename_needed: renamed, ..Edits::default() })]);
}

#[test]
fn two_paths_to_files_of_one_name_are_not_shipped_as_one() {
    let mut case = case(app().needs("/opt/a/libfoo.so").needs("/opt/b/libfoo.so"))
        .at("/opt/a/libfoo.so", library("libfoo.so"))
        .at("/opt/b/libfoo.so", library("libfoo.so"));
    case.may_edit = true;
    case.check(&["libfoo.so from /opt/a/libfoo.so"], &["error missing-library app /opt/b/libfoo.so"]);
}

#[test]
fn an_interpreter_elsewhere_becomes_the_runtimes() {
    const NIX: &str = "/nix/store/abc-glibc-2.34/lib/ld-linux-x86-64.so.2";
    let nix = || case(app().interpreter(NIX)).at(NIX, loader());
    nix().check(&[], &["error interpreter-missing app"]);
    let mut nix = nix();
    nix.may_edit = true;
    let edits = nix.edits(&[], &[]);
    let interpreter = Some("/lib64/ld-linux-x86-64.so.2".to_owned());
    assert_eq!(edits, [("app".to_owned(), Edits { interpreter, ..Edits::default() })]);
}

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn loader() -> Object {
    Object::library("ld-linux-x86-64.so.2").verdef(&["GLIBC_2.3"])
}

/// A program that needs a glibc which no runtime has, and a build world that has it.
fn too_new() -> Case {
    let libc = Object::library("libc.so.6").needs("ld-linux-x86-64.so.2").verdef(&[
        "GLIBC_2.2.5",
        "GLIBC_2.34",
        "GLIBC_2.38",
        "GLIBC_ABI_DT_RELR",
    ]);
    let mut case = case(app().verneed("libc.so.6", &["GLIBC_2.38"]).needs("libz.so.1"))
        .at(LOADER, loader())
        .has("libc.so.6", libc)
        .has("libm.so.6", library("libm.so.6"))
        .has("libnss_files.so.2", library("libnss_files.so.2"))
        .has("libz.so.1", library("libz.so.1").needs("libm.so.6").runpath("$ORIGIN:/usr/lib64"));
    case.may_edit = true;
    case.libc = LibcSource::Bundle;
    case
}

const PRIVATE: &[&str] = &[
    "private ld-linux-x86-64.so.2",
    "private libc.so.6",
    "private libm.so.6",
    "private libnss_files.so.2",
    "private libz.so.1",
];

#[test]
fn a_libc_of_its_own_comes_with_everything() {
    let edits = too_new().edits(PRIVATE, &["warning libc-bundled app"]);
    let program = Edits {
        interpreter: Some("/var/task/libc/ld-linux-x86-64.so.2".into()),
        rpath: Some("/var/task/libc".into()),
        // Nobody can bring in another glibc's part of what is loaded already.
        add_needed: vec!["libm.so.6".into()],
        ..Edits::default()
    };
    // Its RUNPATH would keep the program's RPATH from serving its needs.
    let library = Edits { drop_runpath: true, ..Edits::default() };
    assert_eq!(edits, [("app".into(), program), ("libz.so.1".into(), library)]);
}

#[test]
fn a_libc_of_its_own_knows_packed_relocations() {
    let mut case = too_new();
    case.program = case.program.relr(24);
    case.check(PRIVATE, &["warning libc-bundled app"]);
}

#[test]
fn nothing_of_the_systems_may_load_beside_a_libc_of_its_own() {
    let mut case = too_new();
    case.exclude = vec!["libz.so.1".into()];
    let without: Vec<&str> = PRIVATE.iter().copied().filter(|name| *name != "private libz.so.1").collect();
    case.check(&without, &["error libc-mixed libz.so.1", "warning libc-bundled app"]);
}

#[test]
fn a_libc_of_its_own_may_be_too_old_as_well() {
    let mut case = too_new();
    case.program = case.program.verneed("libc.so.6", &["GLIBC_2.39"]);
    case.check(PRIVATE, &["error version-too-new app libc.so.6 GLIBC_2.39", "warning libc-bundled app"]);
}

#[test]
fn without_the_interpreter_there_is_no_libc_of_its_own() {
    let mut case = case(app().interpreter("/nix/store/abc-glibc/lib/ld-other.so.2"));
    case.may_edit = true;
    case.libc = LibcSource::Bundle;
    case.check(&[], &["error interpreter-missing app"]);
}

#[test]
fn a_static_program_has_no_libc_to_bring() {
    let mut case = case(Object::static_pie());
    case.may_edit = true;
    case.libc = LibcSource::Bundle;
    case.check(&[], &[]);
}

#[test]
fn rows_share_their_facts() {
    // The plan tells objects apart by their facts; a fixture's facts must be its own.
    assert!(!Arc::ptr_eq(&library("liba.so.1").facts(), &library("liba.so.1").facts()));
}

/// A system's object with these nodes; `package` may be empty.
fn object(soname: &str, package: &str, nodes: &str) -> String {
    let package = if package.is_empty() { String::new() } else { format!("  package {package}\n") };
    format!(
        "object {soname}\n{package}  presence present\n  evidence derived X\n  nodes {nodes}\n  nodes-from high X\n"
    )
}

/// Our libcrypto lacks C_2 and brings libmid, which needs the system's libz.
fn half_a_package(program: Object) -> Case {
    let table = [
        object("libcrypto.so.3", "openssl-libs", "C_0 C_2"),
        object("libssl.so.3", "openssl-libs", "S_0"),
        object("libz.so.1", "zlib", "Z_0 Z_9"),
    ];
    let mut case =
        case(program.needs("libssl.so.3").needs("libcrypto.so.3").verneed("libcrypto.so.3", &["C_0"]))
            .has("libssl.so.3", library("libssl.so.3").verdef(&["S_0", "S_2"]))
            .has("libcrypto.so.3", library("libcrypto.so.3").verdef(&["C_0"]).needs("libmid.so.1"))
            .has("libmid.so.1", library("libmid.so.1").needs("libz.so.1").verneed("libz.so.1", &["Z_9"]))
            .has("libz.so.1", library("libz.so.1").verdef(&["Z_0", "Z_9"]))
            .baseline(&runtime_with(&table.concat()));
    case.may_edit = true;
    case
}

#[test]
fn a_pin_that_is_taken_back_takes_its_package_along() {
    half_a_package(app().verneed("libssl.so.3", &["S_2"]))
        .check(&[], &["error repair-conflict app libssl.so.3 S_2"]);
}

#[test]
fn a_wish_whose_pin_is_taken_back_is_answered() {
    let mut case = half_a_package(app().verneed("libssl.so.3", &["S_0"]));
    case.prefer = vec!["libssl*".into()];
    case.check(&[], &["error repair-conflict app libssl.so.3"]);
}

#[test]
fn a_wish_is_answered_where_nothing_may_be_edited() {
    let mut case =
        case(app().needs("libfoo.so.1")).has("libfoo.so.1", foo(&["FOO_1"])).baseline(&with_foo("", ""));
    case.prefer = vec!["libfoo*".into()];
    case.check(&[], &["error repair-conflict app libfoo.so.1"]);
}

#[test]
fn a_package_comes_whole_though_a_part_of_it_shows_late() {
    let late = |tinfo: Object| {
        let table = [
            object("libncursesw.so.6", "ncurses-libs", "none"),
            object("libtinfo.so.6", "ncurses-libs", "TINFO_1"),
            object("libz.so.1", "zlib", "Z_0"),
        ];
        // What a table's library needs is not known: libtinfo is seen only once ours is pinned.
        let mut case = case(app().needs("libncursesw.so.6").needs("libz.so.1"))
            .at(
                &format!("{BUILD_LIB}/libncursesw.so.6.9"),
                library("libncursesw.so.6").needs("libtinfo.so.6"),
            )
            .link(&format!("{BUILD_LIB}/libncursesw.so.6"), "libncursesw.so.6.9")
            .has("libtinfo.so.6", tinfo)
            .has("libz.so.1", library("libz.so.1").verdef(&["Z_0"]))
            .baseline(&runtime_with(&table.concat()).replace(
                "object libncursesw.so.6\n",
                "object libncursesw.so.6\n  file libncursesw.so.6.2\n",
            ));
        case.may_edit = true;
        case.prefer = vec!["libncursesw.so.6".into()];
        case
    };
    late(library("libtinfo.so.6").verdef(&["TINFO_1", "TINFO_2"]))
        .check(&["pinned libncursesw.so.6", "pinned libtinfo.so.6"], &[]);
    late(library("libtinfo.so.6").verdef(&["TINFO_2"])).check(
        &[],
        &[
            "error repair-conflict app libncursesw.so.6",
            "warning version-skew libncursesw.so.6 libncursesw.so.6",
        ],
    );
}

#[test]
fn a_librarys_own_rpath_does_not_keep_the_pinned_copy_from_it() {
    let user = || library("libuser.so.1").needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"]);
    let of = |user: Object| {
        let mut case = case(app().needs("libuser.so.1"))
            .has("libuser.so.1", user)
            .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
            .baseline(&with_foo("", ""));
        case.may_edit = true;
        case
    };
    of(user().rpath("/usr/lib64")).check(&["pinned libfoo.so.1", "libuser.so.1"], &[]);
    let edits =
        of(user().rpath("/usr/lib64:$ORIGIN/more")).edits(&["pinned libfoo.so.1", "libuser.so.1"], &[]);
    let rpath = Some("/var/task/lib/pinned:$ORIGIN/more".to_owned());
    assert_eq!(edits[1], ("libuser.so.1".to_owned(), Edits { rpath, ..Edits::default() }));
}

/// The program looks for pinned copies by itself; nothing may be edited.
fn unedited(user: Object) -> Case {
    case(app().needs("libuser.so.1").rpath("/var/task/lib/pinned"))
        .has("libuser.so.1", user.needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"]))
        .has("libfoo.so.1", foo(&["FOO_2"]).needs("libother.so.1").rpath("/usr/lib64"))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER))
}

#[test]
fn a_pin_that_cannot_win_is_given_up() {
    // The copy's own DT_RPATH leads to the system's libother, whatever is pinned.
    unedited(library("libuser.so.1"))
        .check(&["libuser.so.1"], &["error repair-conflict libuser.so.1 libfoo.so.1 FOO_2"]);
    // Any DT_RUNPATH keeps the program's DT_RPATH from serving the library's needs.
    unedited(library("libuser.so.1").runpath("/opt/acme"))
        .check(&["libuser.so.1"], &["error repair-conflict libuser.so.1 libfoo.so.1 FOO_2"]);
    // With leave to edit, all of it is pinned.
    let mut case = unedited(library("libuser.so.1").runpath("/opt/acme"));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1", "pinned libother.so.1", "libuser.so.1"], &[]);
}

#[test]
fn a_layers_copy_that_does_not_fit_does_not_keep_ours_out() {
    let with = |nodes: &[&str]| {
        let mut case = case(app().needs("libq.so.1").verneed("libq.so.1", &["Q_2"]))
            .has("libq.so.1", library("libq.so.1").verdef(&["Q_1", "Q_2"]))
            .layer("libq.so.1", library("libq.so.1").verdef(nodes));
        case.may_edit = true;
        case
    };
    with(&["Q_1"]).check(&["libq.so.1"], &[]);
    with(&["Q_1", "Q_2"]).check(&[], &[]);
    let mut wish = with(&["Q_1", "Q_2"]);
    wish.prefer = vec!["libq*".into()];
    wish.check(&["libq.so.1"], &[]);
    // Where the layer's comes first, ours would be there in vain.
    let mut last = with(&["Q_1"]);
    last.lambda_library_path = Some("/lib64:/opt/lib:/var/task/lib");
    last.check(&[], &["error version-too-new app libq.so.1 Q_2"]);
}

#[test]
fn two_names_of_one_file_stay_one_where_one_is_pinned() {
    let of = |program: Object| {
        let mut case = case(program)
            .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
            .link(&format!("{BUILD_LIB}/libalias.so"), "libfoo.so.1")
            .baseline(&with_foo("", ""));
        case.may_edit = true;
        case
    };
    // The alias is met first, and the file answers to the SONAME: nothing need be pinned.
    of(app().needs("libalias.so").needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"]))
        .check(&[&format!("libalias.so from {BUILD_LIB}/libfoo.so.1")], &[]);
    of(wants_foo_2().needs("libalias.so"))
        .check(&["libalias.so -> pinned/libfoo.so.1", "pinned libfoo.so.1"], &[]);
}

#[test]
fn a_need_by_path_follows_its_file_where_it_is_pinned() {
    let path = format!("{BUILD_LIB}/libfoo.so.1");
    let mut case = case(wants_foo_2().needs("libother2.so.1"))
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
        .has("libother2.so.1", library("libother2.so.1").needs(&path))
        .baseline(&with_foo("", ""));
    case.may_edit = true;
    let edits = case.edits(&["pinned libfoo.so.1", "libother2.so.1"], &[]);
    let renamed = vec![(path, "/var/task/lib/pinned/libfoo.so.1".to_owned())];
    assert_eq!(edits[1], ("libother2.so.1".to_owned(), Edits { rename_needed: renamed, ..Edits::default() }));
}

#[test]
fn what_is_excluded_is_excluded_by_path_too() {
    let mut case =
        case(app().needs("/opt/acme/libfoo.so.1")).at("/opt/acme/libfoo.so.1", library("libfoo.so.1"));
    case.may_edit = true;
    case.exclude = vec!["libfoo*".into()];
    case.check(&[], &["error missing-library app /opt/acme/libfoo.so.1"]);
}

#[test]
fn a_library_that_is_opened_by_a_path_is_shipped_and_opened_there() {
    let mut case = case(app()).at("/opt/acme/plug.so", library("plug.so"));
    case.extra = vec!["/opt/acme/plug.so".into()];
    case.check(&["plug.so from /opt/acme/plug.so"], &[]);
}

#[test]
fn a_part_of_glibc_is_not_shipped_by_path_either() {
    let mut case = case(app().needs("/x/libm.so.6")).at("/x/libm.so.6", library("libm.so.6"));
    case.may_edit = true;
    case.check(&[], &["error missing-library app /x/libm.so.6"]);
}

#[test]
fn a_file_that_takes_a_soname_of_the_runtimes_goes_by_the_rules_of_pinning() {
    // The runtime's libother may need libfoo.so.1, and would get the file that was loaded under a path.
    let taking = |nodes: &[&str], others: &str| {
        let mut case = case(app().needs("/x/libfoo.so.1").needs("libother.so.1"))
            .at("/x/libfoo.so.1", foo(nodes))
            .has("libother.so.1", library("libother.so.1"))
            .baseline(&with_foo("package foo\n", others));
        case.may_edit = true;
        case
    };
    let shipped = "libfoo.so.1 from /x/libfoo.so.1";
    taking(&["FOO_2"], OTHER).check(&[shipped], &["error repair-conflict app libfoo.so.1"]);
    // Pinned, so that libother gets it, whenever it asks.
    taking(&["FOO_1", "FOO_2"], OTHER).check(&["pinned libfoo.so.1"], &[]);
    // Nobody is there to be hurt.
    taking(&["FOO_2"], "").check(&[shipped, "libother.so.1"], &[]);
    // libother is of the same package, and comes along or not at all.
    let mate = object("libother.so.1", "foo", "OTHER_1");
    taking(&["FOO_1"], &mate).check(&["pinned libfoo.so.1", "pinned libother.so.1"], &[]);
    let third = object("libthird.so.1", "", "THIRD_1");
    let mut whole = taking(&["FOO_1"], &format!("{}{third}", object("libother.so.1", "foo", "none")));
    whole.program = whole.program.needs("libthird.so.1");
    whole = whole.has("libthird.so.1", library("libthird.so.1"));
    let file = format!("{BUILD_LIB}/libother.so.1.9");
    whole.files.retain(|(path, _)| !path.ends_with("/libother.so.1"));
    whole = whole.at(&file, library("libother.so.1")).link(&format!("{BUILD_LIB}/libother.so.1"), &file);
    whole.check(&[shipped], &["error repair-conflict app libfoo.so.1"]);
}

#[test]
fn a_need_from_the_needing_files_own_directory_is_shipped() {
    // As the Pythons of python-build-standalone have it.
    let mut case = case(app().needs("$ORIGIN/../lib/libpython3.12.so.1.0").needs("libuser.so.1"))
        .at("/build/app", app())
        .at("/lib/libpython3.12.so.1.0", library("libpython3.12.so.1.0"))
        .has("libuser.so.1", library("libuser.so.1").needs("libpython3.12.so.1.0"));
    case.may_edit = true;
    let edits = case.edits(&["libpython3.12.so.1.0 from /lib/libpython3.12.so.1.0", "libuser.so.1"], &[]);
    let renamed = vec![(
        "$ORIGIN/../lib/libpython3.12.so.1.0".to_owned(),
        "/var/task/lib/libpython3.12.so.1.0".to_owned(),
    )];
    assert_eq!(edits, [("app".to_owned(), Edits { rename_needed: renamed, ..Edits::default() })]);
}

/// Asserts which nodes a program, `app`, and its libraries no longer ask for, which names they take, and what they
/// need beside: rows of `object: nodes | old=new names | needs`.
#[track_caller]
fn rebinds(mut case: Case, shipped: &[&str], findings: &[&str], expected: &[&str]) {
    case.may_edit = true;
    let edits = case.edits(shipped, findings);
    let line = |(object, edits): (String, Edits)| {
        let nodes: Vec<String> = edits.unbind.into_iter().map(|node| node.node).collect();
        let names: Vec<String> =
            edits.rename_symbols.iter().map(|(from, to)| format!("{from}={to}")).collect();
        format!("{object}: {} | {} | {}", nodes.join(" "), names.join(" "), edits.add_needed.join(" "))
    };
    assert_eq!(edits.into_iter().map(line).collect::<Vec<_>>(), expected);
}

const LIBC_2_38: Option<(&str, &str)> = Some(("libc.so.6", "GLIBC_2.38"));
const LIBC_2_39: Option<(&str, &str)> = Some(("libc.so.6", "GLIBC_2.39"));
const LIBM_2_38: Option<(&str, &str)> = Some(("libm.so.6", "GLIBC_2.38"));

#[test]
fn references_lose_a_version_that_the_runtime_lacks() {
    rebinds(case(app().imports_weak("pidfd_spawnp", LIBC_2_39)), &[], &[], &["app: GLIBC_2.39 |  | "]);
    rebinds(case(app().needs("libm.so.6").imports("fmod", LIBM_2_38)), &[], &[], &["app: GLIBC_2.38 |  | "]);
    let names = ["__isoc23_strtol=strtol", "__isoc23_sscanf=__isoc99_sscanf"];
    rebinds(
        case(app().imports("__isoc23_strtol", LIBC_2_38).imports("__isoc23_sscanf", LIBC_2_38)),
        &[],
        &[],
        &[&format!("app: GLIBC_2.38 | {} | ", names.join(" "))],
    );
    rebinds(
        case(app().imports("strlcpy", LIBC_2_38)),
        &[],
        &[],
        &["app: GLIBC_2.38 |  | liblambda-bundle-compat.so.1"],
    );
    let foo = library("libfoo.so.1").imports("arc4random", Some(("libc.so.6", "GLIBC_2.36")));
    rebinds(
        case(app().needs("libfoo.so.1")).has("libfoo.so.1", foo),
        &["libfoo.so.1"],
        &[],
        &["libfoo.so.1: GLIBC_2.36 |  | liblambda-bundle-compat.so.1"],
    );
}

#[test]
fn a_node_is_left_alone_unless_every_reference_can_be_rebound() {
    let too_new = &["error version-too-new app libc.so.6 GLIBC_2.38"];
    let strong = app().imports("__isoc23_strtol", LIBC_2_38).imports("mbrtoc8", LIBC_2_38);
    rebinds(case(strong), &[], too_new, &[]);
    // A weak reference to what the runtime has under another version would take that one.
    rebinds(case(app().imports_weak("strtol", LIBC_2_38)), &[], too_new, &[]);
    rebinds(
        case(app().needs("libm.so.6").imports("pow", LIBM_2_38)),
        &[],
        &["error version-too-new app libm.so.6 GLIBC_2.38"],
        &[],
    );
    rebinds(case(app().verneed("libc.so.6", &["GLIBC_2.38"])), &[], too_new, &[]);
    let relr = app().verneed("libc.so.6", &["GLIBC_ABI_DT_RELR"]);
    rebinds(case(relr), &[], &["error version-too-new app libc.so.6 GLIBC_ABI_DT_RELR"], &[]);
    // Another node of the file is rebound all the same.
    let both = app().imports("mbrtoc8", LIBC_2_38).imports_weak("pidfd_getpid", LIBC_2_39);
    rebinds(case(both), &[], too_new, &["app: GLIBC_2.39 |  | "]);
}

#[test]
fn a_name_that_is_weak_in_one_file_and_strong_in_another_is_rebound_in_the_one() {
    let foo = library("libfoo.so.1").imports("pidfd_spawnp", LIBC_2_39);
    rebinds(
        case(app().needs("libfoo.so.1").imports_weak("pidfd_spawnp", LIBC_2_39)).has("libfoo.so.1", foo),
        &["libfoo.so.1"],
        &["error version-too-new libfoo.so.1 libc.so.6 GLIBC_2.39"],
        &["app: GLIBC_2.39 |  | "],
    );
}

#[test]
fn what_a_file_of_the_bundle_defines_is_bound_to_it() {
    // The library comes before libc.so.6, and answers references of both kinds: it was meant before.
    let mine = library("libmine.so.1").defines("__isoc23_strtol", None);
    rebinds(
        case(app().needs("libmine.so.1").imports("__isoc23_strtol", LIBC_2_38)).has("libmine.so.1", mine),
        &["libmine.so.1"],
        &[],
        &["app: GLIBC_2.38 |  | "],
    );
    let bsd = library("libbsd.so.0").verdef(&["LIBBSD_0.0"]).defines("strlcpy", Some("LIBBSD_0.0"));
    rebinds(
        case(app().needs("libbsd.so.0").imports("strlcpy", LIBC_2_38)).has("libbsd.so.0", bsd),
        &["libbsd.so.0"],
        &[],
        &["app: GLIBC_2.38 |  | "],
    );
    // Under a version of its own it answered nobody who asked for glibc's; without a version it would.
    let versioned = library("libmine.so.1").verdef(&["MINE_1"]).defines("pidfd_spawnp", Some("MINE_1"));
    rebinds(
        case(app().needs("libmine.so.1").imports_weak("pidfd_spawnp", LIBC_2_39))
            .has("libmine.so.1", versioned),
        &["libmine.so.1"],
        &["error version-too-new app libc.so.6 GLIBC_2.39"],
        &[],
    );
}

#[test]
fn a_strtol_of_the_programs_own_does_not_come_between() {
    let foo = library("libfoo.so.1").imports("__isoc23_strtol", LIBC_2_38);
    rebinds(
        case(app().needs("libfoo.so.1").defines("strtol", None)).has("libfoo.so.1", foo),
        &["libfoo.so.1"],
        &["error version-too-new libfoo.so.1 libc.so.6 GLIBC_2.38"],
        &[],
    );
}

#[test]
fn nothing_is_rebound_without_leave_or_with_a_libc_of_its_own() {
    let program = app().imports_weak("pidfd_spawnp", LIBC_2_39);
    let edits = case(program).edits(&[], &["error version-too-new app libc.so.6 GLIBC_2.39"]);
    assert_eq!(edits, []);
}
