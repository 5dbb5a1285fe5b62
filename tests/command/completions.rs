//! Completions, by the shells themselves: what is typed, and what each of them then offers.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::{Path, PathBuf};

use crate::support::command::{BINARY, Ran, command, finish};
use crate::support::scene::Scene;
use crate::support::tools;

/// A package `orders` with a program that is built, and two examples.
fn scene() -> Scene {
    let scene = Scene::new();
    let manifest = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    scene.file("Cargo.toml", manifest).file("src/main.rs", "fn main() {}\n");
    scene.file("examples/first.rs", "fn main() {}\n").file("examples/second.rs", "fn main() {}\n");
    scene.tool("cargo", "build -q --release --offline").exits(0);
    scene
}

/// Runs a shell that finds the program, and cargo.
fn shell(scene: &Scene, name: &str, arguments: &[&str]) -> Ran {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let built = Path::new(BINARY).parent().unwrap().to_owned();
    let directories = std::iter::once(built).chain(std::env::split_paths(&path));
    let mut command = command(name, scene.path());
    command
        .env("PATH", std::env::join_paths(directories).unwrap())
        .env("TERM", "dumb")
        .env("ROOT", toolchain());
    finish(command.env("HOME", scene.path()).env("RUSTUP_HOME", rustup_home()).args(arguments))
}

/// The directory of the toolchain, which has cargo's own completions.
fn toolchain() -> PathBuf {
    let ran = finish(command("rustc", Path::new("/")).args(["--print", "sysroot"]));
    PathBuf::from(ran.exits(0).stdout.trim())
}

fn rustup_home() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    std::env::var_os("RUSTUP_HOME").map_or(home.join(".rustup"), PathBuf::from)
}

/// The command lines, and words that are offered for each.
const ROWS: [(&str, &[&str]); 13] = [
    ("cargo lambda-bundle ch", &["check"]),
    ("cargo lambda-bundle base", &["baseline"]),
    ("cargo lambda-bundle baseline c", &["capture"]),
    ("cargo lambda-bundle --runti", &["--runtime"]),
    ("cargo lambda-bundle check --bin o", &["orders"]),
    ("cargo +stable lambda-bundle check --example ", &["first", "second"]),
    ("cargo lambda-bundle -p or", &["orders"]),
    ("cargo lambda-bundle --target aarch64-unknown-linux-m", &["aarch64-unknown-linux-musl"]),
    ("cargo lambda-bundle --deny shadowed,version-re", &["shadowed,version-recent"]),
    ("cargo lambda-bundle explain libc.s", &["libc.so.6"]),
    ("cargo lambda-bundle explain missing-l", &["missing-library"]),
    ("cargo-lambda-bundle verify --templ", &["--template"]),
    ("cargo-lambda-bundle check --manifest-path Cargo.t", &["Cargo.toml"]),
];

/// Checks what a shell offers for each row, by a script that has the rows as its arguments.
#[track_caller]
fn check(scene: &Scene, name: &str, arguments: &[&str], rows: &[(&str, &[&str])]) {
    for (typed, expected) in rows {
        let ran = shell(scene, name, &[arguments, &[*typed]].concat());
        let offered: Vec<&str> =
            ran.stdout.lines().map(|line| line.split('\t').next().unwrap().trim()).collect();
        assert_eq!(offered, *expected, "{name}: {typed}: {ran}");
    }
}

