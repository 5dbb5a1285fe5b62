//! AArch64 instructions: what the assembler makes of their names, and whether Lambda's processors have them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::process::Command;

use cargo_lambda_bundle::elf::instructions::{NewerInstruction, extension, newer};

use crate::support::compile::Compiler;
use crate::support::tools;

/// Instructions that Neoverse N1 lacks, one per line, by extension.
const NEWER: &[(&str, &str)] = &[
    ("SVE", "ptrue p0.b\nld1w z0.s, p0/z, [x0]\nfmla z0.s, p0/m, z1.s, z2.s"),
    ("SME", "fmopa za0.s, p0/m, p0/m, z0.s, z1.s\nldr za[w12, 0], [x0]"),
    (
        "SHA-512",
        "sha512h q0, q1, v2.2d\nsha512h2 q0, q1, v2.2d\nsha512su0 v0.2d, v1.2d\nsha512su1 v0.2d, v1.2d, v2.2d",
    ),
    (
        "SHA-3",
        "rax1 v0.2d, v1.2d, v2.2d\neor3 v0.16b, v1.16b, v2.16b, v3.16b\nbcax v0.16b, v1.16b, v2.16b, v3.16b\nxar v0.2d, v1.2d, v2.2d, #3",
    ),
    (
        "SM3 or SM4",
        "sm3ss1 v0.4s, v1.4s, v2.4s, v3.4s\nsm3tt1a v0.4s, v1.4s, v2.s[1]\nsm3partw1 v0.4s, v1.4s, v2.4s\nsm4e v0.4s, v1.4s\nsm4ekey v0.4s, v1.4s, v2.4s",
    ),
    (
        "BF16",
        "bfdot v0.4s, v1.8h, v2.8h\nbfmmla v0.4s, v1.8h, v2.8h\nbfcvt h0, s1\nbfcvtn v0.4h, v1.4s\nbfmlalb v0.4s, v1.8h, v2.8h",
    ),
    (
        "I8MM",
        "smmla v0.4s, v1.16b, v2.16b\nummla v0.4s, v1.16b, v2.16b\nusmmla v0.4s, v1.16b, v2.16b\nusdot v0.4s, v1.16b, v2.16b",
    ),
    ("FCMA", "fcadd v0.4s, v1.4s, v2.4s, #90\nfcmla v0.4s, v1.4s, v2.4s, #90"),
    ("JSCVT", "fjcvtzs w0, d1"),
    (
        "FHM",
        "fmlal v0.4s, v1.4h, v2.4h\nfmlal2 v0.4s, v1.4h, v2.4h\nfmlsl v0.4s, v1.4h, v2.4h\nfmlsl2 v0.2s, v1.2h, v2.2h",
    ),
    (
        "pointer authentication",
        "braa x1, x2\nblraa x1, x2\nbraaz x1\nblrabz x1\nretaa\nretab\nldraa x0, [x1]\npacia x0, x1\nautiza x0\nxpaci x0",
    ),
    ("RCPC2", "ldapur x0, [x1, #8]\nstlurb w0, [x1]"),
    ("FlagM", "cfinv\nrmif x0, #1, #2\nsetf8 w0\nsetf16 w0"),
    ("FRINTTS", "frint32z s0, s1\nfrint64x d0, d1\nfrint32z v0.4s, v1.4s"),
    ("MOPS", "cpyfp [x0]!, [x1]!, x2!\ncpym [x0]!, [x1]!, x2!\nsetp [x0]!, x1!, x2"),
];

