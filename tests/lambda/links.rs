//! Links and modes in an archive and in attached layers: what `verify` says, beside a real start in a root like
//! Lambda's, as Lambda's user.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::command::{command, finish};
use crate::support::compile::Compiler;
use crate::support::lambda_root::{self, LambdaRoot};
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

/// One archive: its files, those of a layer, and whether it starts.
struct Row {
    name: &'static str,
    /// `FILE`, `FILE=WHAT`, `LINK->TARGET`, and `DIRECTORY/`, each with `:MODE` behind it if it is not 0755.
    files: &'static str,
    layer: &'static str,
    starts: bool,
    /// What the report has.
    says: &'static str,
}

const fn starts(name: &'static str, files: &'static str, layer: &'static str) -> Row {
    Row { name, files, layer, starts: true, says: "" }
}

const fn fails(name: &'static str, files: &'static str, layer: &'static str, says: &'static str) -> Row {
    Row { name, files, layer, starts: false, says }
}

const LINKS: &[Row] = &[
    starts("a link to a link", "bootstrap->one one->two two->prog prog", ""),
    starts("a link into a linked directory", "bootstrap->d/prog d->real/ real/prog=prog", ""),
    starts("up from where a link leads", "bootstrap->d/../prog d->a/real a/real/x=text a/prog=prog", ""),
    fails(
        "up from where a link stands",
        "bootstrap->d/../prog d->a/real a/real/x=text prog",
        "",
        "no such file",
    ),
    starts("by its whole path", "bootstrap->/var/task/prog prog", ""),
    starts("out of the archive and back", "bootstrap->../task/prog prog", ""),
    fails("through nothing", "bootstrap->nodir/../prog prog", "", "error[bootstrap-missing]"),
    fails("through a file", "bootstrap->file/../prog file=text prog", "", "error[bootstrap-missing]"),
    fails("a slash behind a file", "bootstrap->prog/ prog", "", "error[bootstrap-missing]"),
    open("to a file of the runtime", "bootstrap->/bin/other", "", true),
    open("to one by a linked directory", "bootstrap->d/other d->/bin", "", true),
    open("to one from where the archive is", "bootstrap->../../bin/other", "", true),
    fails("past the archive", "bootstrap->../task/nope", "", "no such file"),
    fails("a loop", "bootstrap->one one->bootstrap", "", "too many levels of symbolic links"),
    fails("a directory", "bootstrap->d d/x=text", "", "error[bootstrap-missing]"),
    starts("beside the target", "bootstrap->b/prog b/prog=beside b/libfoo.so.1", ""),
    starts(
        "a library by a link to a layer",
        "bootstrap=app lib/libfoo.so.1->/opt/x/libfoo.so.1",
        "x/libfoo.so.1",
    ),
    starts(
        "a layer's library by a link back",
        "bootstrap=app x/libfoo.so.1",
        "lib/libfoo.so.1->/var/task/x/libfoo.so.1",
    ),
    starts("a library of another machine in front", "bootstrap=app libfoo.so.1=arm lib/libfoo.so.1", ""),
];

const LAYERS: &[Row] = &[
    starts("a layer's program", "bootstrap->/opt/bin/prog", "bin/prog=prog"),
    starts("by a linked directory", "bootstrap->d/prog d->/opt/bin", "bin/prog=prog"),
    starts("a layer's link", "bootstrap->/opt/bin/link", "bin/link->prog bin/prog=prog"),
    starts("a layer's link back", "bootstrap->/opt/link prog", "link->/var/task/prog"),
    starts("beside a layer's program", "bootstrap->/opt/bin/prog", "bin/prog=beside bin/libfoo.so.1"),
    fails(
        "not beside it",
        "bootstrap->/opt/bin/prog x/libfoo.so.1",
        "bin/prog=beside",
        "error[missing-library]",
    ),
    starts("only to be executed", "bootstrap->/opt/prog", "prog:0711"),
    fails("not to be executed", "bootstrap->/opt/prog", "prog:0644", "`/opt/prog` has mode 0644"),
    fails("behind a link back", "bootstrap->/opt/link prog:0644", "link->/var/task/prog", "has mode 0644"),
    fails(
        "not to be entered",
        "bootstrap->/opt/bin/prog",
        "bin/:0700 bin/prog=prog",
        "may not enter a directory",
    ),
    starts("a layer's script", "bootstrap->/opt/run prog", "run=script"),
    fails("a script only to be executed", "bootstrap->/opt/run prog", "run=script:0711", "has mode 0711"),
    fails("a text", "bootstrap->/opt/run", "run=text", "`bootstrap` cannot be started"),
    fails("a library", "bootstrap->/opt/libfoo.so.1", "libfoo.so.1", "it is a shared library"),
];

