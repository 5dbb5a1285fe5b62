//! The same world on disk: this machine's kernel and ld.so start what the plan says.

use std::fs;
use std::process::Command;

use cargo_lambda_bundle::layout::Layout;
use cargo_lambda_bundle::repair::{self, Edits};

use super::Planned;
use super::random::RandomWorld;
use crate::support::elf::Object;
use crate::support::scene::Scene;
use crate::support::tools;

/// A root directory with this machine's ld.so, for one world after another.
pub struct RealRoot {
    scene: Scene,
}

/// A path of the root, as the scene has it.
fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

impl RealRoot {
    pub fn new() -> RealRoot {
        let scene = Scene::new();
        scene.dir("usr/lib64").link("usr/lib64", "lib64");
        // What is built into Debian's ld.so is this directory.
        scene.link("../lib64", "usr/lib/x86_64-linux-gnu");
        scene.copy("/lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2");
        RealRoot { scene }
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        self.scene.file(inside(path), bytes).mode(inside(path), 0o755);
    }

    fn link(&self, path: &str, target: &str) {
        self.scene.link(target, inside(path));
    }

    /// Puts the system of a world and its layer in the place of the last one's.
    pub fn furnish(&self, world: &RandomWorld) {
        for entry in fs::read_dir(self.scene.at("usr/lib64")).unwrap().map(Result::unwrap) {
            if !entry.file_name().to_string_lossy().starts_with("ld-linux") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        let _ = fs::remove_dir_all(self.scene.at("opt"));
        for ((path, bytes), (library, _)) in world.system_files().iter().zip(&world.system) {
            self.write(path, bytes);
            if library.nodes.is_empty() {
                self.link(
                    &format!("/usr/lib64/{}", library.soname),
                    cargo_lambda_bundle::paths::file_name(path),
                );
            }
        }
        for library in &world.layer {
            let bytes = library.bytes(Object::library(&library.soname));
            self.write(&format!("/opt/lib/{}", library.soname), &bytes);
        }
    }

    /// Writes what a plan says and starts it; what ld.so said if it did not start.
    pub fn start(&self, planned: &Planned) -> Result<(), String> {
        let _ = fs::remove_dir_all(self.scene.at("var/task"));
        let edited = |bytes: &[u8], edits: Option<&Edits>| match edits {
            Some(edits) => repair::edit(bytes, edits).unwrap().bytes,
            None => bytes.to_vec(),
        };
        let layout = Layout::function();
        for library in &planned.plan.shipped {
            let path = layout.path(&library.entry_name(&layout));
            match &library.link_to {
                Some(target) => self.link(&path, target),
                None => self.write(&path, &edited(&planned.files[&library.source], library.edits.as_ref())),
            }
        }
        self.write("/var/task/bootstrap", &edited(&planned.program, planned.plan.program_edits.as_ref()));
        // By its path, see mutants.rs.
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(self.scene.path()).arg("/var/task/bootstrap").env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LD_LIBRARY_PATH", &planned.lambda.library_paths[0]);
        // The root has no /proc, which tells ld.so the program's `$ORIGIN`. Source: `_dl_get_origin` in glibc's
        // sysdeps/unix/sysv/linux/dl-origin.c.
        command.env("LD_ORIGIN_PATH", "/var/task");
        let output = tools::output_unless_busy(&mut command).unwrap();
        match output.status.code() {
            Some(0) => Ok(()),
            code => Err(format!("{code:?} {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }
}
