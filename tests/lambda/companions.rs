//! Libraries that are of little use without files beside them: what the advice of `companion-data` is worth.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use crate::support::command::{command, finish, run};
use crate::support::compile::{CC, Compiler, require_debian_12, require_library};
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

/// A library, and a program that needs the files beside it.
struct Companion {
    severity: &'static str,
    library: &'static str,
    /// The packages with the library and with its files.
    packages: &'static str,
    compiler: Compiler<'static>,
    /// Prints "found" if the files are there.
    program: &'static str,
    /// The arguments and the environment that the finding advises.
    advice: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// A C program that uses the library itself, without which the library can do nothing.
const WARNING: Companion = Companion {
    severity: "warning",
    library: "",
    packages: "",
    compiler: CC,
    program: "",
    advice: &[],
    environment: &[],
};

#[track_caller]
fn check(companion: &Companion) {
    let Companion { severity, library, packages, compiler, program, advice, environment } = *companion;
    if !lambda_root::require(Arch::X86_64) || !require_debian_12() || !require_library(library, packages) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    compiler.compile(dir.path(), program, "app", &format!("-Wl,--no-as-needed -l:{library}"));
    // Notes are not shown without -v.
    let alone = run(dir.path(), "--binary app -o alone.zip -v --compression fast").exits(0);
    let alone = alone.says(&[&format!("{severity}[companion-data]: `{library}` needs")]);
    let (stdout, _) = start(&dir.path().join("alone.zip"), &[]);
    assert!(!stdout.contains("found\n"));

    let said = alone.stderr.replace('\'', "");
    for (name, value) in environment {
        assert!(said.contains(&format!("{name}={value}")), "{said}");
    }
    for include in advice {
        assert!(said.contains(&format!("--include {include}")), "{said}");
    }
    let include: Vec<String> = advice.iter().map(|include| format!("--include {include}")).collect();
    run(dir.path(), &format!("--binary app -o app.zip -v --compression fast {}", include.join(" ")))
        .exits(0)
        .keeps_silent_about(&[&format!("companion-data]: `{library}`")]);
    let (stdout, stderr) = start(&dir.path().join("app.zip"), environment);
    assert_eq!(stdout, "found\n", "{stderr}");
}

fn start(zip: &Path, environment: &[(&str, &str)]) -> (String, String) {
    let mut root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    furnish(&root);
    root.unpack_function(zip);
    for (name, value) in environment {
        root.set_env(name, value);
    }
    let output = root.start("/var/task/bootstrap", &[]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Adds what Debian's copies of libcurl and libxml2 need and Amazon's do not, and two of glibc's converters.
///
/// Source: glibc.spec of Fedora and its kin, which has these converters in the package `glibc` itself.
fn furnish(root: &LambdaRoot) {
    const GCONV: &str = "usr/lib64/gconv";
    fs::create_dir(root.path(GCONV)).unwrap();
    for name in ["ISO8859-1.so", "UTF-16.so", "gconv-modules"] {
        let file = Path::new("/usr/lib/x86_64-linux-gnu/gconv").join(name);
        fs::copy(file, root.path(GCONV).join(name)).unwrap();
    }
    // The last directory of the library path.
    fs::create_dir(root.path("opt/lib")).unwrap();
    let ldd = "ldd /usr/lib/x86_64-linux-gnu/libcurl.so.4 /usr/lib/x86_64-linux-gnu/libxml2.so.2";
    let needed = finish(command("sh", Path::new("/")).args(["-c", ldd])).exits(0);
    for (name, path) in needed.stdout.lines().filter_map(|line| line.trim().split_once(" => ")) {
        if !root.path("usr/lib64").join(name).exists() {
            let path = path.split(' ').next().unwrap_or_default();
            fs::copy(path, root.path("opt/lib").join(name)).unwrap();
        }
    }
}

#[test]
fn mariadb_finds_its_plugins() {
    check(&Companion {
        library: "libmariadb.so.3",
        packages: "libmariadb3",
        program: "#include <stdio.h>\n\
            void *mysql_init(void *), *mysql_client_find_plugin(void *, const char *, int);\n\
            int main(void) { void *h = mysql_init(0);\n\
            puts(mysql_client_find_plugin(h, \"caching_sha2_password\", 2) ? \"found\" : \"no plugin\"); }",
        advice: &["/usr/lib/x86_64-linux-gnu/libmariadb3/plugin=lib/mariadb/"],
        environment: &[("MARIADB_PLUGIN_DIR", "/var/task/lib/mariadb")],
        ..WARNING
    });
}

#[test]
fn python_finds_its_standard_library() {
    check(&Companion {
        library: "libpython3.11.so.1.0",
        packages: "libpython3.11",
        program: "void Py_Initialize(void); int PyRun_SimpleString(const char *);\n\
            int main(void) { Py_Initialize();\n\
            return PyRun_SimpleString(\"import json; print(json.loads('\\\"found\\\"'), flush=True)\"); }",
        advice: &["/usr/lib/python3.11=lib/python3.11/"],
        environment: &[("PYTHONHOME", "/var/task")],
        ..WARNING
    });
}

#[test]
fn gstreamer_finds_its_plugins() {
    check(&Companion {
        library: "libgstreamer-1.0.so.0",
        packages: "libgstreamer1.0-0",
        program: "#include <stdio.h>\nvoid gst_init(int *, char ***), *gst_element_factory_find(const char *);\n\
            int main(void) { gst_init(0, 0); puts(gst_element_factory_find(\"fakesink\") ? \"found\" : \"none\"); }",
        advice: &[
            "/usr/lib/x86_64-linux-gnu/gstreamer-1.0=lib/gstreamer-1.0/",
            "/usr/lib/x86_64-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner=bin/",
        ],
        environment: &[
            ("GST_PLUGIN_SYSTEM_PATH", "/var/task/lib/gstreamer-1.0"),
            ("GST_PLUGIN_SCANNER", "/var/task/bin/gst-plugin-scanner"),
            ("GST_REGISTRY", "/tmp/registry.bin"),
        ],
        ..WARNING
    });
}

#[test]
fn tesseract_finds_its_models() {
    check(&Companion {
        library: "libtesseract.so.5",
        packages: "libtesseract5 tesseract-ocr-eng",
        program: "#include <stdio.h>\n\
            void *TessBaseAPICreate(void); int TessBaseAPIInit3(void *, const char *, const char *);\n\
            int main(void) { puts(TessBaseAPIInit3(TessBaseAPICreate(), 0, \"eng\") ? \"no model\" : \"found\"); }",
        advice: &["/usr/share/tesseract-ocr/5/tessdata=share/tessdata/"],
        environment: &[("TESSDATA_PREFIX", "/var/task/share/tessdata")],
        ..WARNING
    });
}

#[test]
fn unix_odbc_finds_its_drivers() {
    check(&Companion {
        library: "libodbc.so.2",
        packages: "libodbc2 libsqliteodbc",
        program: "#include <stdio.h>\n\
            short SQLAllocHandle(short, void *, void **), SQLSetEnvAttr(void *, int, void *, int),\n\
                SQLDriverConnect(void *, void *, char *, short, char *, short, short *, unsigned short);\n\
            int main(void) { void *environment, *connection; SQLAllocHandle(1, 0, &environment);\n\
            SQLSetEnvAttr(environment, 200, (void *)3, 0); SQLAllocHandle(2, environment, &connection);\n\
            char text[] = \"Driver=SQLite3;Database=/tmp/database\";\n\
            puts(SQLDriverConnect(connection, 0, text, -3, 0, 0, 0, 0) ? \"no driver\" : \"found\"); }",
        advice: &["/etc/odbcinst.ini=etc/", "/usr/lib/x86_64-linux-gnu/odbc/*.so=lib/"],
        environment: &[("ODBCSYSINI", "/var/task/etc")],
        ..WARNING
    });
}

/// The page has one character of a font that the file does not contain.
const POPPLER: &str = r#"
#include <cstdio>
#include <poppler/cpp/poppler-document.h>
#include <poppler/cpp/poppler-global.h>
#include <poppler/cpp/poppler-page.h>
int main() {
    const char pdf[] = R"(%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 25>>stream
BT/F 9 Tf 9 9 Td<D6D0>Tj ET
endstream
endobj
5 0 obj<</Type/Font/Subtype/Type0/BaseFont/S/Encoding/GBK-EUC-H/DescendantFonts[6 0 R]>>endobj
6 0 obj<</Type/Font/Subtype/CIDFontType0/BaseFont/S/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 0>>/FontDescriptor 7 0 R>>endobj
7 0 obj<</Type/FontDescriptor/FontName/S/Flags 4>>endobj
trailer<</Root 1 0 R/Size 8>>
)";
    poppler::set_data_dir("/var/task/share/poppler");
    auto* document = poppler::document::load_from_raw_data(pdf, sizeof pdf);
    auto text = document->create_page(0)->text();
    std::puts(text[0] == 0x4e2d ? "found" : "no text");
}
"#;

#[test]
fn poppler_finds_its_encodings_where_the_program_says() {
    check(&Companion {
        severity: "note",
        library: "libpoppler.so.126",
        packages: "libpoppler126 libpoppler-cpp-dev poppler-data",
        compiler: Compiler(&["c++", "-Wl,--no-as-needed", "-l:libpoppler-cpp.so.0"]),
        program: POPPLER,
        advice: &["/usr/share/poppler=share/poppler/"],
        environment: &[],
    });
}

/// The constructor of `QGuiApplication`, which opens the platform's plugin; of an ordinary program, with no headers.
const QT: &str = "#include <stdio.h>\n#include <unistd.h>\n\
    void start(void *, int *, char **, int) __asm__(\"_ZN15QGuiApplicationC1ERiPPci\");\n\
    int main(int count, char **arguments) { static long application[64];\n\
    start(application, &count, arguments, 0x050f00); puts(\"found\"); fflush(stdout); _exit(0); }";

#[test]
fn qt_5_finds_its_platform() {
    check(&Companion {
        library: "libQt5Gui.so.5",
        packages: "libqt5gui5",
        program: QT,
        advice: &["/usr/lib/x86_64-linux-gnu/qt5/plugins/platforms/libqoffscreen.so=lib/qt5/platforms/"],
        environment: &[("QT_PLUGIN_PATH", "/var/task/lib/qt5"), ("QT_QPA_PLATFORM", "offscreen")],
        ..WARNING
    });
}

#[test]
fn qt_6_finds_its_platform() {
    check(&Companion {
        library: "libQt6Gui.so.6",
        packages: "libqt6gui6",
        program: QT,
        advice: &["/usr/lib/x86_64-linux-gnu/qt6/plugins/platforms/libqoffscreen.so=lib/qt6/platforms/"],
        environment: &[("QT_PLUGIN_PATH", "/var/task/lib/qt6"), ("QT_QPA_PLATFORM", "offscreen")],
        ..WARNING
    });
}

#[test]
fn perl_finds_its_modules() {
    check(&Companion {
        library: "libperl.so.5.36",
        packages: "libperl5.36",
        program: "typedef struct Perl Perl; Perl *perl_alloc(void); void Perl_sys_init3(int *, char ***, char ***),\n\
            perl_construct(Perl *), boot_DynaLoader(Perl *, void *);\n\
            void *Perl_newXS(Perl *, const char *, void *, const char *);\n\
            int perl_parse(Perl *, void (*)(Perl *), int, char **, char **), perl_run(Perl *);\n\
            static void start(Perl *perl) {\n\
            Perl_newXS(perl, \"DynaLoader::boot_DynaLoader\", boot_DynaLoader, __FILE__); }\n\
            int main(int count, char **arguments, char **environment) {\n\
            Perl_sys_init3(&count, &arguments, &environment); Perl *perl = perl_alloc(); perl_construct(perl);\n\
            char *words[] = {\"\", \"-e\", \"use strict; use POSIX; $| = 1; print 'found', qq(\\n);\", 0};\n\
            return perl_parse(perl, start, 3, words, 0) || perl_run(perl); }",
        advice: &["/usr/share/perl/5.36=lib/perl5/", "/usr/lib/x86_64-linux-gnu/perl/5.36=lib/perl5/"],
        environment: &[("PERL5LIB", "/var/task/lib/perl5")],
        ..WARNING
    });
}

#[test]
fn guile_finds_its_modules() {
    check(&Companion {
        library: "libguile-3.0.so.1",
        packages: "guile-3.0-libs",
        program: "void scm_boot_guile(int, char **, void (*)(void *, int, char **), void *), *scm_c_eval_string(const char *);\n\
            static void start(void *data, int count, char **arguments) {\n\
            scm_c_eval_string(\"(use-modules (ice-9 match))\");\n\
            scm_c_eval_string(\"(begin (display (match 1 (1 \\\"found\\n\\\"))) (force-output))\"); }\n\
            int main(int count, char **arguments) { scm_boot_guile(count, arguments, start, 0); }",
        advice: &[
            "/usr/share/guile/3.0=share/guile/",
            "/usr/lib/x86_64-linux-gnu/guile/3.0/ccache=lib/guile/ccache/",
        ],
        environment: &[
            ("GUILE_SYSTEM_PATH", "/var/task/share/guile"),
            ("GUILE_SYSTEM_COMPILED_PATH", "/var/task/lib/guile/ccache"),
        ],
        ..WARNING
    });
}

#[test]
fn tcl_finds_its_scripts() {
    check(&Companion {
        library: "libtcl8.6.so",
        packages: "libtcl8.6",
        program: "#include <stdio.h>\nvoid *Tcl_CreateInterp(void); int Tcl_Init(void *);\n\
            int main(void) { puts(Tcl_Init(Tcl_CreateInterp()) ? \"no scripts\" : \"found\"); }",
        advice: &["/usr/share/tcltk/tcl8.6=share/tcl8.6/"],
        environment: &[("TCL_LIBRARY", "/var/task/share/tcl8.6")],
        ..WARNING
    });
}

/// A server of one file, the list of a repository's branches, and its address.
fn repository() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let list = format!("{}\trefs/heads/found\n", "5".repeat(40));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len()).unwrap();
        }
    });
    format!("http://{address}/repository")
}