const MODES: &[Row] = &[
    starts("a program only to be executed", "bootstrap=prog:0711", ""),
    starts("beside a program that nothing executes", "bootstrap=prog tools/other=prog:0644", ""),
    fails("a script only to be executed", "bootstrap=script:0711 prog", "", "has mode 0711"),
    starts("a directory to pass through", "bootstrap=app lib/:0711 lib/libfoo.so.1", ""),
    fails("a umask of 077", "bootstrap=app lib/:0700 lib/libfoo.so.1", "", "warning[not-executable]"),
    fails(
        "a directory to be listed",
        "bootstrap=app lib/:0744 lib/libfoo.so.1",
        "",
        "error[missing-library]",
    ),
    fails("around the program", "bootstrap->b/prog b/:0700 b/prog=prog", "", "may not enter a directory"),
    fails(
        "a link in it that leads out",
        "bootstrap=app lib/:0700 lib/libfoo.so.1->../x/libfoo.so.1 x/libfoo.so.1",
        "",
        "error[missing-library]",
    ),
    fails(
        "the same in a layer",
        "bootstrap=app",
        "lib/:0700 lib/libfoo.so.1->../x/libfoo.so.1 x/libfoo.so.1",
        "error[missing-library]",
    ),
    fails(
        "into it and up again",
        "bootstrap->d/../prog d/:0700 d/x=text prog",
        "",
        "may not enter a directory",
    ),
    fails(
        "by a link in it",
        "bootstrap->d/link d/:0700 d/link->../prog prog",
        "",
        "may not enter a directory",
    ),
    fails(
        "behind a linked directory",
        "bootstrap=app lib->c/d c/:0700 c/d/libfoo.so.1=libfoo.so.1",
        "",
        "error[missing-library]",
    ),
    fails("a library not to be read", "bootstrap=app lib/libfoo.so.1:0711", "", "may not read it"),
];

const SCRIPTS: &[Row] = &[
    starts("an option for the shell", "bootstrap=option prog", ""),
    fails("two options are one word", "bootstrap=options prog", "", "one argument `-e -u`"),
    fails("a carriage return behind an option", "bootstrap=return prog", "", "ends in a carriage return"),
    open("an interpreter by a linked directory", "bootstrap=by-link prog d->/bin", "", true),
    open("an interpreter from where the archive is", "bootstrap=by-up prog", "", true),
    fails("no interpreter", "bootstrap=alone prog", "", "its first line names no interpreter"),
    fails("carriage returns in the lines", "bootstrap=returns prog", "", "with a carriage return"),
    fails("a program that is not there", "bootstrap=nope prog", "", "`/var/task/nope`, which is not in"),
    open("carriage returns behind a word", "bootstrap=words prog", "", true),
    open("a program that is not there, perhaps", "bootstrap=perhaps prog", "", true),
    open("a program that is not there, in the end", "bootstrap=else prog", "", false),
    fails(
        "a program that is not in the task root",
        "bootstrap=task prog",
        "",
        "`/var/task/nope`, which is not",
    ),
    starts("a program in the task root", "bootstrap=braces prog", ""),
    open("another task root", "bootstrap=other other/prog=prog", "", true),
    open("an interpreter of nobody's", "bootstrap=foreign prog", "", false),
    open("an interpreter of the runtime's, perhaps", "bootstrap=dash prog", "", true),
    starts("an interpreter of its own", "bootstrap=own prog", ""),
    starts("an interpreter that is a script", "bootstrap=nested run=script prog", ""),
    fails("an interpreter that is a text", "bootstrap=nested run=text prog", "", "it is a text file"),
    fails("an interpreter with a carriage return", "bootstrap=nested run=return prog", "", "`run` ends in"),
    fails(
        "an interpreter that is a library",
        "bootstrap=nested run=libfoo.so.1 prog",
        "",
        "a shared library",
    ),
    fails(
        "an interpreter without an interpreter",
        "bootstrap=nested run=alone prog",
        "",
        "names no interpreter",
    ),
    fails("its own interpreter", "bootstrap=nested run=nested prog", "", "each other's interpreters"),
];

