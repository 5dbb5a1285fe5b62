//! Needs that nothing meets.

use super::{Cause, Code, Finding, Owner, Severity, Subject, chain, given, label, lints, member_name};
use crate::elf::{Libc, Linkage};
use crate::lambda::{Certainty, Walked};
use crate::loader::{Need, Outcome, SkipReason};
use crate::paths;
use crate::paths::file_name;
use crate::plan::NotShipped;

pub(super) fn missing_library(subject: &Subject, walked: &Walked, need: &Need) -> Finding {
    let closure = &walked.closure;
    let by = label(subject, closure, need.by);
    let soname = &need.name;
    let Reason { message, mut details, help } = reason(subject, walked, need, &by);
    details.extend(passed_over(need).map(|(path, why)| format!("`{path}` is skipped: it is {why}")));
    let mut finding = Finding::new(Code::MissingLibrary, by, &*message).soname(soname);
    finding.cause = cause(subject, need, &message, details.is_empty());
    (finding.details, finding.help) = (details, Some(help));
    if subject.lambda.certainty(soname) == Certainty::Unknown
        && let Some(help) = &mut finding.help
    {
        let runtime = &subject.lambda.baseline.runtime;
        help.push_str(&format!("; if {runtime} has it, say so: `--assume-present {soname}`"));
    }
    finding.chain = chain(subject, closure, need.by);
    given::weighed(subject, finding)
}

/// The place, besides the runtime, that could have a library.
fn place(subject: &Subject) -> &'static str {
    match subject.owner {
        Owner::Archive => "the archive",
        _ => "this machine",
    }
}

/// Why a need is not met, and the next step.
struct Reason {
    message: String,
    details: Vec<String>,
    help: String,
}

fn reason(subject: &Subject, walked: &Walked, need: &Need, by: &str) -> Reason {
    let (soname, lambda) = (&need.name, subject.lambda.label());
    let reason = |message: String, detail: Option<String>, help: String| Reason {
        message,
        details: detail.into_iter().collect(),
        help,
    };
    let lacks = format!("`{by}` needs `{soname}`, which {lambda} does not have");
    if let Some(member) = unreadable_member(need) {
        return reason(
            format!("`{by}` needs `{soname}`; the bundle has `{member}`, but Lambda's user may not read it"),
            None,
            format!("store `{member}` with mode 0644"),
        );
    }
    if let Some(member) = member_off_the_path(subject, need) {
        return reason(
            format!(
                "`{by}` needs `{soname}`; the bundle has `{}`, but LD_LIBRARY_PATH does not lead there",
                member_name(member)
            ),
            Some(format!("LD_LIBRARY_PATH is `{}`", walked.variant.library_path)),
            format!("add `{}` to the function's LD_LIBRARY_PATH", paths::parent(member)),
        );
    }
    match subject.build.not_shipped.get(soname) {
        Some(NotShipped::Excluded) => reason(
            format!("{lacks} and `--exclude-lib` leaves out"),
            None,
            format!("remove the `--exclude-lib` pattern that matches `{soname}`"),
        ),
        Some(NotShipped::GlibcPart) => reason(
            format!("`{by}` needs `{soname}`, a part of glibc that {lambda} does not have"),
            Some("all parts of glibc must come from the same build".to_owned()),
            format!("build against glibc {} or older", subject.lambda.baseline.glibc),
        ),
        Some(NotShipped::Path) => reason(
            format!("`{by}` needs the path `{soname}`, which {lambda} does not have"),
            None,
            "link to the library by its SONAME (give it one with `-Wl,-soname,NAME`), or let `--repair auto` rewrite the need".to_owned(),
        ),
        Some(NotShipped::Name) => reason(
            format!("{lacks} and no archive can contain"),
            Some("the name is not UTF-8, or has a backslash".to_owned()),
            "give the library another SONAME (`-Wl,-soname,NAME`), and relink the objects that need it".to_owned(),
        ),
        Some(NotShipped::Refused(path, why)) => reason(
            lacks,
            Some(format!("`{path}` cannot be used: {why}")),
            "name a directory that has it with `--library-path DIR`".to_owned(),
        ),
        Some(NotShipped::OtherMachine { path, machine }) => reason(
            lacks,
            Some(format!("`{path}` is for {machine}")),
            format!(
                "name a directory that has it for {arch} with `--library-path DIR`, or the root of a system for {arch} with `--sysroot DIR`",
                arch = subject.lambda.arch()
            ),
        ),
        _ => nowhere(subject, need, by),
    }
}

/// The same for a library that is not known to be anywhere.
fn nowhere(subject: &Subject, need: &Need, by: &str) -> Reason {
    let (soname, lambda, place) = (&need.name, subject.lambda.label(), place(subject));
    let perhaps = format!("`{by}` needs `{soname}`, which {lambda} may lack and {place} does not have");
    let (message, detail) = match subject.lambda.certainty(soname) {
        Certainty::Doubtful => (perhaps, Some("it is doubtful whether the runtime has it")),
        Certainty::Unknown => (perhaps, Some("it is not known whether the runtime has it")),
        _ => (format!("`{by}` needs `{soname}`, which neither {lambda} nor {place} has"), None),
    };
    let help = match subject.owner {
        Owner::Archive => {
            let layer = layer_help(subject, "it");
            format!("add `lib/{soname}` to the archive, or let `cargo lambda-bundle` write it{layer}")
        }
        _ if need.is_opening && !soname.contains(".so") => format!(
            "`--dlopen` takes the name of the file, such as `lib{}.so.1`",
            soname.trim_start_matches("lib")
        ),
        _ => {
            "install it on this machine, or name a directory that has it with `--library-path DIR`".to_owned()
        }
    };
    Reason { message, details: detail.into_iter().map(str::to_owned).collect(), help }
}

