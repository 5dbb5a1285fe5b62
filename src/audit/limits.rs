//! Lambda's size limits, and those that the user sets.

use std::str::FromStr;

use crate::archive;
use crate::audit::{Code, Finding};
use crate::text;

/// Lambda's limit for a ZIP inside the request, in bytes.
const DIRECT_UPLOAD_LIMIT: u64 = 52_428_800;

/// A file of a bundle, for [`size_finding`].
#[derive(Debug, Clone, Copy)]
pub struct SizedFile<'a> {
    /// Its name in the bundle.
    pub name: &'a str,
    /// Its size in bytes.
    pub n_bytes: u64,
    /// The number of these bytes that `--strip` would remove.
    pub strippable_bytes: u64,
}

/// A size that a bundle may have: `--max-size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxSize(pub u64);

impl FromStr for MaxSize {
    type Err = String;

    fn from_str(text: &str) -> Result<MaxSize, String> {
        text::parse_size(text).map(MaxSize).ok_or_else(|| format!("expected a size, {EXAMPLES}"))
    }
}

const EXAMPLES: &str = "such as 50MB, 64MiB or 262144000";

/// The growth that a bundle may have: `--max-growth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxGrowth {
    /// A number of bytes.
    Bytes(u64),
    /// A part of the size before, in hundredths of a percent.
    Part(u64),
}

impl FromStr for MaxGrowth {
    type Err = String;

    fn from_str(text: &str) -> Result<MaxGrowth, String> {
        let percent = text.strip_suffix('%').map(|number| number.trim().parse::<f64>());
        match percent {
            Some(Ok(percent)) if (0.0..=1e6).contains(&percent) => {
                Ok(MaxGrowth::Part((percent * 100.0).round() as u64))
            }
            None if text::parse_size(text).is_some() => {
                Ok(MaxGrowth::Bytes(text::parse_size(text).unwrap_or_default()))
            }
            _ => Err(format!("expected a size, {EXAMPLES}, or a percentage, such as 5%")),
        }
    }
}

impl MaxGrowth {
    /// Whether a bundle may be so much larger than before.
    fn allows(self, before: u64, growth: u64) -> bool {
        match self {
            MaxGrowth::Bytes(bytes) => growth <= bytes,
            MaxGrowth::Part(part) => u128::from(growth) * 10_000 <= u128::from(before) * u128::from(part),
        }
    }

    fn words(self) -> String {
        match self {
            MaxGrowth::Bytes(bytes) => text::size(bytes),
            MaxGrowth::Part(part) => format!("{} %", part as f64 / 100.0),
        }
    }
}

/// Returns a finding if the contents of the bundle `name` exceed Lambda's limit. It names the largest files.
pub fn size_finding(unzipped_bytes: u64, name: &str, files: Vec<SizedFile>) -> Option<Finding> {
    let limit = archive::LAMBDA_UNZIPPED_BYTES;
    let excess = unzipped_bytes.checked_sub(limit).filter(|excess| *excess > 0)?;
    let message = format!(
        "`{name}` is {} unzipped; Lambda allows {} with layers",
        text::size(unzipped_bytes),
        text::size(limit)
    );
    let otherwise =
        "leave out what the function does not open, read large data from S3 or EFS, or use a container image";
    Some(too_large(Code::SizeLimit, name, message, excess, files, otherwise))
}

/// Returns a finding if the contents of the bundle `name` exceed `--max-size`. It names the largest files.
pub fn budget_finding(
    unzipped_bytes: u64,
    name: &str,
    max_size: Option<MaxSize>,
    files: Vec<SizedFile>,
) -> Option<Finding> {
    let MaxSize(limit) = max_size?;
    let excess = unzipped_bytes.checked_sub(limit).filter(|excess| *excess > 0)?;
    // Rounded, both may look the same.
    let message = format!(
        "`{name}` is {} unzipped, {} over the {} of `--max-size`",
        text::size(unzipped_bytes),
        text::size(excess),
        text::size(limit)
    );
    let otherwise = "see what takes up space with `cargo lambda-bundle size`, or raise `--max-size`";
    Some(too_large(Code::SizeBudget, name, message, excess, files, otherwise))
}