/// Types a command line as bash's own reader hands it to a completion.
const BASH: &str = r#"
[ -r /usr/share/bash-completion/bash_completion ] && . /usr/share/bash-completion/bash_completion
[ "$1" = alone ] || . "$ROOT/etc/bash_completion.d/cargo"
. <(cargo-lambda-bundle completions bash)
COMP_LINE=$2 COMP_POINT=${#2} COMP_TYPE=9 COMP_KEY=9
# As COMP_WORDBREAKS says.
read -r -a COMP_WORDS <<<"$(sed -E 's/([=:])/ \1 /g' <<<"$2")"
[ "${2: -1}" = " " ] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[[ $(complete -p "${COMP_WORDS[0]}") =~ -F\ ([^ ]+) ]]
"${BASH_REMATCH[1]}" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"#;

#[test]
fn bash_completes_the_subcommand() {
    if !tools::require("bash", "bash") || !has_bash_completion() {
        return;
    }
    let scene = scene();
    check(&scene, "bash", &["-c", BASH, "bash", "with"], &ROWS);
    // It splits words where the others do not, and wants the last part only.
    let split: [(&str, &[&str]); 3] = [
        ("cargo lambda-bundle check --bin=o", &["orders"]),
        ("cargo lambda-bundle check --runtime image:al2023", &["al2023"]),
        ("cargo lambda-bundle check --message-format=sa", &["sarif"]),
    ];
    check(&scene, "bash", &["-c", BASH, "bash", "with"], &split);
    // cargo's own are still there, also if ours come first.
    let own: [(&str, &[&str]); 1] = [("cargo metad", &["metadata"])];
    check(&scene, "bash", &["-c", BASH, "bash", "with"], &own);
    check(&scene, "bash", &["-c", BASH, "bash", "alone"], &ROWS[..1]);
}

fn has_bash_completion() -> bool {
    let has = Path::new("/usr/share/bash-completion/bash_completion").exists();
    has || tools::skip("bash-completion (apt: bash-completion)")
}

/// An interactive zsh on a terminal of its own, in which each line is typed, and Tab.
const ZSH: &str = r#"
zmodload zsh/zpty
mkdir -p functions
cargo-lambda-bundle completions zsh >functions/_cargo-lambda-bundle
cat >start <<'END'
PS1= RPS1=
stty -echo cols 200
unset zle_bracketed_paste
fpath=($PWD/functions $ROOT/share/zsh/site-functions $fpath)
autoload -Uz compinit
compinit -u -D
show() { print -r -- "<BEGIN>$BUFFER<END>"; BUFFER=; zle accept-line }
zle -N show
bindkey '^I' expand-or-complete
bindkey '^X' show
print READY
END
zpty shell zsh -f -i
zpty -w shell '. ./start'
zpty -r shell line '*READY*'
for typed; do
    zpty -w -n shell "$typed"$'\t\x18'
    zpty -r shell line '*<END>*'
    line=${line##*<BEGIN>}
    print -r -- "${line%%<END>*}"
done
"#;

#[test]
fn zsh_completes_the_subcommand() {
    if !tools::require("zsh", "zsh") {
        return;
    }
    let scene = scene();
    let rows = || ROWS.iter().filter(|(_, expected)| expected.len() == 1);
    // One shell for all: it takes a second to read its own completions.
    let typed: Vec<&str> = rows().map(|(typed, _)| *typed).collect();
    let ran = shell(&scene, "zsh", &[&["-f", "-c", ZSH, "zsh"], &typed[..]].concat());
    let completed: Vec<&str> = ran.stdout.lines().map(str::trim).collect();
    let expected: Vec<String> = rows()
        .map(|(typed, expected)| format!("{} {}", typed.rsplit_once(' ').unwrap().0, expected[0]))
        .collect();
    assert_eq!(completed, expected, "{ran}");
}

/// fish tells by itself what it would offer.
const FISH: &str = "source (cargo-lambda-bundle completions fish | psub); complete -C $argv[1]";

#[test]
fn fish_completes_the_subcommand() {
    if !tools::require("fish", "fish") {
        return;
    }
    check(&scene(), "fish", &["-c", FISH], &ROWS);
}

#[test]
fn a_shell_never_gets_an_error_or_a_build() {
    let scene = Scene::new();
    for words in ["", "bash", "bash --bin ", "zsh explain ", "fish -p ", "fish --build explain "] {
        let ran = finish(scene.command("").arg("__complete").args(words.split(' '))).exits(0);
        assert_eq!(ran.stderr, "", "{words}");
    }
    let scene = scene.var("CARGO_LAMBDA_BUNDLE_BUILD", "true");
    let manifest = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    scene.file("Cargo.toml", manifest).file("src/main.rs", "fn main() {}\n");
    finish(scene.command("").args(["__complete", "zsh", "explain", ""])).exits(0);
    assert!(!scene.has("target"));
}