/// Scripts by their lines: only a program that every run executes is one that starts.
const BODIES: &[(&str, &str)] = &[
    ("b-relative", "exec ./prog \"$@\""),
    ("b-lost", "exec ./nope"),
    ("b-cd", "cd $LAMBDA_TASK_ROOT\nexec ./nope"),
    ("b-quoted", "exec \"${LAMBDA_TASK_ROOT}\"/nope"),
    ("b-named", "exec nope"),
    ("b-sourced", ". /var/task/nope.sh"),
    ("b-env", "exec env A=b /var/task/nope"),
    ("b-dirname", "exec $(dirname $0)/nope"),
    ("b-usr", "exec /usr/bin/nope"),
    ("b-opt", "exec /opt/bin/p"),
    ("b-run", "exec /var/task/run"),
    ("b-text", "A=\"\nexec /var/task/nope\n\"\nexec /var/task/prog"),
    ("b-output", "exec /var/task/prog>/tmp/log"),
    ("b-noexec", "set -n\nexec /var/task/prog"),
    ("b-loop", "while :; do /var/task/prog && exit; done"),
    ("b-link", "exec /var/task/d/other -c /var/task/prog"),
    ("b-up", "exec /var/task/../../bin/other -c /var/task/prog"),
    ("b-elsewhere", "cd /tmp\nexec /var/task/b-relative"),
];

