//! A root of its own: configuration, cache, links.

use crate::support::objects::{Has, Tree};
use crate::support::real_loader::{self, LD_SO};
use crate::support::{processor, tools};
use camino::Utf8Path;
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, Libc};
use cargo_lambda_bundle::loader::{self, Cache, World, hwcap_subdirectories};
use cargo_lambda_bundle::world::{Files, Opened};

use super::tree;

/// A root with ld.so in it, and what ld.so says in there.
#[track_caller]
fn root() -> Option<Tree> {
    let t = tree()?;
    let able = tools::require("ldconfig", "libc-bin") && tools::require_namespaces();
    if !able {
        return None;
    }
    t.directory("usr/lib/x86_64-linux-gnu")
        .directory("lib64")
        .directory("etc")
        .directory("lib/x86_64-linux-gnu");
    tools::copy_program(LD_SO, t.path("lib64/ld-linux-x86-64.so.2"));
    Some(t)
}

#[track_caller]
fn loads_in_root(t: &Tree, program: &str, expected: &[&str]) {
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
    let Opened::File(root) = files.open(program) else { panic!("{program} is there") };
    let rules = build_world::rules(&files, Arch::X86_64, Libc::Glibc);
    let rules = processor::of_this_processor(rules, Some(&t.path("etc/ld.so.cache")));
    let world = World { files: &files, rules, library_path: None, working_directory: "/".into() };
    let closure = loader::walk(&world, program, "/", root, &[]);
    assert_eq!(real_loader::answer_of(&closure, &world.rules).objects, expected, "model");
    if t.path("etc/ld.so.cache").exists() {
        let mut command = real_loader::pinned("chroot");
        // Not by the variable: chroot is a program with an ld.so, too.
        command.arg(t.path("")).args([LD_SO, "--list", program]).current_dir("/");
        let answer = real_loader::read_trace(&command.output().unwrap());
        match answer.fatal {
            // Asked like this ld.so fails for the first name that it does not find.
            Some(why) => {
                let name = expected.iter().find_map(|line| line.strip_suffix(" => not found"));
                assert_eq!(why.split(": ").next(), name, "{why}");
            }
            None => assert_eq!(answer.objects, expected, "ld.so"),
        }
    }
}

