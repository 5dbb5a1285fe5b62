//! Lambda's size limits.

use crate::archive;
use crate::audit::{Code, Finding};
use crate::text;

/// Lambda's limit for a ZIP inside the request, in bytes.
const DIRECT_UPLOAD_LIMIT: u64 = 52_428_800;

/// Returns a finding if the contents exceed Lambda's limit.
pub fn size_finding(unzipped_bytes: u64, name: &str) -> Option<Finding> {
    (unzipped_bytes > archive::LAMBDA_UNZIPPED_BYTES).then(|| {
        Finding::new(
            Code::SizeLimit,
            name,
            format!(
                "`{name}` is {} unzipped; Lambda allows {} with layers",
                text::size(unzipped_bytes),
                text::size(archive::LAMBDA_UNZIPPED_BYTES)
            ),
        )
        .help("remove debug information with `--strip`, or use a container image")
    })
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
