//! `companion-data`: libraries that are of little use without files beside them.

use super::{File, Scene};
use crate::audit::{Code, Finding, Severity};
use crate::elf::Libc;
use crate::paths::file_name;

/// A library and the files it needs.
struct Companion {
    /// The library's name up to its version.
    stem: &'static str,
    /// What it needs, and where it looks.
    wants: &'static str,
    /// A part of a path in the bundle that shows that the files are included.
    sign: &'static str,
    /// How to include them. `{arch}` and `{version}` stand for those of the library, `{root}`
    /// for the directory into which Lambda unpacks the bundle.
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

/// .NET's library for languages, whose name got a `lib` in .NET 5.
const DOTNET: &str = "System.Globalization.Native";
const DOTNET_WITH_LIB: &str = "libSystem.Globalization.Native";

/// .NET ends at its start without ICU, unless the program was built without it.
///
/// Source: `GlobalizationNative_LoadICU` in dotnet/runtime's src/native/libs/System.Globalization.Native/pal_icushim.c.
const fn dotnet(stem: &'static str) -> Companion {
    row(
        stem,
        "ICU (`libicuuc.so`, `libicui18n.so`) at the start of .NET",
        "libicuuc.so",
        "if the program is not built with `<InvariantGlobalization>true</InvariantGlobalization>`, set `DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1` or include ICU (`--include '/usr/lib/{arch}-linux-gnu/libicu*.so.*=lib/'`)",
        true,
    )
}

const fn qt(stem: &'static str) -> Companion {
    row(
        stem,
        "a plugin for the platform (`/usr/lib/*/qt*/plugins/platforms`)",
        "/platforms/libq",
        "include the one that needs no screen (`--include /usr/lib/{arch}-linux-gnu/qt{version}/plugins/platforms/libqoffscreen.so=lib/qt{version}/platforms/`) and set `QT_PLUGIN_PATH={root}/lib/qt{version}`, `QT_QPA_PLATFORM=offscreen`",
        true,
    )
}

/// The paths are Debian's; other systems have similar ones.
const TABLE: &[Companion] = &[
    row(
        "libproj",
        "the database `proj.db`",
        "/proj.db",
        "include it (`--include /usr/share/proj=share/proj/`) and set `PROJ_DATA={root}/share/proj` (before PROJ 9.1: `PROJ_LIB`)",
        true,
    ),
    row(
        "libgdal",
        "tables of formats and coordinate systems (`/usr/share/gdal`)",
        "/gdal/",
        "include them (`--include /usr/share/gdal=share/gdal/`) and set `GDAL_DATA={root}/share/gdal`",
        true,
    ),
    row(
        "libmagic",
        "the database `magic.mgc`",
        "magic.mgc",
        "include it (`--include /usr/lib/file/magic.mgc=share/`) and set `MAGIC={root}/share/magic.mgc`",
        true,
    ),
    row(
        "libfontconfig",
        "its configuration (`/etc/fonts`) and fonts",
        "fonts.conf",
        "include a `fonts.conf` that names included fonts and a cache below /tmp, and set `FONTCONFIG_FILE` to its path in {root}",
        true,
    ),
    row(
        "libMagickCore",
        "its coders and configuration (`/usr/lib/*/ImageMagick-*`, `/etc/ImageMagick-*`)",
        "ImageMagick-",
        "include both, and set `MAGICK_CODER_MODULE_PATH` and `MAGICK_CONFIGURE_PATH` to their paths in {root}",
        true,
    ),
    row(
        "libsasl2",
        "a plugin for every mechanism but EXTERNAL (`/usr/lib/*/sasl2`)",
        "/sasl2/",
        "include the plugins in use (`--include '/usr/lib/{arch}-linux-gnu/sasl2/*.so*=lib/sasl2/'`) and set `SASL_PATH={root}/lib/sasl2`",
        true,
    ),
    row(
        "libmariadb",
        "plugins to log in, such as MySQL's `caching_sha2_password` (`/usr/lib/*/libmariadb3/plugin`)",
        "_password.so",
        "include them (`--include /usr/lib/{arch}-linux-gnu/libmariadb3/plugin=lib/mariadb/`) and set `MARIADB_PLUGIN_DIR={root}/lib/mariadb`",
        true,
    ),
    row(
        "libpython3",
        "Python's standard library (`/usr/lib/python3.*`)",
        "/encodings/",
        "include it (`--include /usr/lib/python{version}=lib/python{version}/`) and set `PYTHONHOME={root}`",
        true,
    ),
    row(
        "libgstreamer-1.0",
        "its plugins (`/usr/lib/*/gstreamer-1.0`) and a program that reads them",
        "gstreamer-1.0/",
        "include both (`--include '/usr/lib/{arch}-linux-gnu/gstreamer-1.0=lib/gstreamer-1.0/'`, `--include '/usr/lib/{arch}-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner=bin/'`) and set `GST_PLUGIN_SYSTEM_PATH={root}/lib/gstreamer-1.0`, `GST_PLUGIN_SCANNER={root}/bin/gst-plugin-scanner`, `GST_REGISTRY=/tmp/registry.bin`",
        true,
    ),
    row(
        "libtesseract",
        "the models of the languages (`/usr/share/tesseract-ocr`)",
        ".traineddata",
        "include them (`--include /usr/share/tesseract-ocr/5/tessdata=share/tessdata/`; Tesseract 4 has `4.00` in place of `5`) and set `TESSDATA_PREFIX={root}/share/tessdata`",
        true,
    ),
    row(
        "libodbc",
        "a driver (`/usr/lib/*/odbc`), and an `odbcinst.ini` that names it",
        "odbcinst.ini",
        "include both (`--include /etc/odbcinst.ini=etc/`, `--include '/usr/lib/{arch}-linux-gnu/odbc/*.so=lib/'`), and set `ODBCSYSINI={root}/etc`; the file must name the driver without a directory",
        true,
    ),
    qt("libQt5Gui"),
    qt("libQt6Gui"),
    row(
        "libperl",
        "Perl's modules (`/usr/share/perl`, `/usr/lib/*/perl`)",
        "/strict.pm",
        "include them (`--include /usr/share/perl/{version}=lib/perl5/`, `--include /usr/lib/{arch}-linux-gnu/perl/{version}=lib/perl5/`) and set `PERL5LIB={root}/lib/perl5`",
        true,
    ),
    row(
        "libguile",
        "Guile's modules (`/usr/share/guile`, `/usr/lib/*/guile`)",
        "/ice-9/",
        "include them (`--include /usr/share/guile/{version}=share/guile/`, `--include /usr/lib/{arch}-linux-gnu/guile/{version}/ccache=lib/guile/ccache/`) and set `GUILE_SYSTEM_PATH={root}/share/guile`, `GUILE_SYSTEM_COMPILED_PATH={root}/lib/guile/ccache`",
        true,
    ),
    row(
        "libtcl8",
        "Tcl's scripts (`/usr/share/tcltk`)",
        "/init.tcl",
        "include them (`--include /usr/share/tcltk/tcl{version}=share/tcl{version}/`) and set `TCL_LIBRARY={root}/share/tcl{version}`",
        true,
    ),
    row(
        "libvips.so",
        "modules for HEIF, JPEG XL, PDF and others (`/usr/lib/*/vips-modules-*`)",
        "vips-modules-",
        "if the function reads or writes one of them, include its module (for JPEG XL `--include '/usr/lib/{arch}-linux-gnu/vips-modules-*/vips-jxl.so=lib/{arch}-linux-gnu/'`) and set `VIPSHOME={root}/lib`",
        false,
    ),
    row(
        "libpoppler.so",
        "tables of character sets (`/usr/share/poppler`)",
        "/poppler/",
        "if the function reads Chinese, Japanese or Korean text, include them (`--include /usr/share/poppler=share/poppler/`) and let the program call `poppler::set_data_dir(\"{root}/share/poppler\")` of libpoppler-cpp first; no environment variable moves that path, and libpoppler-glib has no such function",
        false,
    ),
    dotnet(DOTNET),
    dotnet(DOTNET_WITH_LIB),
    row(
        "libkrb5",
        "plugins and `/etc/krb5.conf`",
        "krb5",
        "if the function logs in with Kerberos, include `krb5.conf` and set `KRB5_CONFIG` to its path in {root}",
        false,
    ),
    row(
        "libcrypto",
        "the module of old algorithms, `legacy.so` (`/usr/lib/*/ossl-modules`)",
        "ossl-modules/",
        "if the function uses MD4, RC4, Blowfish or old PKCS#12 files, include the module and set `OPENSSL_MODULES` to its directory in {root}",
        false,
    ),
];

/// glibc's iconv has Unicode, ASCII and Latin 1 (as of 2.3x) built in; the rest are modules.
const GCONV: Companion = row(
    "libc",
    "modules for character sets beyond Unicode (`/usr/lib/*/gconv`)",
    "/gconv/",
    "include them (`--include /usr/lib/{arch}-linux-gnu/gconv=lib/gconv/`) and set `GCONV_PATH={root}/lib/gconv`",
    true,
);

/// The size limit of ICU's stub for its data: it has a few pages, the data itself some 30 MB.
const ICU_STUB_BYTES: u64 = 1 << 20;
const ICU: Companion = row(
    "libicudata",
    "its data: the library is the empty stub",
    "icudt",
    "include the file `icudt*.dat` of the same version and set `ICU_DATA` to its directory in {root}",
    true,
);

/// The helper that git starts for servers behind https. Of git's programs only `git` itself has the name whole.
///
/// Source: `get_helper` in git's transport-helper.c, which starts `remote-https` as a command of git.
pub(super) const GIT_HELPER: &str = "git-remote-https";

pub fn lint(scene: &Scene) -> Vec<Finding> {
    let libraries = scene.libraries.iter().filter_map(|library| of_library(scene, library));
    libraries.chain(scene.others.iter().filter_map(|program| git(scene, program))).collect()
}

/// For git among the included programs.
fn git(scene: &Scene, program: &File) -> Option<Finding> {
    const DIRECTORY: &str = "/git-core";
    // Its helpers have the directory's name, too, but not that of the helper.
    let is_git =
        program.holds(GIT_HELPER) && program.c_string(GIT_HELPER, |text| text == GIT_HELPER).is_some();
    let helpers = program.c_string(DIRECTORY, |text| text.starts_with('/') && text.ends_with(DIRECTORY));
    let helpers = helpers.filter(|_| is_git)?;
    if scene.has_member(|path| file_name(path) == GIT_HELPER) {
        return None;
    }
    let message = format!(
        "`{}` needs a helper for http and https (`{helpers}/{GIT_HELPER}`), which the bundle lacks",
        program.name
    );
    // Git looks for itself there, too.
    let own = program.name.rsplit_once('/').map(|(directory, _)| directory);
    let directory = own.filter(|directory| !directory.starts_with('/')).unwrap_or("lib/git-core");
    let root = scene.kind.root();
    let help = format!(
        "include it beside git (`--include '{helpers}/git-remote-http*={directory}/'`) and set `GIT_EXEC_PATH={root}/{directory}`"
    );
    Some(Finding::new(Code::CompanionData, &program.name, message).help(help))
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
    let message = format!("`{}` needs {}, which the bundle lacks", library.name, companion.wants);
    let arch = scene.subject.lambda.arch().gnu_name();
    let help = companion.help.replace("{arch}", arch).replace("{version}", version(&library.name));
    let help = help.replace("{root}", scene.kind.root());
    let mut finding = Finding::new(Code::CompanionData, &library.name, message).help(help);
    if !(companion.is_vital && is_used(scene, library, companion)) {
        finding.severity = Severity::Note;
    }
    Some(finding)
}

/// Whether the program surely uses a library for what needs the files.
fn is_used(scene: &Scene, library: &File, companion: &Companion) -> bool {
    // Pictures and fonts work without a platform.
    if companion.stem.starts_with("libQt") {
        return scene.programs().any(makes_qt_application);
    }
    // A library that a program itself needs is used; one that another library brings may not be.
    [GCONV.stem, DOTNET, DOTNET_WITH_LIB].contains(&companion.stem)
        || scene.programs().any(|program| program.facts.needed.contains(&library.name))
}

/// Whether a program calls a constructor of `QGuiApplication` or `QApplication`.
fn makes_qt_application(program: &File) -> bool {
    let symbols = &program.facts.symbols;
    let mut imports =
        symbols.iter().filter(|symbol| !symbol.defined).map(|symbol| symbols.name_bytes(symbol));
    imports.any(|name| name.starts_with(b"_ZN15QGuiApplicationC") || name.starts_with(b"_ZN12QApplicationC"))
}

/// Returns the first number in a library's name, with its dots: `3.11` of `libpython3.11.so.1.0`.
fn version(name: &str) -> &str {
    let start = name.find(|digit: char| digit.is_ascii_digit()).unwrap_or(name.len());
    let rest = &name[start..];
    let end = rest.find(|digit: char| digit != '.' && !digit.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].trim_end_matches('.')
}
