//! What one ELF file says.

/// A processor architecture that Lambda offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86, `x86_64` in Lambda's words.
    X86_64,
    /// 64-bit Arm, `arm64` in Lambda's words, `aarch64` in those of Rust and glibc.
    Arm64,
}

impl Arch {
    /// Lambda's word: `x86_64` or `arm64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Arm64 => "arm64",
        }
    }
}
