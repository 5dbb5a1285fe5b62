//! `companion-data` for libraries that are only names here: whose paths the advice has, and what a bundle of another
//! content says. tests/lambda/companions.rs starts real ones.
#![cfg(target_os = "linux")]

use crate::support::elf::Object;
use crate::support::scene::Scene;

/// A directory with a program `app` that needs this library.
fn scene(library: &str, is_arm: bool) -> Scene {
    let scene = Scene::new();
    let of_machine = |object: Object| if is_arm { object.arm64() } else { object };
    scene.file("app", of_machine(Object::program().needs("libc.so.6").needs(library)).bytes());
    scene.file(library, of_machine(Object::library(library).needs("libc.so.6")).bytes());
    scene.dir("empty");
    scene
}

const CHECK: &str = "check --binary app --sysroot empty --library-path . -v";

/// Checks that the library's finding has this text, and that it is gone if a file of this name is included.
#[track_caller]
fn check(library: &str, said: &str, included: &str) {
    for (is_arm, triple) in [(false, "x86_64-linux-gnu"), (true, "aarch64-linux-gnu")] {
        let scene = scene(library, is_arm);
        let said = said.replace("TRIPLE", triple);
        scene.run(CHECK).exits(0).says(&[&format!("[companion-data]: `{library}` needs "), &said]);
        scene.file(included, "data");
        let name = included.split('/').next().unwrap_or(included);
        scene.run(&format!("{CHECK} --include {name}")).exits(0).keeps_silent_about(&["companion-data"]);
    }
}

#[test]
fn paths_are_those_of_the_architecture_and_the_version() {
    check("libsasl2.so.2", "'/usr/lib/TRIPLE/sasl2/*.so*=lib/sasl2/'", "lib/sasl2/libplain.so");
    check("libmariadb.so.3", "/usr/lib/TRIPLE/libmariadb3/plugin=", "lib/mariadb/caching_sha2_password.so");
    check(
        "libpython3.13.so.1.0",
        "`--include /usr/lib/python3.13=lib/python3.13/`",
        "lib/python3.13/encodings/a.py",
    );
    check("libgstreamer-1.0.so.0", "/usr/lib/TRIPLE/gstreamer1.0/", "lib/gstreamer-1.0/libgstapp.so");
    check("libtesseract.so.5", "set `TESSDATA_PREFIX=/var/task/share/tessdata`", "tessdata/deu.traineddata");
    check("libodbc.so.2", "'/usr/lib/TRIPLE/odbc/*.so=lib/'", "etc/odbcinst.ini");
    check(
        "libQt5Gui.so.5",
        "/usr/lib/TRIPLE/qt5/plugins/platforms/libqoffscreen.so=",
        "qt/platforms/libqminimal.so",
    );
    check(
        "libQt6Gui.so.6",
        "/usr/lib/TRIPLE/qt6/plugins/platforms/libqoffscreen.so=",
        "qt/platforms/libqminimal.so",
    );
    check("libperl.so.5.40", "/usr/lib/TRIPLE/perl/5.40=lib/perl5/", "lib/perl5/strict.pm");
    check("libguile-2.2.so.1", "/usr/lib/TRIPLE/guile/2.2/ccache=", "lib/guile/ice-9/boot-9.go");
    check("libtcl8.6.so", "`--include /usr/share/tcltk/tcl8.6=share/tcl8.6/`", "lib/tcl8.6/init.tcl");
    check(
        "libvips.so.42",
        "'/usr/lib/TRIPLE/vips-modules-*/vips-jxl.so=lib/TRIPLE/'",
        "lib/vips-modules-8.14/vips-jxl.so",
    );
    check("libpoppler.so.126", "no environment variable moves that path", "share/poppler/cMap/a");
}

#[test]
fn other_libraries_of_the_same_family_need_no_files() {
    for library in
        ["libodbcinst.so.2", "libpoppler-cpp.so.0", "libQt5Core.so.5", "libtcl9.0.so", "libvips-cpp.so.42"]
    {
        scene(library, false).run(CHECK).exits(0).keeps_silent_about(&["companion-data"]);
    }
}

#[test]
fn qt_wants_a_platform_if_the_program_makes_an_application() {
    let scene = scene("libQt5Gui.so.5", false);
    scene.run(CHECK).exits(0).says(&["note[companion-data]: `libQt5Gui.so.5` needs"]);
    let constructor = "_ZN15QGuiApplicationC1ERiPPci";
    let app = Object::program().needs("libc.so.6").needs("libQt5Gui.so.5").imports(constructor, None);
    scene.file("app", app.bytes());
    scene.file("libQt5Gui.so.5", Object::library("libQt5Gui.so.5").defines(constructor, None).bytes());
    scene.run(CHECK).exits(0).says(&["warning[companion-data]: `libQt5Gui.so.5` needs"]);
}

#[test]
fn a_library_that_an_included_program_needs_is_used() {
    let scene = scene("libtesseract.so.5", false);
    scene.file("tool", scene.read("app"));
    scene.file("app", Object::program().needs("libc.so.6").bytes());
    scene.run(CHECK).exits(0).keeps_silent_about(&["companion-data"]);
    let ran = scene.run(&format!("{CHECK} --include tool=bin/")).exits(0);
    ran.says(&["warning[companion-data]: `libtesseract.so.5` needs"]);
    // Another library that needs it perhaps does nothing with it.
    scene.file("tool", Object::library("tool").needs("libtesseract.so.5").bytes());
    let ran = scene.run(&format!("{CHECK} --include tool=bin/")).exits(0);
    ran.says(&["note[companion-data]: `libtesseract.so.5` needs"]);
}
