//! `cpu-level`: a program for processors that Lambda does not have.

use super::{File, Scene};
use crate::audit::{Code, Finding, Severity};
use crate::elf::Arch;
use crate::elf::instructions::{self, NewerInstruction};
use crate::lambda::Walked;
use crate::loader::Loaded;

/// Prefixes of GCC's `-march` values that are beyond x86-64-v3.
///
/// Source: "x86 Options" in the manual of GCC 14.
const X86_BEYOND: &[&str] = &[
    "x86-64-v4",
    "skylake-avx512",
    "cascadelake",
    "cooperlake",
    "cannonlake",
    "icelake",
    "tigerlake",
    "rocketlake",
    "sapphirerapids",
    "emeraldrapids",
    "graniterapids",
    "alderlake",
    "raptorlake",
    "meteorlake",
    "arrowlake",
    "lunarlake",
    "pantherlake",
    "sierraforest",
    "grandridge",
    "clearwaterforest",
    "gracemont",
    "knl",
    "knm",
    "znver4",
    "znver5",
];

/// Prefixes of GCC's `-march` and `-mcpu` values that are beyond Armv8.2, which Graviton2 has.
///
/// Source: "AArch64 Options" in the manual of GCC 14.
const ARM_BEYOND: &[&str] = &[
    "armv8.3",
    "armv8.4",
    "armv8.5",
    "armv8.6",
    "armv8.7",
    "armv8.8",
    "armv8.9",
    "armv9",
    "neoverse-v",
    "neoverse-n2",
    "neoverse-512tvb",
    "cortex-a510",
    "cortex-a520",
    "cortex-a710",
    "cortex-a715",
    "cortex-a720",
    "cortex-a725",
    "cortex-x2",
    "cortex-x3",
    "cortex-x4",
    "a64fx",
    "zeus",
    "demeter",
    "grace",
    "thunderx3",
    "ampere1",
];

/// Prefixes of further values of rustc's `target-cpu`: LLVM's own names, and the processor of the build machine.
///
/// Source: `rustc --print target-cpus` of Rust 1.95.
const LLVM_BEYOND: &[&str] =
    &["native", "skx", "apple-a1", "apple-a2", "apple-m", "apple-s", "oryon", "diamondrapids"];

/// Prefixes of rustc's target features that are beyond x86-64-v3.
///
/// Source: "Available features" for x86 in The Rust Reference, without those of all processors with AVX2 (AES,
/// PCLMULQDQ, RDRAND and their kin).
const X86_FEATURES: &[&str] = &[
    "avx512",
    "avx10",
    "avxvnni",
    "avxifma",
    "avxneconvert",
    "amx",
    "fma4",
    "gfni",
    "kl",
    "sha",
    "sm3",
    "sm4",
    "sse4a",
    "tbm",
    "vaes",
    "vpclmulqdq",
    "widekl",
    "xop",
];

/// Prefixes of rustc's target features that are beyond Graviton2: Armv8.2 with CRC, cryptography, half precision, dot
/// products and atomics.
///
/// Source: "Available features" for aarch64 in The Rust Reference; the Neoverse N1 Technical Reference Manual.
const ARM_FEATURES: &[&str] = &[
    "sve", "sme", "sha3", "sm4", "bf16", "i8mm", "f32mm", "f64mm", "fcma", "fhm", "jsconv", "flagm",
    "frintts", "mte", "rand", "lse2", "lse128", "rcpc2", "rcpc3", "tme", "mops", "hbc", "cssc", "ls64",
    "v8.3a", "v8.4a", "v8.5a", "v8.6a", "v8.7a", "v8.8a", "v8.9a", "v9",
];

/// A flag for code generation that rustc was given, and its source in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustcFlag {
    /// `target-cpu=VALUE` or `target-feature=LIST`.
    pub flag: String,
    /// The file and line, or the variable.
    pub source: String,
}

/// Returns the finding about a program whose code rustc generated for processors that Lambda may not have.
pub fn generated(name: &str, arch: Arch, flags: &[RustcFlag]) -> Option<Finding> {
    let beyond = flags.iter().find(|flag| is_beyond(arch, &flag.flag))?;
    let RustcFlag { flag, source } = beyond;
    let level = level(arch);
    let message = format!("`{name}` may end with an illegal instruction: it was compiled with `{flag}`");
    let finding = Finding::new(Code::CpuLevel, name, message)
        .detail(format!("the flag comes from {source}; Lambda's processors may have only {level}"));
    Some(finding.help(help(Some(arch))))
}

/// What all of Lambda's processors have.
fn level(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86-64-v3",
        Arch::Arm64 => "Armv8.2",
    }
}

