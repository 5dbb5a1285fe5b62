//! The C library and its loader.

use super::{Cause, Code, Finding, Owner, Severity, Subject, chain, label};
use crate::baseline::is_glibc_part;
use crate::elf::{ElfFacts, Libc, Linkage, ObjectType};
use crate::lambda::Walked;
use crate::loader::{Closure, Rule};
use crate::paths::file_name;
use crate::plan::NotShipped;
use crate::world::Object;

pub(super) fn libc_bundled(subject: &Subject, walked: &Walked) -> Finding {
    let (name, libc) = (subject.name, walked.libc().as_str());
    let with = format!("with the {libc} of the bundle, which AWS does not patch");
    let finding = Finding::new(Code::LibcBundled, name, format!("`{name}` runs {with}"))
        .help("bundle again when that C library gets a security fix")
        .cause(Cause::objects(format!("run {with}")));
    match walked.libc() {
        Libc::Musl => finding,
        // Source: the paths of gconv modules, locales and NSS modules are built into glibc.
        _ => finding
            .detail("iconv beyond Unicode, locales and NSS modules beyond files and dns may not be found"),
    }
}

/// Reports a library of the runtime in a process with the bundle's C library.
pub(super) fn beside_own_libc(subject: &Subject, walked: &Walked, index: usize) -> Finding {
    let label = label(subject, &walked.closure, index);
    let mut finding = Finding::new(
        Code::LibcMixed,
        &label,
        format!(
            "`{label}` of {} would load beside the {} of the bundle",
            subject.lambda.label(),
            walked.libc().as_str()
        ),
    )
    .detail("it was not built for that C library");
    let (help, for_all) = match subject.build.not_shipped.get(&label) {
        Some(NotShipped::Excluded) => (
            format!("remove the `--exclude-lib` pattern that matches `{label}`"),
            "remove the `--exclude-lib` patterns that match them",
        ),
        _ if matches!(subject.owner, Owner::Archive) => {
            let help = "let `cargo lambda-bundle --libc bundle` write the archive";
            (help.to_owned(), help)
        }
        _ => (
            format!("name a directory that has `{label}` with `--library-path DIR`"),
            "name the directories that have them with `--library-path DIR`",
        ),
    };
    finding.help = Some(help);
    let cause = Cause::objects(format!(
        "of {} would load beside the {} of the bundle",
        subject.lambda.label(),
        walked.libc().as_str()
    ))
    .detail("they were not built for that C library");
    finding.cause = Some(cause.help(for_all));
    finding.chain = chain(subject, &walked.closure, index);
    finding
}

/// Reports GLIBC_PRIVATE symbols. The version is always there, but its symbols may change with any build of glibc:
/// the runtime may lack tomorrow what it has today. For a captured runtime the symbols are those of its files;
/// [`symbols`] reports those that a listed runtime lacks.
pub(super) fn private_symbols(
    subject: &Subject,
    closure: &Closure,
    index: usize,
    elf: &ElfFacts,
) -> Vec<Finding> {
    let label = label(subject, closure, index);
    if is_glibc_part(&label) {
        return Vec::new();
    }
    let is_listed = |file: &String| {
        let mut answering = closure.objects.iter().filter(|object| object.names.contains(file));
        answering.next().is_some_and(
            |object| matches!(&object.file.object, Object::System(system) if system.facts.is_none()),
        )
    };
    let private = |need: &&crate::elf::VersionNeed| need.node == "GLIBC_PRIVATE" && is_listed(&need.file);
    let finding = |need: &crate::elf::VersionNeed| {
        let mut finding = Finding::new(
            Code::LibcMixed,
            &label,
            format!(
                "`{label}` uses private symbols of `{}`, which an update of the runtime may change",
                need.file
            ),
        )
        .soname(&need.file)
        .detail(format!(
            "their symbol version is GLIBC_PRIVATE, and other images of {} may not have them",
            subject.lambda.label()
        ))
        .cause(Cause::objects(format!(
            "use private symbols of `{}`, which an update of the runtime may change",
            need.file
        )));
        finding.severity = Severity::Warning;
        finding.versions = vec![need.node.clone()];
        finding.symbols = elf.symbols_needing(&need.file, &[&need.node]);
        finding.chain = chain(subject, closure, index);
        if !matches!(subject.owner, Owner::Archive) && subject.program.linkage() != Linkage::SharedLibrary {
            finding.help = Some("ship the glibc that it was built with: `--libc bundle`".to_owned());
        }
        finding
    };
    elf.verneed.iter().filter(private).map(finding).collect()
}

pub(super) fn interpreter_missing(subject: &Subject, path: &str) -> Finding {
    let (name, lambda) = (subject.name, subject.lambda);
    let finding = Finding::new(
        Code::InterpreterMissing,
        name,
        format!("`{name}` names the interpreter `{path}`, which {} does not have", lambda.label()),
    )
    .detail("its start would fail with \"no such file or directory\"");
    finding.help(match (subject.owner, subject.program.libc()) {
        (Owner::Cargo { .. }, Libc::Musl) => {
            "link musl statically, as the `-musl` targets do unless `-C target-feature=-crt-static` is set, or ship musl with `--libc bundle`".to_owned()
        }
        (Owner::Binary, Libc::Musl) => "link it statically to musl, or ship musl with `--libc bundle`".to_owned(),
        (Owner::Archive, Libc::Musl) => "link it statically to musl".to_owned(),
        // The plan sets the runtime's interpreter if it has the same name.
        (Owner::Cargo { .. } | Owner::Binary, _) => "ship its C library with `--libc bundle`".to_owned(),
        (Owner::Archive, _) => {
            format!("link it with the interpreter `{}`", lambda.baseline.interpreters[0])
        }
    })
}

/// Reports a file at PT_INTERP that the kernel would start but that loads nothing, such as a library.
pub(super) fn interpreter_is_no_loader(subject: &Subject, closure: &Closure) -> Option<Finding> {
    let path = subject.program.interpreter.as_deref()?;
    let object =
        closure.objects.iter().find(|object| object.rule == Rule::Interpreter && object.path == path)?;
    let lambda = subject.lambda;
    let is_loader = match &object.file.object {
        Object::System(system) if system.facts.is_none() => {
            lambda.baseline.interpreters.iter().any(|known| file_name(known) == system.soname)
        }
        // A loader has no interpreter, unlike libc.so.6, and needs nothing.
        other => other.elf().is_none_or(|elf| {
            let is_loadable = !matches!(elf.object_type, ObjectType::Other(_));
            is_loadable
                && elf.arch() == subject.program.arch()
                && elf.interpreter.is_none()
                && elf.needed.is_empty()
        }),
    };
    (!is_loader).then(|| {
        Finding::new(
            Code::InterpreterMissing,
            subject.name,
            format!(
                "`{}` names the interpreter `{path}`, which is not a loader; it crashes at start",
                subject.name
            ),
        )
        .help(format!("link it with the interpreter `{}`", lambda.baseline.interpreters[0]))
    })
}