/// Scripts whose last line executes the program, if the shell comes to it as it stands there; whether it does.
const COMES: &[(&str, bool)] = &[
    (
        "set -eu\nset -o pipefail\ncd /var/task\numask 022\nexport A=b C=\"$D\"\nexec /var/task/prog \"$@\"",
        false,
    ),
    (
        "set -eu\nset -o pipefail\ncd /var/task\numask 022\nexport A=b C=\"$LAMBDA_TASK_ROOT\"\nexec ./prog \"$@\"",
        true,
    ),
    ("set -eu\nexec /var/task/prog \"$_HANDLER\" $AWS_LAMBDA_RUNTIME_API $1", false),
    ("set -eu\nexec /var/task/prog \"$_HANDLER\" $AWS_LAMBDA_RUNTIME_API", true),
    ("set -euo pipefail\n: ${A:=b}\nexec \"$LAMBDA_TASK_ROOT/prog\" ${A:-b} # it's", true),
    ("readonly A=1 B='two words'\nA2=\"it's\"\nexec '/var/task/prog' $A", true),
    ("exec \"/var/task/my prog\"", true),
    ("exec \"/var/task/prog nope\"", false),
    ("cd /nope\nexec /var/task/prog", true),
    ("set -e\ncd /nope\nexec /var/task/prog", false),
    ("set -e\numask z\nexec /var/task/prog", false),
    (": ${NOPE:?}\nexec /var/task/prog", false),
    ("set -u\nA=$NOPE\nexec /var/task/prog", false),
    ("set -u\nexec /var/task/prog $NOPE", false),
    ("exec /var/task/prog ${NOPE?no}", false),
    ("UID=0\nexec /var/task/prog", false),
    ("readonly A=1\nexport A=2\nexec /var/task/prog", false),
    ("export -Z\nexec /var/task/prog", false),
    ("set -e\n1A=b\nexec /var/task/prog", false),
    ("set -l\nexec /var/task/prog", false),
    ("A=$[1/0]\nexec /var/task/prog", false),
    (": ${a.b}\nexec /var/task/prog", false),
    ("A=\"'\"'\nexec /var/task/prog\n'\nexec /var/task/nope", false),
    ("A=${B-\nexec /var/task/prog\n}\nexec /var/task/nope", false),
    ("exec '\"/var/task/prog\"'", false),
    ("exec '$LAMBDA_TASK_ROOT/prog'", false),
    ("A=\0\nexec /var/task/prog", false),
    ("export \"LD_LIBRARY_PATH=/nope\"\nexec /var/task/app", false),
    ("A=LD_LIBRARY_PATH=/nope\nexport $A\nexec /var/task/app", false),
    ("set -k\nexec /var/task/app LD_LIBRARY_PATH=/nope", false),
    ("set -a\n: ${LD_AUDIT:=/nope} ${LD_PRELOAD:=/nope}\nreadonly A\n: ${A:=b}\nexec /var/task/app", false),
    ("exec /var/task/app", true),
    ("exec /var/task/prog ${1:=x}", false),
    ("set -e\n: ${1=x}\nexec /var/task/prog", false),
    ("exec /var/task/prog ${1:-x}", true),
    ("readonly A=1 A=2\nexec /var/task/prog", false),
    ("set -e\n\"A=b\"\nexec /var/task/prog", false),
    ("set -e\nA\"B\"=c\nexec /var/task/prog", false),
    ("set -e\nA=\"b\"c\nexport \"A=b\" 'B'=c\nexec /var/task/prog", true),
    ("exec ./rooted", true),
    ("LAMBDA_TASK_ROOT=/nope\nexec ./rooted", false),
    ("export LAMBDA_TASK_ROOT=/nope\nexec ./rooted", false),
];

const RUNS: &[Row] = &[
    starts("a relative program", "bootstrap=b-relative prog", ""),
    fails(
        "a relative program that is not there",
        "bootstrap=b-lost prog",
        "",
        "`/var/task/nope`, which is not in",
    ),
    fails("in the task root", "bootstrap=b-cd prog", "", "`/var/task/nope`, which is not in"),
    fails("a variable in quotes", "bootstrap=b-quoted prog", "", "`/var/task/nope`, which is not in"),
    open("a name for the PATH", "bootstrap=b-named prog", "", false),
    open("a script that is not there", "bootstrap=b-sourced prog", "", false),
    open("by another program", "bootstrap=b-env prog", "", false),
    open("by a command's output", "bootstrap=b-dirname prog", "", false),
    open("a program of the runtime", "bootstrap=b-usr prog", "", false),
    open("a program of a layer that is not known", "bootstrap=b-opt prog", "", false),
    starts("a program of a layer", "bootstrap=b-opt prog", "bin/p=prog"),
    fails("a program of a layer without the mode", "bootstrap=b-opt prog", "bin/p=prog:0644", "mode 0644"),
    starts("a script that runs a program", "bootstrap=b-run run=script prog", ""),
    fails(
        "a script that runs nothing",
        "bootstrap=b-run run=b-lost prog",
        "",
        "`/var/task/nope`, which is not in",
    ),
    open("a script that runs elsewhere", "bootstrap=b-elsewhere b-relative prog", "", false),
    fails("a program without the mode", "bootstrap=b-run run=prog:0600", "", "has mode 0600"),
    fails("a library", "bootstrap=b-run run=libfoo.so.1", "", "a shared library"),
    open("a text", "bootstrap=b-run run=text", "", false),
    open("a text that is a script", "bootstrap=b-run run=bare prog", "", true),
    open("a script without an interpreter", "bootstrap=b-run run=alone prog", "", true),
    open("a script for a text", "bootstrap=b-run run=to-text t=text prog", "", true),
    open("a program by a linked directory", "bootstrap=b-link prog d->/bin", "", true),
    open("a program from where the archive is", "bootstrap=b-up prog", "", true),
    open("a link to a program of the runtime", "bootstrap=b-run run->/bin/other", "", true),
    open("lines within quotes", "bootstrap=b-text prog", "", true),
    open("a redirection", "bootstrap=b-output prog", "", true),
    open("nothing is executed", "bootstrap=b-noexec prog", "", true),
    open("a loop", "bootstrap=b-loop prog", "", true),
    open("a line that ends it", "bootstrap=stops prog", "", false),
    fails("a script for the shell", "bootstrap=argument prog", "", "takes the argument `foo`"),
    open("an option that no shell has", "bootstrap=strange prog", "", false),
];