fn is_beyond(arch: Arch, flag: &str) -> bool {
    let (processors, features) = match arch {
        Arch::X86_64 => (X86_BEYOND, X86_FEATURES),
        Arch::Arm64 => (ARM_BEYOND, ARM_FEATURES),
    };
    let begins = |value: &str, list: &[&str]| list.iter().any(|start| value.starts_with(start));
    match flag.split_once('=') {
        Some(("target-cpu", value)) => begins(value, processors) || begins(value, LLVM_BEYOND),
        Some(("target-feature", list)) => list
            .split(',')
            .filter_map(|feature| feature.trim().strip_prefix('+'))
            .any(|it| begins(it, features)),
        _ => false,
    }
}

pub fn lint(scene: &Scene) -> Vec<Finding> {
    let by_note = scene
        .files()
        .filter(|file| is_open_question(scene, file))
        .map(|file| finding(file, "its notes require x86-64-v4 or more"));
    let compiled = scene.program.facts.arch().and_then(|arch| {
        let beyond = match arch {
            Arch::X86_64 => X86_BEYOND,
            Arch::Arm64 => ARM_BEYOND,
        };
        let option = compiled_for(scene.program, beyond)?;
        let what = format!("a part of it was compiled with `{option}`");
        Some(finding(scene.program, &what).detail("its debug information names the option"))
    });
    let mut findings: Vec<Finding> = by_note.collect();
    if findings.iter().all(|known| known.object != scene.program.name) {
        findings.extend(compiled);
    }
    let of_arm64 = scene.files().filter(|file| file.facts.arch() == Some(Arch::Arm64));
    for file in of_arm64 {
        if findings.iter().all(|known| known.object != file.name) {
            findings.extend(by_instruction(file));
        }
    }
    findings
}

/// A note only: the function may never be called, or only after the processor was asked in another way.
fn by_instruction(file: &File) -> Option<Finding> {
    let NewerInstruction { function, extension } = instructions::newer(file.bytes())?;
    let what = format!("its function `{function}` has an instruction of {extension}");
    Some(Finding { severity: Severity::Note, ..finding(file, &what) })
}

/// Whether a file's notes ask for more than all processors have, and no walk answers it. A walk does if ld.so refuses
/// the file, or if the file is in a directory that is searched only on better processors.
fn is_open_question(scene: &Scene, file: &File) -> bool {
    let place_in = |walked: &Walked| {
        let is_this_file =
            |object: &Loaded| object.file.object.elf().is_some_and(|elf| std::ptr::eq(elf, file.facts));
        walked.closure.objects.iter().position(is_this_file)
    };
    let mut loading = scene.walks.iter().filter_map(|walked| Some((walked, place_in(walked)?))).peekable();
    let is_known = loading.peek().is_some()
        && loading
            .all(|(walked, index)| walked.refuses_level(index) || walked.variant.processor.has(file.facts));
    !scene.subject.lambda.processor().has(file.facts) && !is_known
}

fn finding(file: &File, what: &str) -> Finding {
    let message = format!("`{}` may end with an illegal instruction: {what}", file.name);
    let level = level(file.facts.arch().unwrap_or(Arch::X86_64));
    Finding::new(Code::CpuLevel, &file.name, message)
        .detail(format!("Lambda's processors may have only {level}"))
        .help(help(file.facts.arch()))
}

fn help(arch: Option<Arch>) -> &'static str {
    match arch {
        Some(Arch::Arm64) => {
            "compile for all of Lambda's processors: `-C target-cpu=neoverse-n1`, `-mcpu=neoverse-n1` for C"
        }
        _ => "compile for all of Lambda's processors: `-C target-cpu=x86-64-v3`, `-march=x86-64-v3` for C",
    }
}

/// Returns the first listed option that GCC recorded for a compilation; for `native` GCC records the real processor.
///
/// Only GCC does this: rustc and clang leave no trace of the target processor.
fn compiled_for(file: &File, beyond: &[&str]) -> Option<String> {
    let option = |text: &str| {
        let mut words = text.strip_prefix("GNU ")?.split_whitespace();
        let is_beyond = |word: &&str| {
            let value = OPTIONS.iter().find_map(|option| word.strip_prefix(option.trim_start()));
            value.is_some_and(|value| beyond.iter().any(|start| value.starts_with(start)))
        };
        words.find(is_beyond).map(str::to_owned)
    };
    OPTIONS
        .iter()
        .filter(|mark| file.holds(mark))
        .find_map(|mark| option(&file.c_string(mark, |text| option(text).is_some())?))
}

/// The options by which GCC records the processor that it compiles for.
pub(super) const OPTIONS: [&str; 2] = [" -march=", " -mcpu="];