/// Instructions that it has.
const OLDER: &str = "\
    paciasp\n\
    autiasp\n\
    xpaclri\n\
    bti c\n\
    aese v0.16b, v1.16b\n\
    pmull v0.1q, v1.1d, v2.1d\n\
    pmull2 v0.1q, v1.2d, v2.2d\n\
    sha1c q0, s1, v2.4s\n\
    sha256h q0, q1, v2.4s\n\
    sha256su1 v0.4s, v1.4s, v2.4s\n\
    crc32cx w0, w1, x2\n\
    fadd v0.8h, v1.8h, v2.8h\n\
    fmla v0.8h, v1.8h, v2.8h\n\
    fmla v0.4h, v1.4h, v2.h[3]\n\
    fcvt h0, s1\n\
    fadd h0, h1, h2\n\
    udot v0.4s, v1.16b, v2.16b\n\
    sdot v0.4s, v1.16b, v2.4b[1]\n\
    sqrdmlah v0.4s, v1.4s, v2.4s\n\
    sqrdmlsh v0.8h, v1.8h, v2.8h\n\
    sqrdmlah v0.4s, v1.4s, v2.s[1]\n\
    sqrdmlah s0, s1, s2\n\
    ldapr x0, [x1]\n\
    ldaprb w0, [x1]\n\
    ldadd x0, x1, [x2]\n\
    cas x0, x1, [x2]\n\
    casp x0, x1, x2, x3, [x4]\n\
    swpal x0, x1, [x2]\n\
    ldxp x0, x1, [x2]\n\
    ldar x0, [x1]\n\
    ldlar x0, [x1]\n\
    ldr x0, [x1, x2, lsl #3]\n\
    ldur x0, [x1, #-8]\n\
    ldr x0, [x1], #8\n\
    ldr x0, [x1, #8]!\n\
    ldr x0, .+4\n\
    ldtr x0, [x1]\n\
    prfm pldl1keep, [x0]\n\
    prfum pldl1keep, [x0, #-3]\n\
    ldp x0, x1, [x2, #16]\n\
    ldpsw x0, x1, [x2]\n\
    ldr q0, [x1, #16]\n\
    ldur q0, [x1, #1]\n\
    stp q0, q1, [x2]\n\
    ld1 {v0.16b, v1.16b}, [x0], #32\n\
    st4 {v0.s, v1.s, v2.s, v3.s}[1], [x0]\n\
    adc x0, x1, x2\n\
    adcs x0, x1, x2\n\
    sbcs x0, x1, x2\n\
    ccmp x0, x1, #3, eq\n\
    ccmn w0, #3, #3, ne\n\
    csel x0, x1, x2, lt\n\
    mul x0, x1, x2\n\
    umulh x0, x1, x2\n\
    rbit x0, x1\n\
    clz x0, x1\n\
    cls x0, x1\n\
    rev x0, x1\n\
    rev32 x0, x1\n\
    ret\n\
    br x1\n\
    blr x1\n\
    ret x3\n\
    eret\n\
    svc #0\n\
    brk #1\n\
    dc cvap, x0\n\
    dsb ish\n\
    mrs x0, nzcv\n\
    mrs x0, tpidr_el0\n\
    msr nzcv, x0\n\
    frinta s0, s1\n\
    frintx d0, d1\n\
    frinti v0.4s, v1.4s\n\
    fcvtzs w0, d1\n\
    fcvtzs x0, s1\n\
    fmov d0, x1\n\
    fmov x1, v0.d[1]\n\
    scvtf s0, w1\n\
    fmadd s0, s1, s2, s3\n\
    fcmp s0, s1\n\
    fccmp s0, s1, #1, eq\n\
    fcsel s0, s1, s2, eq\n\
    fsqrt d0, d1\n\
    fmax v0.4s, v1.4s, v2.4s\n\
    tbl v0.16b, {v1.16b}, v2.16b\n\
    zip1 v0.16b, v1.16b, v2.16b\n\
    ext v0.16b, v1.16b, v2.16b, #3\n\
    umlal v0.4s, v1.4h, v2.4h\n\
    umlsl2 v0.4s, v1.8h, v2.8h\n\
    smull v0.4s, v1.4h, v2.h[1]\n\
    mla v0.4s, v1.4s, v2.4s\n\
    fmul v0.4s, v1.4s, v2.s[1]\n\
    fmulx v0.4s, v1.4s, v2.4s\n\
    addp v0.4s, v1.4s, v2.4s\n\
    bif v0.16b, v1.16b, v2.16b\n\
    bsl v0.16b, v1.16b, v2.16b\n\
    eor v0.16b, v1.16b, v2.16b\n\
    cmgt v0.16b, v1.16b, v2.16b\n\
    sshl v0.16b, v1.16b, v2.16b\n\
    movi v0.16b, #1\n\
    dup v0.4s, w0\n\
    ins v0.s[1], w0\n\
    sqxtn v0.4h, v1.4s\n\
    fcvtn v0.4h, v1.4s\n\
    fcvtn2 v0.4s, v1.2d\n\
    fcvtl v0.4s, v1.4h\n\
    shrn v0.8b, v1.8h, #3\n\
    uaddlv h0, v1.16b\n\
    fmaxnmv s0, v1.4s\n\
    fmaxnmv h0, v1.8h\n\
";

