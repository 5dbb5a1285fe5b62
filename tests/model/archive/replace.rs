//! The file that is replaced as a whole.

use std::fs;
use std::io::{Seek, Write};

use camino::Utf8Path;
use cargo_lambda_bundle::disk;
use cargo_lambda_bundle::disk::write::replace;
use cargo_lambda_bundle::error::Error;

use super::{scratch, text};

fn put(bytes: &'static [u8]) -> impl FnOnce(&mut fs::File) -> Result<(), Error> {
    move |file| file.write_all(bytes).map_err(|cause| Error::new("could not write the entry").because(cause))
}

fn fine(_: &Utf8Path) -> Result<bool, Error> {
    Ok(true)
}

fn names(directory: &Utf8Path) -> Vec<String> {
    let mut names: Vec<String> =
        directory.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_written_with_its_directories_and_read_back() {
    let (_scratch, root) = scratch();
    let path = root.join("a/b/x.zip");
    for bytes in [&b"one"[..], b"two"] {
        let placed = replace(&path, put(bytes), |written| {
            assert_eq!(fs::read(written).unwrap(), bytes);
            Ok(true)
        });
        assert!(placed.unwrap());
        assert_eq!(disk::read(&path).unwrap(), bytes);
        assert_eq!(names(path.parent().unwrap()), ["x.zip"]);
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    #[track_caller]
    fn check(
        fill: impl FnOnce(&mut fs::File) -> Result<(), Error>,
        test: impl FnOnce(&Utf8Path) -> Result<bool, Error>,
        cause: &str,
    ) {
        let (_scratch, root) = scratch();
        let path = root.join("x.zip");
        fs::write(&path, "old").unwrap();
        let error = replace(&path, fill, test).unwrap_err();
        assert_eq!(text(&error), format!("could not write `{path}`; caused by: {cause}; help: try again"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(&root), ["x.zip"]);
    }
    fn failure(file: &mut fs::File) -> Result<(), Error> {
        let _ = file.write_all(b"half");
        Err(Error::new("it broke").help("try again"))
    }
    check(failure, fine, "it broke");
    check(put(b"new"), |_| Err(Error::new("it broke").help("try again")), "it broke");
}

#[test]
fn what_is_not_wanted_leaves_no_trace() {
    let (_scratch, root) = scratch();
    let path = root.join("new/x.zip");
    assert!(!replace(&path, put(b"new"), |_| Ok(false)).unwrap());
    assert_eq!(names(&root), Vec::<String>::new());
    fs::write(root.join("x.zip"), "old").unwrap();
    assert!(!replace(&root.join("x.zip"), put(b"new"), |_| Ok(false)).unwrap());
    assert_eq!(names(&root), ["x.zip"]);
    assert_eq!(fs::read(root.join("x.zip")).unwrap(), b"old");
}

#[test]
fn directories_made_for_a_failed_write_are_removed() {
    let (_scratch, root) = scratch();
    fs::create_dir(root.join("kept")).unwrap();
    replace(&root.join("kept/new/deep/x.zip"), |_| Err(Error::new("it broke")), fine).unwrap_err();
    assert_eq!(names(&root), ["kept"]);
    assert_eq!(names(&root.join("kept")), Vec::<String>::new());
    let panicked =
        std::panic::catch_unwind(|| replace(&root.join("kept/new/x.zip"), |_| panic!("a bug"), fine));
    assert!(panicked.is_err());
    assert_eq!(names(&root.join("kept")), Vec::<String>::new());
}

#[test]
fn places_that_take_no_file_are_named() {
    let (_scratch, root) = scratch();
    #[track_caller]
    fn check(path: &Utf8Path, expected: &str) {
        let error = replace(path, put(b"new"), fine).unwrap_err();
        assert!(text(&error).starts_with(&format!("could not write `{path}`{expected}")), "{}", text(&error));
    }
    fs::write(root.join("file"), "old").unwrap();
    check(&root, &format!(": it is a directory; help: name a file in it: `-o {root}/bootstrap.zip`"));
    check(
        &root.join("file/below/x.zip"),
        &format!("; caused by: could not make the directory `{root}/file/below`; caused by: "),
    );
    check(&root.join("file/x.zip"), "; caused by: ");
    check(Utf8Path::new("/"), ": it is a directory");
    check(Utf8Path::new(""), ": it names no file");
    #[cfg(unix)]
    {
        let socket = root.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        check(&socket, ": it is not a regular file");
        fs::remove_file(socket).unwrap();
    }
    if cfg!(target_os = "linux") {
        check(
            Utf8Path::new("/proc/nothing/x.zip"),
            "; caused by: could not make the directory `/proc/nothing`",
        );
    }
    assert_eq!(names(&root), ["file"]);
    assert_eq!(fs::read(root.join("file")).unwrap(), b"old");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file() {
    use std::process::{Command, Stdio};

    use super::{file, noise};
    use crate::support::tools;
    use cargo_lambda_bundle::archive::{self, Mode, Options};

    let (_scratch, root) = scratch();
    let mount = |command: &str, args: &[&str]| {
        Command::new(command)
            .args(args)
            .arg(&root)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"]) {
        tools::skip("the right to mount a tmpfs");
        return;
    }
    let path = root.join("x.zip");
    fs::write(&path, "old").unwrap();
    let big = [file("bootstrap", Mode::Executable, noise(200_000))];
    let error = replace(&path, |file| archive::write(&big, &Options::default(), file).map(drop), fine);
    let (old, left) = (fs::read(&path), names(&root));
    assert!(mount("umount", &[]));
    let error = text(&error.unwrap_err());
    assert!(error.contains("could not write entry `bootstrap`; caused by: No space left"), "{error}");
    assert_eq!(old.unwrap(), b"old");
    assert_eq!(left, ["x.zip"]);
}

#[cfg(unix)]
#[test]
fn the_mode_is_0644_whatever_the_old_file_had() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_scratch, root) = scratch();
    let path = root.join("x.zip");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    replace(&path, put(b"new"), fine).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o133, 0, "{mode:o}");
}

#[test]
fn two_writers_at_once_do_not_meet() {
    let (_scratch, root) = scratch();
    let path = root.join("x.zip");
    std::thread::scope(|scope| {
        for bytes in [&b"one"[..], b"two", b"six"] {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..20 {
                    replace(path, put(bytes), fine).unwrap();
                }
            });
        }
    });
    assert_eq!(names(&root), ["x.zip"]);
    assert_eq!(fs::read(&path).unwrap().len(), 3);
}