fn ldconfig(t: &Tree) {
    let output = real_loader::pinned("ldconfig").arg("-r").arg(t.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_cache_has_the_directories_of_ld_so_conf_with_includes_and_globs_in_order() {
    let Some(t) = root() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so", "libc1.so", "libd.so", "libe.so"]));
    t.program("other", Has::needed(&["libf.so"]));
    t.write(
        "etc/ld.so.conf",
        "# comment\n/opt/one # behind\n\tinclude conf.d/*.conf\n/opt/two/ \ninclude /etc/abs.conf\n",
    );
    t.write("etc/conf.d/b.conf", "/opt/b\n").write("etc/conf.d/a.conf", "/opt/a\n");
    t.write("etc/conf.d/c.txt", "/opt/txt\n").write("etc/abs.conf", "relative\n/opt/abs\n");
    let places = [
        ("liba.so", vec!["one", "a", "b", "two", "abs"]),
        ("libb.so", vec!["a", "b", "two", "abs"]),
        ("libc1.so", vec!["b", "two", "abs"]),
        ("libd.so", vec!["two", "abs"]),
        ("libe.so", vec!["abs"]),
        ("libf.so", vec!["txt"]),
    ];
    for (name, places) in places {
        for place in places {
            t.library(&format!("opt/{place}/{name}"), Has::nothing().soname(name));
        }
    }
    let expected = [
        "liba.so => /opt/one/liba.so",
        "libb.so => /opt/a/libb.so",
        "libc1.so => /opt/b/libc1.so",
        "libd.so => /opt/two/libd.so",
        "libe.so => /opt/abs/libe.so",
    ];
    // Without a cache ld.so would not look there; the model takes the root for one where ldconfig is yet to run.
    loads_in_root(&t, "/prog", &expected);
    ldconfig(&t);
    loads_in_root(&t, "/prog", &expected);
    loads_in_root(&t, "/other", &["libf.so => not found"]);
}

#[test]
fn configuration_files_that_include_each_other_end() {
    let Some(t) = tree() else { return };
    // ldconfig follows them until the names are too long, then takes the directories in an order of chance.
    t.write("etc/ld.so.conf", "include conf.d/*.conf\n/opt/one\n").symlink("etc/again", ".");
    t.write("etc/conf.d/a.conf", "include ../ld.so.conf\ninclude ../again/ld.so.conf\n/opt/two\n");
    t.library("opt/one/liba.so", Has::nothing()).library("opt/two/libb.so", Has::nothing());
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let cache =
        build_world::glibc_rules(&DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new()), Arch::X86_64).cache;
    assert_eq!(cache.paths().keys().collect::<Vec<_>>(), ["liba.so", "libb.so"]);
}

#[test]
fn each_configuration_file_is_read_once() {
    let Some(t) = tree() else { return };
    // In every order of the forty there would be more ways than anyone can go.
    t.write("etc/ld.so.conf", "include conf.d/*.conf\n");
    for n in 0..40 {
        t.write(&format!("etc/conf.d/{n}.conf"), format!("include /etc/conf.d/*.conf\n/opt/{n}\n"));
    }
    t.library("opt/7/liba.so", Has::nothing());
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
    let cache = build_world::glibc_rules(&files, Arch::X86_64).cache;
    assert_eq!(cache.path("liba.so"), Some("/opt/7/liba.so"));
}

#[test]
fn a_pipe_in_the_place_of_the_cache_is_not_read() {
    let Some(t) = tree() else { return };
    t.write("etc/ld.so.conf", "/opt\n").library("opt/liba.so", Has::nothing());
    let made = std::process::Command::new("mkfifo").arg(t.path("etc/ld.so.cache")).status().unwrap();
    assert!(made.success());
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
    let cache = build_world::glibc_rules(&files, Arch::X86_64).cache;
    assert_eq!(cache.path("liba.so"), Some("/opt/liba.so"));
}

#[test]
fn a_cache_entry_is_looked_up_by_soname_and_checked_like_any_file() {
    let Some(t) = root() else { return };
    t.program("prog", Has::needed(&["liba.so.1", "libb.so.1"]));
    t.write("etc/ld.so.conf", "/opt\n").library("opt/liba.so.1.2", Has::nothing().soname("liba.so.1"));
    t.library("opt/libb.so.1", Has::nothing().soname("libb.so.1"));
    ldconfig(&t);
    // Gone since: the default directories follow.
    t.remove("opt/libb.so.1").library("usr/lib/libb.so.1", Has::nothing());
    loads_in_root(&t, "/prog", &["liba.so.1 => /opt/liba.so.1", "libb.so.1 => /usr/lib/libb.so.1"]);
}

#[test]
fn every_name_in_the_cache_of_this_machine_is_found_and_no_other() {
    let Ok(bytes) = std::fs::read("/etc/ld.so.cache") else {
        tools::skip("an ld.so.cache (glibc)");
        return;
    };
    let cache =
        Cache::of_file(bytes, Arch::X86_64, &hwcap_subdirectories(Arch::X86_64, (2, 36), 3, "x86_64"));
    let paths = cache.paths();
    assert!(paths.len() > 10, "{paths:?}");
    for (name, path) in &*paths {
        assert_eq!(cache.path(name), Some(path.as_str()));
        for other in [format!("{name}.0"), name.replacen("lib", "lib0", 1)] {
            assert_eq!(cache.path(&other), paths.get(&other).map(String::as_str), "{other}");
        }
    }
}

#[test]
fn the_cache_prefers_the_best_hardware_subdirectory() {
    let Some(t) = root() else { return };
    // Lambda's level is v3, whatever this machine's is.
    t.program("prog", Has::needed(&["liba.so"]));
    t.write("etc/ld.so.conf", "/opt\n").library("opt/liba.so", Has::nothing().soname("liba.so"));
    for level in ["x86-64-v2", "x86-64-v3", "x86-64-v9"] {
        t.library(&format!("opt/glibc-hwcaps/{level}/liba.so"), Has::nothing().soname("liba.so"));
    }
    ldconfig(&t);
    let list = real_loader::pinned("ldconfig").arg("-r").arg(t.path("")).arg("-p").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("hwcap: \"x86-64-v3\"") && list.contains("/opt/liba.so"), "{list}");
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
    let cache = build_world::glibc_rules(&files, Arch::X86_64).cache;
    assert_eq!(cache.path("liba.so"), Some("/opt/glibc-hwcaps/x86-64-v3/liba.so"));
}

#[test]
fn what_is_built_into_the_ld_so_of_a_root_counts() {
    let Some(t) = root() else { return };
    // Nothing but ld.so itself shows here that `$LIB` is Debian's.
    std::fs::remove_dir(t.path("usr/lib/x86_64-linux-gnu")).unwrap();
    t.program("prog", Has::needed(&["liba.so"]).rpath("/opt/$LIB"));
    t.library("opt/lib/x86_64-linux-gnu/liba.so", Has::nothing());
    ldconfig(&t);
    loads_in_root(&t, "/prog", &["liba.so => /opt/lib/x86_64-linux-gnu/liba.so"]);
}

#[test]
fn absolute_links_and_paths_stay_in_a_root() {
    let Some(t) = root() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("/opt/x:$ORIGIN/opt/y"));
    t.library("opt/store/liba.so", Has::nothing()).symlink("opt/x/liba.so", "/opt/store/../store/liba.so");
    t.library("opt/y/libb.so", Has::nothing());
    ldconfig(&t);
    loads_in_root(&t, "/prog", &["liba.so => /opt/x/liba.so", "libb.so => //opt/y/libb.so"]);
}
