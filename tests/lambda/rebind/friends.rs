//! Names that look like those that are rebound and are something else: programs linked to glibc 2.41 either do on an
//! older one what they do on 2.41, or are refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_lambda_bundle::elf::Arch;

use crate::rebind::edit::compile;
use crate::support::command::{Ran, run};
use crate::support::compile::CC;
use crate::support::debian::DEBIAN_13;
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::tools;

const SIGN: &str = "\n__attribute__((used)) static const char sign[] = \"AWS_LAMBDA_RUNTIME_API\";\n";

/// Opens the plugin that the first argument names, and prints what it makes of a number.
const OPENER: &str = "#include <dlfcn.h>\n#include <stdio.h>\n\
    int main(int count, char **arguments) { void *plugin = dlopen(arguments[1], RTLD_NOW); \
    long (*parse)(const char *) = plugin ? (long (*)(const char *)) dlsym(plugin, \"parse\") : 0; \
    if (!parse) { puts(dlerror()); return 1; } printf(\"%ld\\n\", parse(\"42\")); return 0; }\n";

/// Prints what the library makes of a number.
const CALLER: &str = "#include <stdio.h>\nlong parse(const char *);\n\
    int main(void) { printf(\"%ld\\n\", parse(\"42\")); return 0; }\n";

/// Refers to `__isoc23_strtol`.
const PARSE: &str = "#include <stdlib.h>\nlong parse(const char *text) { return strtol(text, 0, 10); }\n";

/// Defines a function of this name that returns -1.
fn impostor(name: &str) -> String {
    format!("\nlong {name}(const char *text, char **end, int base) {{ return -1; }}\n")
}

/// A directory with programs and libraries that were linked to glibc 2.41.
struct Linked {
    root: PathBuf,
    dir: tempfile::TempDir,
}