/// Assembles lines, and returns the instructions of each.
#[track_caller]
fn assembled(lines: &str) -> Vec<u32> {
    let dir = tempfile::tempdir().unwrap();
    let (source, object, code) =
        (dir.path().join("code.s"), dir.path().join("code.o"), dir.path().join("code.bin"));
    let features = "armv9-a+sve2+sme+sha3+sm4+bf16+i8mm+fp16fml+flagm+mops+crypto+profile+ssbs";
    std::fs::write(&source, format!(".arch {features}\n{lines}\n")).unwrap();
    let run = |tool: &str, arguments: &[&str]| {
        let output = Command::new(format!("aarch64-linux-gnu-{tool}")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let [source, object, code] = [&source, &object, &code].map(|path| path.to_str().unwrap());
    run("as", &["--no-warn", source, "-o", object]);
    run("objcopy", &["-O", "binary", "-j", ".text", object, code]);
    let code = std::fs::read(code).unwrap();
    code.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn newer_instructions_are_known_by_their_words() {
    if !tools::require("aarch64-linux-gnu-as", "binutils-aarch64-linux-gnu") {
        return;
    }
    for (name, lines) in NEWER {
        for (word, line) in assembled(lines).into_iter().zip(lines.lines()) {
            assert_eq!(extension(word), Some(*name), "{line}: {word:#010x}");
        }
    }
    for (word, line) in assembled(OLDER).into_iter().zip(OLDER.lines()) {
        assert_eq!(extension(word), None, "{line}: {word:#010x}");
    }
}

/// A function with an instruction of SVE, behind a question or not.
const WIDE: &str = "#include <sys/auxv.h>\n\
    __attribute__((noinline)) void wide(void) { __asm__ volatile(\".arch armv8.2-a+sve\\nptrue p0.b\" ::: \"memory\"); }\n";

#[test]
fn a_function_with_them_is_found_unless_something_asks() {
    if !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let check = |main: &str, flags: &str, expected: Option<&'static str>| {
        let flags = format!("-O1 -mno-outline-atomics {flags}");
        Compiler(&["aarch64-linux-gnu-gcc"]).compile_as_is(
            dir.path(),
            &format!("{WIDE}{main}"),
            "app",
            &flags,
        );
        let found = newer(&std::fs::read(dir.path().join("app")).unwrap());
        let expected = expected.map(|extension| NewerInstruction { function: "wide".into(), extension });
        assert_eq!(found, expected, "{main} {flags}");
    };
    let calls = "int main(void) { wide(); return 0; }";
    check(calls, "", Some("SVE"));
    check(calls, "-static-pie -nostdlib -Wl,-e,main", Some("SVE"));
    check(calls, "-shared -fPIC", Some("SVE"));
    check(calls, "-s", None);
    // Atomics ask by themselves: libgcc's functions are no answer.
    let atomic = "int n; int main(void) { wide(); return __atomic_fetch_add(&n, 1, 5); }";
    check(atomic, "-moutline-atomics", Some("SVE"));
    check(atomic, "-moutline-atomics -mbranch-protection=bti", Some("SVE"));
    for flags in ["", "-fno-plt", "-mbranch-protection=bti", "-static", "-moutline-atomics"] {
        check("int main(void) { if (getauxval(AT_HWCAP) >> 22 & 1) wide(); return 0; }", flags, None);
        check("int main(void) { if (getauxval(AT_HWCAP2) >> 1 & 1) wide(); return 0; }", flags, None);
    }
    check("int main(void) { wide(); return getauxval(51); }", "", Some("SVE"));
    check("int main(int argc, char **v) { wide(); return getauxval(argc); }", "", None);
    let register = "int main(void) { long id; __asm__(\"mrs %0, id_aa64pfr0_el1\" : \"=r\"(id)); if (id >> 32) wide(); }";
    check(register, "", None);
    let indirect = "static void *choose(void) { return wide; }\n\
        void chosen(void) __attribute__((ifunc(\"choose\"))); int main(void) { chosen(); }";
    check(indirect, "", None);
}

#[test]
fn constants_in_code_are_no_instructions() {
    if !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The number is that of `ptrue p0.b`.
    let source = "__asm__(\".text\\n.globl main\\n.type main, %function\\nmain:\\n\
        ldr w0, 1f\\nmov w0, 0\\nret\\n1: .word 0x2518e3e0\\n.size main, . - main\\n\");";
    Compiler(&["aarch64-linux-gnu-gcc"]).compile_as_is(dir.path(), source, "app", "");
    assert_eq!(extension(0x2518_e3e0), Some("SVE"));
    assert_eq!(newer(&std::fs::read(dir.path().join("app")).unwrap()), None);
}
