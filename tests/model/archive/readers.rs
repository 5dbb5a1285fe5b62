//! Real readers and writers of ZIP files.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::tools;
use camino::Utf8Path;
use cargo_lambda_bundle::archive::{self, Kind, Limits, Timestamp};

use super::{bundle, noise, scratch, text, zip};

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} says {}: {text}", output.status);
    text
}

#[test]
fn real_readers_take_the_archive() {
    let (_scratch, root) = scratch();
    let path = root.join("bootstrap.zip");
    fs::write(&path, zip(&bundle(), Timestamp::default())).unwrap();

    if tools::require("unzip", "unzip") {
        assert!(run(Command::new("unzip").args(["-t", path.as_str()])).contains("No errors detected"));
        let list = run(Command::new("unzip").args(["-l", path.as_str()]));
        assert!(list.contains("1980-01-01 00:00   bootstrap"), "{list}");
        let out = root.join("out");
        run(Command::new("unzip").args(["-q", path.as_str(), "-d", out.as_str()]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |name| fs::symlink_metadata(out.join(name)).unwrap().permissions().mode();
            assert_eq!(mode("bootstrap"), 0o100_755);
            assert_eq!(mode("assets/noise"), 0o100_644);
            assert_eq!(fs::read_link(out.join("lib/libpq.so")).unwrap().to_str(), Some("libpq.so.5"));
        }
        assert_eq!(fs::read(out.join("assets/noise")).unwrap(), noise(5000));
    }
    if tools::require("zipinfo", "unzip") {
        let info = run(Command::new("zipinfo").args(["-v", path.as_str()]));
        let count = |needle: &str| info.lines().filter(|line| line.contains(needle)).count();
        assert_eq!(count("file system or operating system of origin:      Unix"), 6, "{info}");
        assert_eq!(count("extended local header:                          no"), 6, "{info}");
        assert_eq!(count("length of extra field:                          0 bytes"), 6, "{info}");
        assert_eq!(count("(100755 octal)"), 2, "{info}");
        assert_eq!(count("(100644 octal)"), 3, "{info}");
        assert_eq!(count("(120777 octal)"), 1, "{info}");
    }
    if tools::require("python3", "python3") {
        let said = run(Command::new("python3").args(["-m", "zipfile", "-t", path.as_str()]));
        assert!(said.contains("Done testing") && !said.contains("corrupt"), "{said}");
    }
    if tools::require("7z", "p7zip-full") {
        assert!(run(Command::new("7z").args(["t", path.as_str()])).contains("Everything is Ok"));
    }
}

#[test]
fn archives_of_real_writers_are_read() {
    let (_scratch, root) = scratch();
    fs::create_dir(root.join("lib")).unwrap();
    fs::write(root.join("bootstrap"), b"boot".repeat(1000)).unwrap();
    fs::write(root.join("lib/a.so"), b"lib".repeat(1000)).unwrap();
    #[track_caller]
    fn check(path: &Utf8Path) {
        let found = archive::read(path.as_str(), fs::File::open(path).unwrap(), &Limits::default())
            .unwrap_or_else(|error| panic!("{}", text(&error)));
        let files: Vec<_> = found
            .entries
            .iter()
            .filter(|entry| entry.kind == Kind::File && !entry.name.starts_with("META-INF/"))
            .map(|entry| (entry.name.as_str(), entry.content.as_ref().unwrap().len()))
            .collect();
        assert_eq!(files, [("bootstrap", 4000), ("lib/a.so", 3000)]);
    }
    let shell = |script: &str| run(Command::new("sh").args(["-ec", script]).current_dir(&root));
    if tools::require("zip", "zip") {
        shell("zip -q -r zip.zip bootstrap lib && zip -q -r - ./bootstrap ./lib | cat > stream.zip");
        check(&root.join("zip.zip"));
        check(&root.join("stream.zip")); // data descriptors and ZIP64 extra fields
    }
    if tools::require("python3", "python3") {
        shell("python3 -m zipfile -c python.zip bootstrap lib");
        check(&root.join("python.zip"));
    }
    if tools::require("7z", "p7zip-full") {
        shell("7z a -tzip 7z.zip bootstrap lib >7z.log && 7z a -tzip -mm=LZMA lzma.zip bootstrap >7z.log");
        check(&root.join("7z.zip"));
        let error =
            archive::read("lzma.zip", fs::File::open(root.join("lzma.zip")).unwrap(), &Limits::default())
                .unwrap_err();
        assert!(
            text(&error).contains("entry `bootstrap` uses compression method 14 (LZMA)"),
            "{}",
            text(&error)
        );
    }
}
