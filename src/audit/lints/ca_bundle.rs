//! `ca-bundle`: a TLS library that looks for certificates where Amazon Linux has none.

use super::{File, Scene};
use crate::audit::{Code, Finding};

/// The path of the certificates on Amazon Linux.
const BUNDLE: &str = "/etc/pki/tls/certs/ca-bundle.crt";
/// Directories with a `cert.pem` on Amazon Linux; the second links to the file in the first.
const THERE: [&str; 2] = ["/etc/pki/tls", "/etc/ssl"];
/// The path of the file on Debian.
const DEBIAN: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The directory of the certificates on Amazon Linux.
pub(super) const PLACE: &str = "/etc/pki/tls";

/// A file of OpenSSL's source, which its messages name.
pub(super) const OPENSSL: &str = "ssl/ssl_lib.c";

/// The functions that make OpenSSL read its built-in directory.
const OPENSSL_DEFAULT: [&str; 5] = [
    "SSL_CTX_set_default_verify_paths",
    "SSL_CTX_set_default_verify_file",
    "SSL_CTX_set_default_verify_dir",
    "X509_STORE_set_default_paths",
    "X509_STORE_set_default_paths_ex",
];
/// The function that makes GnuTLS do so.
const GNUTLS_DEFAULT: [&str; 1] = ["gnutls_certificate_set_x509_system_trust"];

pub fn lint(scene: &Scene) -> Vec<Finding> {
    // A program that contains the path sets it itself, as `openssl-probe` does.
    if scene.program.holds(PLACE) {
        return Vec::new();
    }
    scene.files().filter_map(|file| of_file(scene, file)).collect()
}

fn of_file(scene: &Scene, file: &File) -> Option<Finding> {
    let asks = |functions: &[&str]| {
        // libssl only passes the call on to libcrypto.
        let mut askers = scene.files().filter(|asker| !asker.is_library("libssl"));
        askers.any(|asker| functions.iter().any(|function| asker.imports(function)))
    };
    if file.is_library("libcrypto") && asks(&OPENSSL_DEFAULT) {
        return openssl(file, format!("OpenSSL in `{}`", file.name));
    }
    // libcrypto contains the path whether anything connects or not; a program that connects has libssl, too.
    if scene.is_program(file) && file.holds(OPENSSL) {
        return openssl(file, format!("OpenSSL in `{}`", file.name));
    }
    let (what, setting) = if file.is_library("libcurl") {
        ("curl", "CURLOPT_CAINFO")
    } else if file.is_library("libgnutls") && asks(&GNUTLS_DEFAULT) {
        ("GnuTLS", "gnutls_certificate_set_x509_trust_file")
    } else {
        return None;
    };
    let path = file.c_string(DEBIAN, |text| text == DEBIAN)?;
    Some(finding(file, &format!("{what} in `{}`", file.name), &path).help(format!(
        "let the program set `{BUNDLE}` ({setting}); `SSL_CERT_FILE={BUNDLE}` works only if it reads that variable itself"
    )))
}

fn openssl(file: &File, what: String) -> Option<Finding> {
    const FILE: &str = "/cert.pem";
    let is_elsewhere = |directory: &str| directory.starts_with('/') && !THERE.contains(&directory);
    let path = file.c_string(FILE, |text| text.strip_suffix(FILE).is_some_and(is_elsewhere))?;
    let help = format!("set the function's environment variable `SSL_CERT_FILE={BUNDLE}`");
    Some(finding(file, &what, &path).help(help))
}

fn finding(file: &File, what: &str, path: &str) -> Finding {
    let message = format!("{what} looks for certificates in `{path}`, which Amazon Linux does not have");
    Finding::new(Code::CaBundle, &file.name, message).detail("no server's certificate can be verified")
}
