//! `companion-data`: libraries that are of little use without files beside them.

use super::{File, Scene};
use crate::audit::{Code, Finding, Severity};
use crate::elf::Libc;

/// A library and the files it needs.
struct Companion {
    /// The library's name up to its version.
    stem: &'static str,
    /// What it needs, and where it looks.
    wants: &'static str,
    /// A part of a path in the bundle that shows that the files are included.
    sign: &'static str,
    /// How to include them.
    help: &'static str,
    /// Whether the library is useless without them; else only some of its functions are.
    is_vital: bool,
}

const fn row(
    stem: &'static str,
    wants: &'static str,
    sign: &'static str,
    help: &'static str,
    is_vital: bool,
) -> Companion {
    Companion { stem, wants, sign, help, is_vital }
}

/// The paths are Debian's; other systems have similar ones.
const TABLE: &[Companion] = &[
    row(
        "libproj",
        "the database `proj.db`",
        "/proj.db",
        "include it (`--include /usr/share/proj=share/proj/`) and set `PROJ_DATA=/var/task/share/proj` (before PROJ 9.1: `PROJ_LIB`)",
        true,
    ),
    row(
        "libgdal",
        "tables of formats and coordinate systems (`/usr/share/gdal`)",
        "/gdal/",
        "include them (`--include /usr/share/gdal=share/gdal/`) and set `GDAL_DATA=/var/task/share/gdal`",
        true,
    ),
    row(
        "libmagic",
        "the database `magic.mgc`",
        "magic.mgc",
        "include it (`--include /usr/lib/file/magic.mgc=share/`) and set `MAGIC=/var/task/share/magic.mgc`",
        true,
    ),
    row(
        "libfontconfig",
        "its configuration (`/etc/fonts`) and fonts",
        "fonts.conf",
        "include a `fonts.conf` that names included fonts and a cache below /tmp, and set `FONTCONFIG_FILE` to its path in /var/task",
        true,
    ),
    row(
        "libMagickCore",
        "its coders and configuration (`/usr/lib/*/ImageMagick-*`, `/etc/ImageMagick-*`)",
        "ImageMagick-",
        "include both, and set `MAGICK_CODER_MODULE_PATH` and `MAGICK_CONFIGURE_PATH` to their paths in /var/task",
        true,
    ),
    row(
        "libsasl2",
        "a plugin for every mechanism but EXTERNAL (`/usr/lib/*/sasl2`)",
        "/sasl2/",
        "include the plugins in use (`--include '/usr/lib/x86_64-linux-gnu/sasl2/*.so*=lib/sasl2/'`) and set `SASL_PATH=/var/task/lib/sasl2`",
        true,
    ),
    row(
        "libmariadb",
        "a plugin for most ways to log in, `caching_sha2_password` of MySQL among them (`/usr/lib/*/libmariadb3/plugin`)",
        "_password.so",
        "include them (`--include /usr/lib/x86_64-linux-gnu/libmariadb3/plugin=lib/mariadb/`) and set `MARIADB_PLUGIN_DIR=/var/task/lib/mariadb`",
        true,
    ),
    row(
        "libpython3",
        "Python's standard library (`/usr/lib/python3.*`)",
        "/encodings/",
        "include it (`--include /usr/lib/python3.11=lib/python3.11/` for Python 3.11) and set `PYTHONHOME=/var/task`",
        true,
    ),
    row(
        "libgstreamer-1.0",
        "plugins for all elements (`/usr/lib/*/gstreamer-1.0`), and a program that reads them",
        "gstreamer-1.0/",
        "include both (`--include '/usr/lib/x86_64-linux-gnu/gstreamer-1.0=lib/gstreamer-1.0/'`, `--include '/usr/lib/x86_64-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner=bin/'`) and set `GST_PLUGIN_SYSTEM_PATH=/var/task/lib/gstreamer-1.0`, `GST_PLUGIN_SCANNER=/var/task/bin/gst-plugin-scanner`, `GST_REGISTRY=/tmp/registry.bin`",
        true,
    ),
    row(
        "libkrb5",
        "plugins and `/etc/krb5.conf`",
        "krb5",
        "if the function logs in with Kerberos, include `krb5.conf` and set `KRB5_CONFIG` to its path in /var/task",
        false,
    ),
    row(
        "libcrypto",
        "the module of old algorithms, `legacy.so` (`/usr/lib/*/ossl-modules`)",
        "ossl-modules/",
        "if the function uses MD4, RC4, Blowfish or old PKCS#12 files, include the module and set `OPENSSL_MODULES` to its directory in /var/task",
        false,
    ),
];

/// glibc's iconv has Unicode, ASCII and Latin 1 (as of 2.3x) built in; the rest are modules.
const GCONV: Companion = row(
    "libc",
    "modules for character sets beyond Unicode (`/usr/lib/*/gconv`)",
    "/gconv/",
    "include them (`--include /usr/lib/x86_64-linux-gnu/gconv=lib/gconv/`) and set `GCONV_PATH=/var/task/lib/gconv`",
    true,
);

/// The size limit of ICU's stub for its data: it has a few pages, the data itself some 30 MB.
const ICU_STUB_BYTES: u64 = 1 << 20;
const ICU: Companion = row(
    "libicudata",
    "its data: the library is the empty stub",
    "icudt",
    "include the file `icudt*.dat` of the same version and set `ICU_DATA` to its directory in /var/task",
    true,
);

pub fn lint(scene: &Scene) -> Vec<Finding> {
    scene.libraries.iter().filter_map(|library| of_library(scene, library)).collect()
}

fn of_library(scene: &Scene, library: &File) -> Option<Finding> {
    let is = |companion: &&Companion| library.is_library(companion.stem);
    let companion = if is(&&ICU) && library.size < ICU_STUB_BYTES {
        &ICU
    } else if is(&&GCONV)
        && library.facts.libc() == Libc::Glibc
        && scene.files().any(|file| file.imports("iconv_open"))
    {
        &GCONV
    } else {
        TABLE.iter().find(is)?
    };
    // OpenSSL 1.1 has no providers.
    if companion.stem == "libcrypto" && !library.name.starts_with("libcrypto.so.3") {
        return None;
    }
    if scene.has_member(|path| path.contains(companion.sign)) {
        return None;
    }
    let message = format!("`{}` needs {}, which the bundle does not have", library.name, companion.wants);
    let mut finding = Finding::new(Code::CompanionData, &library.name, message).help(companion.help);
    // A library that the program itself needs is used; one that another library brings may not be.
    let is_asked_for = scene.program.facts.needed.contains(&library.name) || companion.stem == GCONV.stem;
    if !(companion.is_vital && is_asked_for) {
        finding.severity = Severity::Note;
    }
    Some(finding)
}