/// What Lambda starts from layers: a `bootstrap` that the function lacks, and every extension.
const STARTED: &[Row] = &[
    starts("a bootstrap of a layer", "data=text", "bootstrap=prog"),
    starts("a script of a layer", "prog", "bootstrap=script"),
    fails("a bootstrap of a layer without the mode", "prog", "bootstrap=prog:0644", "mode 0644"),
    starts("a link of a layer", "prog", "bootstrap->bin/p bin/p=prog"),
    starts("a link of a layer to the function", "prog", "bootstrap->/var/task/prog"),
    open("a link of a layer to the runtime", "prog", "bootstrap->/bin/other", true),
    fails("a link of a layer to nothing", "prog", "bootstrap->nope", "no `bootstrap`"),
    fails("a layer's interpreter", "bootstrap=x-for", "bin/app", "needs `libfoo.so.1`"),
    fails("behind a layer's interpreter", "bootstrap=x-for2", "bin/run=x-for bin/app", "needs `libfoo.so.1`"),
    starts("a layer's interpreter with its library", "bootstrap=x-for", "bin/app lib/libfoo.so.1"),
    fails("neither has one", "prog", "bin/p=prog", "no `bootstrap`"),
    starts("the function's own comes first", "bootstrap=prog", "bootstrap=text"),
    starts("an extension", "bootstrap=prog", "extensions/e=prog"),
    starts("a link to an extension", "bootstrap=prog", "extensions/e->../bin/p bin/p=prog"),
    open("an extension of the runtime's", "bootstrap=prog", "extensions/e->/bin/other", true),
    fails("a script's program", "bootstrap=prog", "extensions/e=x-exec bin/app", "needs `libfoo.so.1`"),
    fails("a script's interpreter", "bootstrap=prog", "extensions/e=x-for bin/app", "needs `libfoo.so.1`"),
    starts(
        "a script's program with its library",
        "bootstrap=prog",
        "extensions/e=x-exec bin/app lib/libfoo.so.1",
    ),
    // The test starts extensions as functions are started.
    open("a directory that is not known", "bootstrap=prog prog", "extensions/e=b-relative", true),
    open("a handler that no extension has", "bootstrap=prog", "extensions/e=x-handler bin/p=prog", true),
    open("no handler behind another script", "bootstrap=prog prog run=r-handler", "extensions/e=x-run", true),
    starts("a directory in extensions", "bootstrap=prog", "extensions/e/=x extensions/e/x=text"),
    fails("an extension without the mode", "bootstrap=prog", "extensions/e=prog:0600", "mode 0600"),
    fails(
        "an extension that only its owner executes",
        "bootstrap=prog",
        "extensions/e=prog:0750",
        "mode 0750",
    ),
    fails("an extension without its library", "bootstrap=prog", "extensions/e=app", "needs `libfoo.so.1`"),
    fails(
        "one that cannot be read, either",
        "bootstrap=prog",
        "extensions/e=app:0711",
        "needs `libfoo.so.1`",
    ),
    fails("a text", "bootstrap=prog", "extensions/README.md=text", "it is a text file"),
    fails("a carriage return", "bootstrap=prog", "extensions/e=return", "carriage return"),
    fails("no interpreter", "bootstrap=prog", "extensions/e=alone", "names no interpreter"),
    fails("a library", "bootstrap=prog", "extensions/e=libfoo.so.1", "a shared library"),
    fails("a link to nothing", "bootstrap=prog", "extensions/e->nope", "leads to no file"),
    fails("a link to a directory", "bootstrap=prog", "extensions/e->../bin bin/p=prog", "leads to no file"),
    fails("a link to a text", "bootstrap=prog", "extensions/e->../t t=text", "it is a text file"),
    fails("a closed directory", "bootstrap=prog", "extensions/:0700 extensions/e=prog", "extensions"),
];

