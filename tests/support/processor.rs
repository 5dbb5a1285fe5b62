//! The rules of this machine's processor, which the tool leaves out.

use std::path::Path;

use cargo_lambda_bundle::elf::Arch;
use cargo_lambda_bundle::loader::{Cache, Rules, hwcap_subdirectories};

/// The rules with what this machine's processor decides, which the tool leaves out.
pub fn of_this_processor(rules: Rules, cache: Option<&Path>) -> Rules {
    let Rules::Glibc(mut rules) = rules else { return rules };
    let (isa_level, platform) = cpu();
    rules.platform = platform.to_owned();
    rules.hwcaps = hwcap_subdirectories(Arch::X86_64, rules.release, isa_level, platform);
    if let Some(bytes) = cache.and_then(|cache| std::fs::read(cache).ok()) {
        rules.cache = Cache::of_file(bytes, Arch::X86_64, &rules.hwcaps);
    }
    Rules::Glibc(rules)
}

/// The x86-64 level and `$PLATFORM` of this machine's CPU.
///
/// Source: sysdeps/x86/get-isa-level.h; the platform: sysdeps/x86/cpu-features.c.
fn cpu() -> (u32, &'static str) {
    macro_rules! has { ($($feature:tt),+) => { true $(&& is_x86_feature_detected!($feature))+ } }
    let v2 = has!("cmpxchg16b", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3");
    let v3 = v2 && has!("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe");
    let v4 = v3 && has!("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl");
    let is_intel =
        || std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("GenuineIntel"));
    let level = 1 + u32::from(v2) + u32::from(v3) + u32::from(v4);
    (level, if v3 && is_intel() { "haswell" } else { "x86_64" })
}