fn too_large(
    code: Code,
    name: &str,
    message: String,
    excess: u64,
    mut files: Vec<SizedFile>,
    otherwise: &str,
) -> Finding {
    const NAMED: usize = 3;
    let strippable_bytes: u64 = files.iter().map(|file| file.strippable_bytes).sum();
    files.sort_by(|one, other| (other.n_bytes, one.name).cmp(&(one.n_bytes, other.name)));
    let largest = files.iter().take(NAMED);
    let largest: Vec<String> =
        largest.map(|file| format!("`{}` ({})", file.name, text::size(file.n_bytes))).collect();
    let finding = Finding::new(code, name, message);
    let finding = match largest.as_slice() {
        [] => finding,
        [only] => finding.detail(format!("the largest file is {only}")),
        several => finding.detail(format!("the largest files are {}", several.join(", "))),
    };
    let help = match strippable_bytes >= excess {
        true => format!("remove {} of debug information with `--strip`", text::size(strippable_bytes)),
        false => otherwise.to_owned(),
    };
    finding.help(help)
}

/// Returns a finding if the bundle `name` grew by more than `--max-growth`. `most` names what grew most, each with its
/// growth.
pub fn growth_finding(
    name: &str,
    before: u64,
    after: u64,
    max_growth: MaxGrowth,
    most: &[String],
) -> Option<Finding> {
    let growth = after.checked_sub(before).filter(|growth| !max_growth.allows(before, *growth))?;
    let message = format!(
        "`{name}` grew by {}, from {} to {} unzipped; `--max-growth` allows {}",
        text::size(growth),
        text::size(before),
        text::size(after),
        max_growth.words()
    );
    let finding = Finding::new(Code::SizeGrown, name, message);
    let finding = match most {
        [] => finding,
        most => finding.detail(format!("most of it: {}", most.join(", "))),
    };
    Some(finding.help("look at what was added, or raise `--max-growth` for this change"))
}

/// Returns a finding if the ZIP is too large for the request that uploads it.
pub fn direct_upload_finding(zipped_bytes: u64, name: &str) -> Option<Finding> {
    (zipped_bytes > DIRECT_UPLOAD_LIMIT).then(|| {
        Finding::new(
            Code::DirectUploadLimit,
            name,
            format!(
                "`{name}` is {} zipped; a direct upload may have {}",
                text::size(zipped_bytes),
                text::size(DIRECT_UPLOAD_LIMIT)
            ),
        )
        .help("upload it through S3")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_percentages_are_read_as_they_are_meant() {
        for (text, bytes) in [
            ("0", 0),
            ("262144000", 262_144_000),
            ("50MB", 50_000_000),
            ("1.5 gb", 1_500_000_000),
            ("64MiB", 64 << 20),
        ] {
            assert_eq!(text.parse(), Ok(MaxSize(bytes)), "{text}");
        }
        for text in [
            "",
            "MB",
            "1.5",
            "-1",
            "5%",
            "1e9",
            "1.2.3MB",
            "99999999999999999999",
            "99999999999GB",
            "5 apples",
        ] {
            assert!(text.parse::<MaxSize>().is_err(), "{text}");
        }
        assert_eq!("2.5 %".parse(), Ok(MaxGrowth::Part(250)));
        assert_eq!("100kB".parse(), Ok(MaxGrowth::Bytes(100_000)));
        for text in ["%", "-5%", "NaN%", "inf%", "5%%", "five"] {
            assert!(text.parse::<MaxGrowth>().is_err(), "{text}");
        }
    }

    #[test]
    fn growth_up_to_the_limit_is_allowed() {
        let is_found = |limit, after| growth_finding("app", 1_000, after, limit, &[]).is_some();
        assert!(!is_found(MaxGrowth::Part(1_000), 1_100) && is_found(MaxGrowth::Part(1_000), 1_101));
        assert!(!is_found(MaxGrowth::Bytes(0), 1_000) && is_found(MaxGrowth::Bytes(0), 1_001));
        assert!(!is_found(MaxGrowth::Bytes(0), 1));
    }
}