#[test]
fn git_among_the_included_files_finds_its_helpers() {
    if !lambda_root::require(Arch::X86_64) || !require_debian_12() || !tools::require("git", "git") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = "#include <unistd.h>\n\
        int main(void) { return execl(\"/var/task/bin/git\", \"git\", \"ls-remote\", getenv(\"FROM\"), NULL); }";
    CC.compile(dir.path(), &format!("#include <stdlib.h>\n{program}"), "app", "");
    let bundle = "--binary app -o app.zip --compression fast --include /usr/bin/git=bin/";
    let helpers = "'/usr/lib/git-core/git-remote-http*=bin/'";
    run(dir.path(), bundle).exits(0).says(&[
        "warning[companion-data]: `bin/git` needs a helper",
        &format!("`--include {helpers}`) and set `GIT_EXEC_PATH=/var/task/bin`"),
    ]);
    run(dir.path(), "verify app.zip").says(&["warning[companion-data]: `bin/git` needs a helper"]);
    let zip = dir.path().join("app.zip");
    let environment = [("FROM", &*repository()), ("GIT_EXEC_PATH", "/var/task/bin")];
    let (_, stderr) = start(&zip, &environment);
    assert!(stderr.contains("'remote-http' is not a git command"), "{stderr}");

    let bundle = format!("{bundle} --include {}", helpers.replace('\'', ""));
    run(dir.path(), &bundle).exits(0).keeps_silent_about(&["companion-data"]);
    run(dir.path(), "verify app.zip").exits(0).keeps_silent_about(&["companion-data"]);
    let (stdout, stderr) = start(&zip, &environment);
    assert!(stdout.ends_with("refs/heads/found\n"), "{stdout} {stderr}");
}