impl Linked {
    /// `None` if they cannot be linked or started here.
    #[track_caller]
    fn new() -> Option<Linked> {
        let is_older = tools::require_glibc_before(38);
        let root =
            (is_older && lambda_root::require(Arch::X86_64)).then(|| DEBIAN_13.unpacked()).flatten()?;
        Some(Linked { root, dir: tempfile::tempdir().unwrap() })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Links `app` with the libraries among the flags.
    #[track_caller]
    fn program(&self, source: &str, flags: &str) -> &Linked {
        let flags = format!("-std=gnu2x -D_GNU_SOURCE -O1 -fno-builtin -w -Wl,-rpath-link,. {flags}");
        compile(&self.root, self.path(), &format!("{source}{SIGN}"), "app", &flags);
        self
    }

    #[track_caller]
    fn library(&self, name: &str, source: &str, flags: &str) -> &Linked {
        let flags = format!("-std=gnu2x -fno-builtin -w -shared -fPIC -Wl,-soname,{name} {flags}");
        compile(&self.root, self.path(), source, name, &flags);
        self
    }

    /// A library that needs no other, not even glibc.
    #[track_caller]
    fn own(&self, name: &str, source: &str) -> &Linked {
        let flags = format!("-fno-builtin -w -shared -fPIC -nostdlib -Wl,-soname,{name}");
        CC.compile_as_is(self.path(), source, name, &flags);
        self
    }

    /// What the program prints on glibc 2.41.
    #[track_caller]
    fn on_2_41(&self, argument: &str) -> String {
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        let search = format!("{}:{}", libraries.display(), self.path().display());
        command.args(["--library-path", &search]).arg(self.path().join("app"));
        let output = command.arg(self.path().join(argument)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn bundle(&self, flags: &str) -> Ran {
        run(self.path(), &format!("--binary app --library-path . -v -o app.zip {flags}"))
    }

    /// Bundles `app`, starts it, and compares what it prints with what it prints on glibc 2.41.
    #[track_caller]
    fn does_the_same(&self, flags: &str, argument: &str, expected: &str) -> Ran {
        assert_eq!(self.on_2_41(argument), expected, "on glibc 2.41");
        let ran = self.bundle(flags).exits(0);
        assert_eq!(self.start(argument), expected, "{ran}");
        ran
    }

    /// Starts what was bundled.
    #[track_caller]
    fn start(&self, argument: &str) -> String {
        let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
        root.unpack_function(&self.path().join("app.zip"));
        let output = root.start("/var/task/bootstrap", &[argument]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The program is refused for this need of this file; on glibc 2.41 it prints something else than -1.
    #[track_caller]
    fn is_refused(&self, flags: &str, argument: &str, expected: &str, need: &str) {
        assert_eq!(self.on_2_41(argument), expected, "on glibc 2.41");
        self.bundle(flags)
            .exits(1)
            .says(&[&format!("error[version-too-new]: {need}, which the `libc.so.6`")]);
        assert!(!self.path().join("app.zip").exists());
    }
}

const PLUGIN: &str = "plugins/libplugin.so";

/// The flag by which the plugin is in the bundle.
const WITH_PLUGIN: &str = "--include libplugin.so=plugins/libplugin.so";

#[test]
fn a_strtol_of_the_programs_own_is_not_the_one_that_a_library_means() {
    let Some(linked) = Linked::new() else { return };
    let own = format!("{CALLER}{}", impostor("strtol"));
    linked.library("libparse.so.1", PARSE, "");
    // The library defines it for the linker, so that the program exports its own: a renamed reference would find it.
    linked.program(&own, "libparse.so.1 -Wl,-u,strtol");
    linked.is_refused("", "", "42\n", "`libparse.so.1` needs GLIBC_2.38");
    // Where no other file sees it, it does not matter.
    linked.program(&own.replace("long strtol", "static long own"), "libparse.so.1");
    linked.does_the_same("", "", "42\n");
}

#[test]
fn a_program_that_defines_the_new_name_itself_is_still_the_one_that_is_called() {
    let Some(linked) = Linked::new() else { return };
    linked.library("libparse.so.1", PARSE, "");
    linked.program(&format!("{CALLER}{}", impostor("__isoc23_strtol")), "libparse.so.1");
    linked.does_the_same("", "", "-1\n").says(&["takes the bundle's own `__isoc23_strtol`"]);
}

#[test]
fn a_library_that_defines_the_new_name_is_called_only_if_it_comes_before_glibc() {
    let Some(linked) = Linked::new() else { return };
    let program = "#include <stdio.h>\n#include <stdlib.h>\n\
        int main(void) { printf(\"%ld\\n\", strtol(\"42\", 0, 10)); return 0; }\n";
    linked.own("libimpostor.so.1", &impostor("__isoc23_strtol"));
    linked.library("libmiddle.so.1", "", "-Wl,--no-as-needed libimpostor.so.1");
    // Linked after glibc, found before it: the reference has its version.
    linked.program(program, "-lc -Wl,--no-as-needed libimpostor.so.1");
    linked.does_the_same("", "", "42\n");
    linked.program(program, "-Wl,--no-as-needed libmiddle.so.1 -lc");
    linked.does_the_same("", "", "42\n").says(&["takes `strtol` for `__isoc23_strtol`"]);
    linked.library("libparse.so.1", PARSE, "");
    linked.program(CALLER, "-Wl,--no-as-needed libimpostor.so.1 libparse.so.1");
    linked.does_the_same("", "", "-1\n").says(&["takes the bundle's own `__isoc23_strtol`"]);
}

#[test]
fn a_function_that_no_older_glibc_has_is_not_taken_from_a_library_behind_glibc() {
    let Some(linked) = Linked::new() else { return };
    let program = "#include <stdio.h>\nint pidfd_getpid(int);\n\
        int main(void) { printf(\"%d\\n\", pidfd_getpid(-1) + 43); return 0; }\n";
    linked.own("libimpostor.so.1", "int pidfd_getpid(int file) { return 7; }");
    linked.library("libmiddle.so.1", "", "-Wl,--no-as-needed libimpostor.so.1");
    linked.program(program, "-Wl,--no-as-needed libmiddle.so.1");
    linked.is_refused("", "", "42\n", "`app` needs GLIBC_2.39");
}

#[test]
fn what_a_plugin_brings_is_not_there_for_the_program() {
    let Some(linked) = Linked::new() else { return };
    let program = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
        int main(void) { char text[4]; strlcpy(text, \"42.5\", 4); printf(\"%ld\\n\", strtol(text, 0, 10)); return 0; }\n";
    let both =
        format!("{}long strlcpy(char *to, const char *from) {{ return 0; }}", impostor("__isoc23_strtol"));
    linked.own("libplugin.so", &both);
    linked.program(program, "");
    linked.does_the_same(WITH_PLUGIN, "", "42\n");
    // Nor is a library that the plugin alone needs.
    linked.own("libimpostor.so.1", &both);
    linked.library("libplugin.so", "", "-Wl,--no-as-needed libimpostor.so.1");
    linked.does_the_same(WITH_PLUGIN, "", "42\n");
}

#[test]
fn what_the_program_defines_comes_before_glibc_for_a_plugin() {
    let Some(linked) = Linked::new() else { return };
    linked.library("libplugin.so", PARSE, "");
    std::fs::create_dir(linked.path().join("plugins")).unwrap();
    std::fs::copy(linked.path().join("libplugin.so"), linked.path().join(PLUGIN)).unwrap();
    linked.program(OPENER, "");
    linked.does_the_same(WITH_PLUGIN, PLUGIN, "42\n");
    std::fs::remove_file(linked.path().join("app.zip")).unwrap();
    // The reference would become one to the program's `strtol`.
    linked.program(&format!("{OPENER}{}", impostor("strtol")), "-rdynamic");
    linked.is_refused(WITH_PLUGIN, PLUGIN, "42\n", "`plugins/libplugin.so` needs GLIBC_2.38");
    linked.program(&format!("{OPENER}{}", impostor("__isoc23_strtol")), "-rdynamic");
    linked.does_the_same(WITH_PLUGIN, PLUGIN, "-1\n");
}

#[test]
fn what_a_plugin_needs_comes_behind_glibc_for_it() {
    let Some(linked) = Linked::new() else { return };
    linked.own("libimpostor.so.1", &impostor("__isoc23_strtol"));
    linked.library("libplugin.so", PARSE, "-lc -Wl,--no-as-needed libimpostor.so.1");
    linked.program(OPENER, "");
    linked.is_refused(WITH_PLUGIN, "libplugin.so", "42\n", "`plugins/libplugin.so` needs GLIBC_2.38");
}

#[test]
fn a_library_that_binds_to_itself_is_refused() {
    let Some(linked) = Linked::new() else { return };
    let parse = PARSE.replace("#include <stdlib.h>\n", "").replace("strtol", "__isoc23_strtol");
    let source = format!("long __isoc23_strtol(const char *, char **, int);{}{parse}", impostor("strtol"));
    linked.library("libparse.so.1", &source, "-Wl,-Bsymbolic");
    linked.program(CALLER, "libparse.so.1");
    linked.is_refused("", "", "42\n", "`libparse.so.1` needs GLIBC_2.38");
}

/// Prints what a call of a weak function returned, or that the function is null.
const WEAK: &str = "#include <stdio.h>\nint pidfd_getpid(int) __attribute__((weak));\n\
    int main(void) { if (pidfd_getpid) printf(\"%d\\n\", pidfd_getpid(-1)); else puts(\"null\"); return 0; }\n";

#[test]
fn a_weak_function_is_null_only_where_the_program_can_see_it() {
    let Some(linked) = Linked::new() else { return };
    linked.program(WEAK, "-fPIE -pie");
    assert_eq!(linked.on_2_41(""), "-1\n");
    linked.bundle("").exits(0).says(&["takes nothing for `pidfd_getpid`, a weak reference"]);
    assert_eq!(linked.start(""), "null\n");
    std::fs::remove_file(linked.path().join("app.zip")).unwrap();
    // At a fixed address the function's address is that of an entry of the program's own procedure linkage table.
    linked.program(WEAK, "-fno-pie -no-pie");
    linked.is_refused("", "", "-1\n", "`app` needs GLIBC_2.39");
}

#[test]
fn a_name_that_is_weak_in_one_file_and_strong_in_another() {
    let Some(linked) = Linked::new() else { return };
    let strong = "int pidfd_getpid(int);\nlong parse(const char *text) { return pidfd_getpid(-1); }";
    linked.library("libparse.so.1", strong, "");
    let both = WEAK.replace("int main(void) {", "long parse(const char *);\nint main(void) { parse(\"\");");
    linked.program(&both, "libparse.so.1");
    linked.is_refused("", "", "-1\n", "`libparse.so.1` needs GLIBC_2.39");
    // What is supplied is there for both.
    let strong =
        "#include <string.h>\nlong parse(const char *text) { char to[3]; return strlcpy(to, text, 3); }";
    linked.library("libparse.so.1", strong, "");
    let weak = "#include <stdio.h>\nunsigned long strlcpy(char *, const char *, unsigned long) __attribute__((weak));\n\
        long parse(const char *);\nint main(void) { char to[3] = \"\"; if (strlcpy) strlcpy(to, \"four\", 3); \
        printf(\"%s %ld\\n\", to, parse(\"three\")); return 0; }\n";
    linked.program(weak, "libparse.so.1");
    linked.does_the_same("", "", "fo 5\n");
}

#[test]
fn dlsym_finds_what_a_program_built_for_the_older_glibc_would_find() {
    let Some(linked) = Linked::new() else { return };
    let asks = "#include <dlfcn.h>\n#include <stdio.h>\n\
        int main(void) { printf(\"%d %d %d %d\\n\", !!dlsym(RTLD_DEFAULT, \"__isoc23_strtol\"), \
        !!dlvsym(RTLD_DEFAULT, \"__isoc23_strtol\", \"GLIBC_2.38\"), !!dlvsym(RTLD_DEFAULT, \"strtol\", \"GLIBC_2.2.5\"), \
        !!dlsym(RTLD_DEFAULT, \"pidfd_getpid\")); return PARSED; }\n";
    linked.program(&asks.replace("PARSED", "0"), "");
    assert_eq!(linked.on_2_41(""), "1 1 1 1\n");
    // What dlsym is asked for is no need of the file.
    linked.bundle("").exits(0).keeps_silent_about(&["glibc-rebound"]);
    assert_eq!(linked.start(""), "0 0 1 0\n");
    let parses = asks.replace(
        "int main",
        "long strtol(const char *, char **, int) __asm__(\"__isoc23_strtol\");\nint main",
    );
    linked.program(&parses.replace("PARSED", "strtol(\"0\", 0, 10)"), "");
    linked.bundle("").exits(0).says(&["takes `strtol` for `__isoc23_strtol`"]);
    assert_eq!(linked.start(""), "0 0 1 0\n");
}
