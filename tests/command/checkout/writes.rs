//! What manifests have written: only in the workspace and in the target directory.

use std::collections::BTreeSet;

use super::Checkout;
use crate::support::command::finish;

/// The checkout with a program that is bundled without a finding, and a file of the user's beside it.
fn checkout() -> Checkout {
    let checkout = Checkout::new();
    checkout.scene.c("int main(void) { return 0; }", "ws/target/release/app", "-g");
    checkout.scene.file("victim", "mine").file("outside/victim", "mine");
    checkout
}

impl Checkout {
    /// The paths outside of the checkout.
    fn outside(&self) -> BTreeSet<String> {
        self.scene.paths().into_iter().filter(|path| path != "cache" && !path.starts_with("ws")).collect()
    }

    /// Runs with this table, which must be refused with a next step, and checks that nothing was written anywhere.
    #[track_caller]
    fn refuses(&self, table: &str, words: &str, message: &str) {
        self.table(&format!("{table}\nallow = [\"not-a-runtime\"]"));
        let before = self.scene.paths();
        let ran = self.run(words).exits(101).says(&[message, "\nhelp: "]);
        assert_eq!(self.scene.paths(), before, "{table}: {ran}");
        for victim in ["victim", "outside/victim"] {
            assert_eq!(self.scene.text(victim), "mine", "{table}: {ran}");
        }
    }
}

#[test]
fn a_manifest_writes_in_the_workspace_only() {
    let checkout = checkout();
    let scene = &checkout.scene;
    scene.link("../outside", "ws/link").dir("ws/.git/hooks");
    let outside = scene.at("outside").display().to_string();
    for path in [
        "../victim",
        "link/victim",
        "link/new/victim",
        &format!("{outside}/victim"),
        ".git/config",
        ".git/hooks/x",
    ] {
        let message = "` of a manifest may only name a place in the workspace\n";
        for setting in ["output", "sbom", "licenses"] {
            checkout.refuses(&format!("{setting} = \"{path}\""), "", message);
        }
        checkout.refuses(&format!("strip = true\ndebug-symbols = \"{path}\""), "", message);
        checkout.refuses(&format!("dir = true\noutput = \"{path}.d\""), "", message);
    }
    // The same words on the command line are the user's, and the help says so.
    checkout.table("output = \"../victim\"\nallow = [\"not-a-runtime\"]");
    checkout.run("").exits(101).says(&[
        "error: `../victim` would be written\n  caused by: `output` of a manifest may only name a place in the workspace\n\
         help: if it is meant, say so on the command line: `-o ../victim`\n",
    ]);
    checkout.run("-o ../victim").exits(0);
    assert!(scene.read("victim").starts_with(b"PK"));
}

#[test]
fn a_manifest_writes_in_the_workspace_and_in_the_target_directory() {
    let checkout = checkout();
    let scene = &checkout.scene;
    let before = checkout.outside();
    let table = "output = \"dist/{bin}.zip\"\nsbom = \"dist/s.json\"\nlicenses = \"target/l.txt\"\nstrip = true\n\
                 debug-symbols = \"target/debug-symbols\"\nallow = [\"not-a-runtime\"]";
    checkout.table(table).run("").exits(0);
    for path in ["dist/app.zip", "dist/s.json", "target/l.txt", "target/debug-symbols/app.debug"] {
        assert!(scene.has(format!("ws/{path}")), "{path}");
    }
    assert_eq!(checkout.outside(), before);
    // The user may put the target directory elsewhere, with the manifest's files.
    let target = scene.at("elsewhere");
    scene.copy("ws/target/release/app", "elsewhere/release/app");
    checkout.table(&format!("output = \"{}/fn.zip\"\nallow = [\"not-a-runtime\"]", target.display()));
    finish(checkout.command("").env("CARGO_TARGET_DIR", &target)).exits(0);
    assert!(scene.has("elsewhere/fn.zip"));
    // A configuration of the checkout may not do so for any other file.
    checkout.config(&format!("[build]\ntarget-dir = \"{}\"\n", target.display()));
    scene.remove("elsewhere/fn.zip");
    checkout.run("").exits(101).says(&["`output` of a manifest may only name a place in the workspace"]);
    checkout.table("allow = [\"not-a-runtime\"]").run("").exits(0);
    assert!(scene.has("elsewhere/lambda-bundle/app/bootstrap.zip"));
}