/// A row for which `verify` says that it does not know.
const fn open(name: &'static str, files: &'static str, layer: &'static str, starts: bool) -> Row {
    Row { name, files, layer, starts, says: NOT_PROVED }
}

const NOT_PROVED: &str = "may start on";

/// Starts a file as Lambda does: a shell does not take what the kernel refuses.
const EXECVE: &str = "#define _GNU_SOURCE\n#include <unistd.h>\n\
    int main(int n, char **a) { return execve(a[1], a + 1, environ) ? 126 : 0; }";

/// Compiles what the rows name.
pub(super) fn scene() -> Scene {
    let scene = Scene::new();
    let library = "int foo(void) { return 0; }";
    let app = "int foo(void); int main(void) { return foo(); }";
    scene.library("libfoo.so.1", library, "");
    let arm = Compiler(&["aarch64-linux-gnu-gcc"]);
    arm.compile(scene.path(), library, "arm", "-shared -fPIC -nostdlib -Wl,-soname,libfoo.so.1");
    scene.c(EMPTY, "prog", "").c(app, "app", "libfoo.so.1").c(
        app,
        "beside",
        "libfoo.so.1 -Wl,-rpath,$ORIGIN",
    );
    for (name, line) in [
        ("script", "#!/bin/sh"),
        ("option", "#!/bin/sh -e \t"),
        ("options", "#!/bin/sh -e -u"),
        ("return", "#!/bin/sh -e\r"),
    ] {
        scene.file(name, format!("{line}\nexec /var/task/prog\n"));
    }
    for (name, lines) in [
        ("alone", "#!\nexec /var/task/prog\n"),
        ("returns", "#!/bin/sh\n\r\n# why\r\nA=b\r\nexec /var/task/prog\r\n"),
        ("words", "#!/bin/sh\nexec /var/task/prog a\r\n"),
        ("stops", "#!/bin/sh\nset -eu\n\r\nexec /var/task/prog\n"),
        ("nope", "#!/bin/sh\nset -e\nexport A=b\n\nexec '/var/task/nope' \"$@\"\n"),
        ("perhaps", "#!/bin/sh\n[ -n \"$A\" ] && exec /var/task/nope\nexec /var/task/prog\n"),
        ("else", "#!/bin/sh\nif true; then\n  exec /var/task/nope\nfi\nexec /var/task/prog\n"),
        ("task", "#!/bin/sh\nexec \"$LAMBDA_TASK_ROOT/nope\" \"$@\"\n"),
        ("braces", "#!/bin/sh\ncd ${LAMBDA_TASK_ROOT}\nexec ${LAMBDA_TASK_ROOT}/prog\n"),
        ("other", "#!/bin/sh\nLAMBDA_TASK_ROOT=/var/task/other\nexec $LAMBDA_TASK_ROOT/prog\n"),
        ("opt", "#!/bin/sh\nexec /opt/nope\n"),
        ("foreign", "#!/nope/sh\n"),
        ("dash", "#!/bin/other\nexec /var/task/prog\n"),
        ("own", "#!/var/task/prog\n"),
        ("nested", "#!/var/task/run\n"),
        ("text", "text\n"),
        ("argument", "#!/bin/sh foo\nexec /var/task/prog\n"),
        ("by-link", "#!/var/task/d/sh\nexec /var/task/prog\n"),
        ("by-up", "#!/var/task/../../bin/sh\nexec /var/task/prog\n"),
        ("bare", "exec /var/task/prog\n"),
        ("to-text", "#!/var/task/t\nexec /var/task/prog\n"),
        ("rooted", "#!/bin/sh\nexec \"$LAMBDA_TASK_ROOT/prog\"\n"),
        ("x-for", "#!/opt/bin/app\n"),
        ("x-for2", "#!/opt/bin/run\n"),
        ("x-exec", "#!/bin/sh\nexec /opt/bin/app\n"),
        ("x-handler", "#!/bin/sh\nset -u\nexec /opt/bin/p \"$_HANDLER\"\n"),
        ("r-handler", "#!/bin/sh\nset -u\nexec /var/task/prog \"$_HANDLER\"\n"),
        ("x-run", "#!/bin/sh\ncd /var/task\nexec ./run\n"),
        ("strange", "#!/bin/sh --nosuch\nexec /var/task/prog\n"),
    ] {
        scene.file(name, lines);
    }
    for (name, lines) in BODIES {
        scene.file(name, format!("#!/bin/sh\n{lines}\n"));
    }
    scene.c(EXECVE, "execve", "-static");
    scene
        .file("wrap", "#!/bin/sh\nexport A=b\nexec \"$@\"\n")
        .file("plain", "exec \"$@\"\n")
        .file("empty", "");
    scene
}