#[test]
fn only_regular_files_are_read() {
    let (_scratch, root) = scratch();
    #[track_caller]
    fn check(path: &Utf8Path, expected: &str) {
        assert_eq!(text(&disk::read(path).unwrap_err()), format!("`{path}` {expected}"));
    }
    check(&root.join("nothing"), "does not exist");
    check(&root, "is a directory");
    #[cfg(unix)]
    {
        let socket = root.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        check(&socket, "is not a regular file");
        fs::remove_file(socket).unwrap();
    }
    fs::write(root.join("file"), "x").unwrap();
    assert_eq!(disk::read(&root.join("file")).unwrap(), b"x");
    let below = text(&disk::read(&root.join("file/below")).unwrap_err());
    assert!(below.starts_with(&format!("could not read `{root}/file/below`; caused by: ")), "{below}");
}

#[test]
fn a_file_that_is_written_to_while_it_is_read_is_no_mixture() {
    let (_dir, path) = scratch();
    let path = path.join("growing");
    let mut file = fs::File::create(&path).unwrap();
    file.set_len(20 << 20).unwrap();
    file.seek(std::io::SeekFrom::End(0)).unwrap();
    assert_eq!(disk::read(&path).unwrap().len(), 20 << 20);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"x").unwrap();
            }
        });
        // Between two reads it may rest, during all of them it does not.
        let refused = (0..100).find_map(|_| disk::read(&path).err());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let expected =
            format!("`{path}` changed while it was read; help: run it again when nothing writes to it");
        assert_eq!(refused.map(|error| text(&error)), Some(expected));
    });
}
