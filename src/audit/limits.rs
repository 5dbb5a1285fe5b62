//! Lambda's size limits.

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

/// Returns a finding if the contents of the bundle `name` exceed Lambda's limit. It names the largest files.
pub fn size_finding(unzipped_bytes: u64, name: &str, mut files: Vec<SizedFile>) -> Option<Finding> {
    const NAMED: usize = 3;
    if unzipped_bytes <= archive::LAMBDA_UNZIPPED_BYTES {
        return None;
    }
    let strippable_bytes: u64 = files.iter().map(|file| file.strippable_bytes).sum();
    files.sort_by(|one, other| (other.n_bytes, one.name).cmp(&(one.n_bytes, other.name)));
    let largest = files.iter().take(NAMED);
    let largest: Vec<String> =
        largest.map(|file| format!("`{}` ({})", file.name, text::size(file.n_bytes))).collect();
    let mut message = format!(
        "`{name}` is {} unzipped; Lambda allows {} with layers",
        text::size(unzipped_bytes),
        text::size(archive::LAMBDA_UNZIPPED_BYTES)
    );
    match largest.as_slice() {
        [] => {}
        [only] => message.push_str(&format!("; the largest file is {only}")),
        several => message.push_str(&format!("; the largest files are {}", several.join(", "))),
    }
    let excess = unzipped_bytes - archive::LAMBDA_UNZIPPED_BYTES;
    let help = match strippable_bytes >= excess {
        true => format!("remove {} of debug information with `--strip`", text::size(strippable_bytes)),
        false => "leave out what the function does not open, read large data from S3 or EFS, or use a container image".to_owned(),
    };
    Some(Finding::new(Code::SizeLimit, name, message).help(help))
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