/// Lays a row's files out in the directory `NAME.dir`, and zips them to `NAME.zip`.
pub(super) fn zip(scene: &Scene, files: &str, name: &str) {
    let stage = format!("{name}.dir");
    let _ = fs::remove_dir_all(scene.at(&stage));
    let _ = fs::remove_file(scene.at(format!("{name}.zip")));
    scene.dir(&stage);
    let mut modes = Vec::new();
    for file in files.split_whitespace() {
        let (file, mode) = file.split_once(':').unwrap_or((file, "0755"));
        let (name, what) = file.split_once("->").or(file.split_once('=')).unwrap_or((file, file));
        let path = format!("{stage}/{}", name.trim_end_matches('/'));
        if file.contains("->") {
            scene.link(what, path);
            continue;
        }
        if name.ends_with('/') {
            scene.dir(&path);
        } else {
            scene.copy(Path::new(what).file_name().unwrap(), &path);
        }
        modes.push((path, u32::from_str_radix(mode, 8).unwrap()));
    }
    for (path, mode) in modes {
        scene.mode(path, mode);
    }
    let mut command = command("zip", &scene.at(&stage));
    finish(command.args(["-qry", &format!("../{name}.zip"), "."])).exits(0);
}

/// Whether the report and a real start say what the row says; the report about the ZIP, and the one about the directory
/// that it was made of.
fn check(scene: &Scene, row: &Row, root: &LambdaRoot) -> Result<(), String> {
    for place in ["var/task", "opt"] {
        fs::remove_dir_all(root.path(place)).unwrap();
        fs::create_dir(root.path(place)).unwrap();
        fs::set_permissions(root.path(place), fs::Permissions::from_mode(0o755)).unwrap();
    }
    zip(scene, row.files, "app");
    root.unpack_function(&scene.at("app.zip"));
    if !row.layer.is_empty() {
        zip(scene, row.layer, "layer");
        root.unpack_layer(&scene.at("layer.zip"));
    }
    // Lambda starts that of a layer if the function has none, and all extensions.
    let own = fs::symlink_metadata(root.path("var/task/bootstrap")).is_ok();
    let mut started = vec![if own { "/var/task/bootstrap" } else { "/opt/bootstrap" }.to_owned()];
    for extension in fs::read_dir(root.path("opt/extensions")).into_iter().flatten() {
        let extension = extension.unwrap();
        if !extension.file_type().unwrap().is_dir() {
            started.push(format!("/opt/extensions/{}", extension.file_name().to_str().unwrap()));
        }
    }
    let outputs: Vec<_> = started.iter().map(|path| root.start("/execve", &[path])).collect();
    let output = outputs.iter().find(|output| !output.status.success()).unwrap_or(&outputs[0]);
    let exit = if row.starts || row.says == NOT_PROVED { 0 } else { 1 };
    for form in ["zip", "dir"] {
        let layer = match row.layer {
            "" => String::new(),
            _ => format!("--attached-layer layer.{form}"),
        };
        let ran = scene.run(&format!("verify app.{form} --runtime provided.al2023 {layer}"));
        let is_silent = row.says != NOT_PROVED && ran.stderr.contains(NOT_PROVED);
        let says = ran.code == Some(exit) && ran.stderr.contains(row.says) && !is_silent;
        if output.status.success() != row.starts || !says {
            return Err(format!("{} ({form}): {output:?}\n{ran}", row.name));
        }
    }
    Ok(())
}