/// The problem of all that need this library; if the message has all that is known, of all that need any library.
fn cause(subject: &Subject, need: &Need, message: &str, is_all: bool) -> Option<Cause> {
    let (soname, place) = (&need.name, place(subject));
    if let Some(NotShipped::Excluded) = subject.build.not_shipped.get(soname) {
        let after =
            format!(", which {} does not have and `--exclude-lib` leaves out", subject.lambda.label());
        return Some(Cause::needs(after, None).help("remove the `--exclude-lib` patterns that match them"));
    }
    let (_, after) = message.split_once(&format!(" needs `{soname}`"))?;
    // The word after `--dlopen` may be no name of a file, which the finding's own help says.
    if need.is_opening
        || !is_all
        || after != format!(", which neither {} nor {place} has", subject.lambda.label())
    {
        return Some(Cause::needs(after, Some(soname)));
    }
    Some(Cause::needs(after, None).help(match subject.owner {
        Owner::Archive => {
            let layer = layer_help(subject, "them");
            format!("add them to `lib/` in the archive, or let `cargo lambda-bundle` write it{layer}")
        }
        _ => "install them on this machine, or name the directories that have them with `--library-path DIR`"
            .to_owned(),
    }))
}

/// The step for an archive whose libraries may be in a layer that was not named.
fn layer_help(subject: &Subject, what: &str) -> String {
    match subject.attached.is_empty() {
        true => format!("; if a layer has {what}, name it: `--attached-layer ZIP`"),
        false => String::new(),
    }
}

/// Reports what LD_PRELOAD names and ld.so does not find.
///
/// Source: `do_preload` in glibc's elf/rtld.c, which prints "cannot be preloaded" and goes on without the library.
pub(super) fn not_preloaded(subject: &Subject, walked: &Walked) -> Vec<Finding> {
    let is_glibc = walked.libc() == Libc::Glibc && subject.program.linkage() == Linkage::Dynamic;
    let is_loaded = |name: &&String| {
        let mut needs = walked.closure.needs.iter().filter(|need| need.by == 0);
        needs.any(|need| need.name == **name && matches!(need.outcome, Outcome::Loaded(_)))
    };
    let missing = subject.lambda.preload.iter().filter(|name| is_glibc && !is_loaded(name));
    let finding = |name: &String| {
        let what = format!("without `{name}` of LD_PRELOAD, since nothing has it");
        let file = file_name(name);
        let help = match name.strip_prefix("/var/task/") {
            _ if matches!(subject.owner, Owner::Archive) => {
                format!("add `{file}` to the archive, or remove the variable")
            }
            None if name.starts_with("/opt/") => {
                "name the layer that has it: `--attached-layer ZIP`".to_owned()
            }
            Some(below) if below != format!("lib/{file}") => format!("ship it: `--include FILE={below}`"),
            None if name.contains('/') => format!("ship it, `--dlopen {file}`, and set `LD_PRELOAD={file}`"),
            _ => format!("ship it: `--dlopen {file}`"),
        };
        let mut finding =
            Finding::new(Code::MissingLibrary, subject.name, format!("`{}` starts {what}", subject.name))
                .soname(name)
                .detail("ld.so prints \"cannot be preloaded\" and goes on")
                .help(help)
                .cause(Cause::objects(format!("start {what}")));
        finding.severity = Severity::Warning;
        finding
    };
    missing.map(finding).collect()
}

/// The finding that a static musl program cannot open a library.
pub(super) fn cannot_open(subject: &Subject, need: &Need) -> Finding {
    let message = format!(
        "`{}` cannot open `{}`: it is a static musl program, and `dlopen` always fails there",
        subject.name, need.name
    );
    let finding = Finding::new(Code::MissingLibrary, subject.name, message).soname(&need.name);
    finding.help(lints::LINK_DYNAMICALLY)
}

/// Returns a file with the needed name that the loader found and skipped, and why.
pub(super) fn passed_over(need: &Need) -> Option<(&str, String)> {
    let Outcome::Missing(attempts) = &need.outcome else { return None };
    let met = attempts.iter().find(|attempt| {
        matches!(
            attempt.why,
            SkipReason::WrongClass | SkipReason::WrongMachine(_) | SkipReason::NewerKernel(_)
        )
    })?;
    Some((member_name(&met.path), met.why.describe()))
}

/// Returns the bundle's file that the search found but could not read.
pub(super) fn unreadable_member(need: &Need) -> Option<&str> {
    let Outcome::Missing(attempts) = &need.outcome else { return None };
    let met = attempts.iter().find(|attempt| attempt.why == SkipReason::Unreadable)?;
    Some(member_name(&met.path))
}

/// Returns the bundle's file with the needed name, if it is in no directory that was searched.
pub(super) fn member_off_the_path<'a>(subject: &Subject<'a>, need: &Need) -> Option<&'a str> {
    let Outcome::Missing(attempts) = &need.outcome else { return None };
    let member = subject.members.iter().find(|member| file_name(&member.path) == need.name)?;
    let was_met = attempts.iter().any(|attempt| attempt.path == member.path);
    if was_met { None } else { Some(&member.path) }
}