#[test]
fn links_in_the_target_directory_lead_nowhere_else() {
    let checkout = checkout();
    let scene = &checkout.scene;
    let message = "it leads out of the target directory by a link";
    scene.link("../../../outside", "ws/target/lambda-bundle/app");
    checkout.refuses("", "", message);
    scene.remove("ws/target/lambda-bundle/app");
    std::fs::remove_dir(scene.at("ws/target/lambda-bundle")).unwrap();
    scene.link("../../outside", "ws/target/lambda-bundle");
    checkout.refuses("", "", message);
    // Nor do the records of what was written.
    let before = checkout.outside();
    checkout.run("-o x.zip").exits(0);
    assert_eq!(checkout.outside(), before);
    // A target directory that is a link is the user's way to another disk.
    scene.remove("ws/target/lambda-bundle");
    std::fs::rename(scene.at("ws/target"), scene.at("disk")).unwrap();
    scene.link("../disk", "ws/target");
    checkout.run("").exits(0);
    assert!(scene.has("disk/lambda-bundle/app/bootstrap.zip"));
}

#[test]
fn a_layers_name_is_no_path() {
    let checkout = checkout();
    for name in ["../../../../esc", "a/b", "", "..", ".hidden", "a\\u001Bb", "c:x", "a\\\\b"] {
        checkout.refuses(&format!("split-layer = \"{name}\""), "", "` is not a file name (from ");
    }
    checkout.table("");
    let ran = checkout.run("--split-layer ../esc").exits(2);
    ran.says(&["error: `--split-layer ../esc` is not a file name\nhelp: give the layer a name, "]);
}

#[test]
fn the_layer_is_in_the_directory_of_all_functions() {
    let checkout = checkout();
    let scene = &checkout.scene;
    scene.library("libs/libtop.so.1", "int top(void) { return 0; }", "");
    let main = "int top(void); int main(void) { return top(); }";
    scene.file("ws/src/main.rs", "fn main() {}\n").file("ws/src/bin/other.rs", "fn main() {}\n");
    for name in ["app", "other"] {
        scene.c(main, &format!("ws/target/release/{name}"), "libs/libtop.so.1");
    }
    let table = "library-path = [\"../libs\"]\nsplit-layer = \"shared\"\nallow = [\"not-a-runtime\"]\n";
    let before = checkout.outside();
    for (output, layer) in [("{bin}.zip", "layers/shared.zip"), ("out/{bin}/x.zip", "out/layers/shared.zip")]
    {
        checkout.table(table).run(&format!("-o {output}")).exits(0);
        assert!(scene.has(format!("ws/{layer}")), "{output}");
        scene.remove(&format!("ws/{layer}"));
        checkout.table(&format!("{table}output = \"{output}\"")).run("").exits(0);
        assert!(scene.has(format!("ws/{layer}")), "{output}");
    }
    std::fs::remove_dir_all(scene.at("ws/layers")).unwrap();
    scene.link("../outside", "ws/layers");
    checkout.table(&format!("{table}output = \"{{bin}}.zip\""));
    checkout.run("").exits(101).says(&["the layer of `--split-layer`, would be written\n"]);
    scene.remove("ws/layers");
    assert_eq!(checkout.outside(), before);
}

#[test]
fn a_file_outside_of_the_workspace_is_a_finding_if_a_manifest_includes_it() {
    let checkout = checkout();
    let scene = &checkout.scene;
    scene.link("../../victim", "ws/files/link").file("ws/files/own", "x").link("../outside", "ws/outside");
    let outside = scene.at("outside").display().to_string();
    let allow = "allow = [\"not-a-runtime\"]";
    for (include, by) in [
        ("\"../victim=v\"".to_owned(), "../victim"),
        (format!("{{ from = \"{outside}\", to = \"o\" }}"), outside.as_str()),
        ("\"files\"".to_owned(), "files"),
        ("\"outside/*\"".to_owned(), "outside/*"),
    ] {
        checkout.table(&format!("{allow}\ninclude = [{include}]"));
        let says = format!("warning[suspicious-include]: `include` of a manifest names `{by}`, and `");
        checkout.run("check").exits(0).says(&[&says, "` is outside the workspace\nhelp: if it is meant, "]);
        checkout.run("check --deny suspicious-include").exits(1);
    }
    // What is inside, and what the user names.
    checkout.table(&format!("{allow}\ninclude = [\"files/own\", \"src\"]"));
    checkout.run("check").exits(0).keeps_silent_about(&["suspicious-include"]);
    checkout.table(allow);
    checkout
        .run("check --include ../victim=v --include files")
        .exits(0)
        .keeps_silent_about(&["suspicious-include"]);
    // cargo-lambda's settings are a checkout's, too.
    scene.file("ws/CargoLambda.toml", "[build]\ninclude = [\"v:../victim\"]\n");
    checkout
        .run("check")
        .exits(0)
        .says(&["warning[suspicious-include]: `include` of a manifest names `../victim`"]);
}