fn root_of_shells(scene: &Scene, shell: &str, libraries: &[&str]) -> LambdaRoot {
    let root = LambdaRoot::new(Arch::X86_64, libraries);
    fs::create_dir(root.path("bin")).unwrap();
    tools::copy_program(shell, root.path("bin/sh"));
    fs::copy(root.path("bin/sh"), root.path("bin/other")).unwrap();
    tools::copy_program(scene.at("execve"), root.path("execve"));
    root
}

#[track_caller]
fn check_all(rows: &[Row]) {
    let able = lambda_root::require(Arch::X86_64)
        && tools::require("zip", "zip")
        && tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu");
    if !able {
        return;
    }
    let scene = scene();
    let root = root_of_shells(&scene, "/bin/sh", &["libc.so.6"]);
    let wrong: Vec<String> = rows.iter().filter_map(|row| check(&scene, row, &root).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn links_lead_where_the_kernel_follows_them() {
    check_all(LINKS);
}

#[test]
fn a_bootstrap_may_be_a_link_to_a_file_of_a_layer() {
    check_all(LAYERS);
}

#[test]
fn modes_are_those_of_lambdas_user() {
    check_all(MODES);
}

#[test]
fn a_script_starts_if_every_run_executes_what_can_be_started() {
    check_all(RUNS);
}

#[test]
fn a_layer_brings_a_bootstrap_and_extensions() {
    check_all(STARTED);
}

#[test]
fn the_first_line_of_a_script_is_read_as_the_kernel_reads_it() {
    check_all(SCRIPTS);
}

/// The shell of every runtime is bash.
#[test]
fn a_script_starts_only_if_the_shell_comes_to_its_program() {
    if !(lambda_root::require(Arch::X86_64) && tools::require("zip", "zip") && tools::require("bash", "bash"))
    {
        return;
    }
    let scene = scene();
    let root = root_of_shells(&scene, "/bin/bash", &["libc.so.6", "libtinfo.so.6"]);
    let files = "bootstrap=comes prog my_prog=prog app rooted lib/libfoo.so.1";
    let mut wrong = Vec::new();
    for (lines, comes) in COMES {
        scene.file("comes", format!("#!/bin/sh\n{lines}\n"));
        zip(&scene, files, "app");
        // The rows name no file with a blank.
        fs::rename(scene.at("app.dir/my_prog"), scene.at("app.dir/my prog")).unwrap();
        fs::remove_file(scene.at("app.zip")).unwrap();
        let mut command = command("zip", &scene.at("app.dir"));
        finish(command.args(["-qry", "../app.zip", "."])).exits(0);
        fs::remove_dir_all(root.path("var/task")).unwrap();
        fs::create_dir(root.path("var/task")).unwrap();
        fs::set_permissions(root.path("var/task"), fs::Permissions::from_mode(0o755)).unwrap();
        root.unpack_function(&scene.at("app.zip"));
        let output = root.start("/execve", &["/var/task/bootstrap"]);
        let ran = scene.run("verify app.zip --runtime provided.al2023");
        let says_yes = ran.code == Some(0) && !ran.stderr.contains(NOT_PROVED);
        if output.status.success() != *comes || says_yes != *comes {
            wrong.push(format!("{lines}: {output:?}\n{ran}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), COMES.len(), wrong.join("\n"));
}
