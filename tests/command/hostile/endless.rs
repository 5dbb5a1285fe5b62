//! Files without an end, or with one beyond every limit: known by their kind or their size before a byte is read.

use std::fs;

use super::{IMAGE_MIB, INPUT_MIB, run, run_in};
use crate::support::command::finish;
use crate::support::elf::Object;
use crate::support::scene::{EMPTY, Scene};

/// A program, and one with a hole of 1 TB behind it.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.file("app", Object::program().needs("libc.so.6").bytes());
    scene.file("big", Object::program().needs("libc.so.6").bytes());
    let file = fs::OpenOptions::new().append(true).open(scene.at("big")).unwrap();
    file.set_len(1 << 40).unwrap();
    scene
}

#[test]
fn a_hole_of_a_terabyte_is_a_finding_at_once() {
    let scene = scene();
    for words in ["check --binary big", "--binary big -o out.zip", "--binary big -o tree --dir"] {
        let ran = run(&scene, "1 TB of hole", words).exits(1);
        ran.says(&["error[size-limit]: `big` is 1099511.6 MB unzipped; Lambda allows 262.1 MB with layers"]);
    }
    run(&scene, "1 TB of hole", "size --binary big");
    run(&scene, "1 TB of hole", "explain --binary big").exits(0);
    let strip = run(&scene, "1 TB of hole", "--binary big -o out.zip --strip");
    assert!(matches!(strip.code, Some(1 | 101)), "{strip}");
    let anyway = run(&scene, "1 TB of hole", "--binary big -o out.zip --write-anyway").exits(101);
    anyway.says(&["big` has 1099511.6 MB; all files of a bundle together may have 2147.5 MB"]);
    // A library, an archive, a baseline, a layer.
    scene.file("app", Object::program().needs("libc.so.6").needs("libbig.so").bytes());
    scene.file("libs/libbig.so", Object::library("libbig.so").needs("libc.so.6").bytes());
    let file = fs::OpenOptions::new().append(true).open(scene.at("libs/libbig.so")).unwrap();
    file.set_len(1 << 40).unwrap();
    for words in ["check --binary app --library-path libs", "--binary app --library-path libs -o out.zip"] {
        run(&scene, "1 TB of hole", words).exits(1).says(&["error[size-limit]"]);
    }
    for words in [
        "verify big",
        "verify --template big",
        "check --binary app --baseline big",
        "check --binary app --attached-layer big",
        "check --binary app --include big",
    ] {
        run(&scene, "1 TB of hole", words).exits(101);
    }
    assert!(!scene.has("out.zip") && !scene.has("tree"));
}

/// Its headers name so many parts that the whole file would be read.
#[test]
fn a_static_program_with_a_hole_of_a_terabyte_is_refused() {
    let scene = Scene::new();
    scene.c(EMPTY, "static", "-static");
    fs::OpenOptions::new().append(true).open(scene.at("static")).unwrap().set_len(1 << 40).unwrap();
    for words in ["check --binary static", "size --binary static", "--binary static -o out.zip"] {
        let ran = run(&scene, "1 TB of hole", words).exits(101);
        ran.says(&["static`", "it is too large to read: 1099511.6 MB; the limit is 4295.0 MB"]);
    }
    assert!(!scene.has("out.zip"));
}

#[test]
fn files_of_the_kernel_are_not_read() {
    let scene = scene();
    scene.link("/proc/self/environ", "files/link").link("/sys", "more/sys");
    for path in ["/proc/kmsg", "/proc/self/environ", "/sys/kernel/notes"] {
        for words in ["verify FILE", "check --binary app --baseline FILE", "check --binary FILE"] {
            run(&scene, path, &words.replace("FILE", path)).exits(101);
        }
    }
    for (include, kind) in [
        ("/proc/kmsg=k", "a file that the kernel makes when it is read"),
        ("/proc/self/environ=e", "a file that the kernel makes when it is read"),
        ("/proc/self=p", "a directory of the kernel"),
        ("/sys/kernel=s", "a directory of the kernel"),
        ("files", "a file that the kernel makes when it is read"),
        ("more", "a directory of the kernel"),
        ("/dev/zero=z", "a device"),
    ] {
        let finding = format!("which is {kind}\n");
        let words = format!("check --binary app --include {include} --allow suspicious-include");
        run(&scene, include, &words).exits(1).says(&["error[suspicious-include]: `--include ", &finding]);
        run(&scene, include, &format!("--binary app --include {include} -o out.zip")).exits(1);
        assert!(!scene.has("out.zip"));
    }
    // Nothing of it is in what is written all the same.
    run(&scene, "environ", "--binary app --include /proc/self/environ=e -o out.zip --write-anyway").exits(1);
    assert_eq!(scene.names("out.zip"), ["bootstrap"]);
    // A library there is none.
    scene.file("app", Object::program().needs("/proc/kmsg").needs("/dev/zero").bytes());
    run(&scene, "needs of the kernel's", "check --binary app").exits(1);
}

#[test]
fn a_template_grows_by_its_aliases_to_a_limit() {
    let scene = scene();
    let text = |n_bytes: usize, n: usize| {
        let list = vec!["*x"; n].join(",");
        format!("x: &x \"{}\"\nResources: [{list}]\n", "y".repeat(n_bytes))
    };
    for (n_bytes, n) in [(100_000, 100_000), (1_000_000, 3000), (8, 200_000)] {
        scene.file("t.yaml", text(n_bytes, n));
        run_in(&scene, IMAGE_MIB + 2 * INPUT_MIB, "aliases", "verify --template t.yaml").exits(101);
    }
    scene.file("t.yaml", format!("Resources:\n{}", "- ".repeat(100_000)));
    run(&scene, "depth", "verify --template t.yaml").exits(101);
}

#[test]
fn a_summary_that_nobody_reads_is_an_error() {
    let scene = scene();
    scene.fifo("summary");
    let mut command = scene.command("check --binary app --message-format github --allow not-a-runtime");
    command.env("GITHUB_STEP_SUMMARY", scene.at("summary")).timeout(std::time::Duration::from_secs(20));
    finish(&mut command).exits(101).says(&["error: could not write `", "summary`\n"]);
    // The standard output is somebody's, whatever it is.
    let mut command = scene.command("check --binary app --message-format github --allow not-a-runtime");
    let ran = finish(command.env("GITHUB_STEP_SUMMARY", "/dev/stdout")).exits(0);
    assert!(ran.stdout.contains("## cargo lambda-bundle"), "{ran}");
}
