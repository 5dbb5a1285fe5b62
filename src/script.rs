//! A `bootstrap` that is a shell script: how a program starts that cannot be edited.
//!
//! What DT_RPATH would do the library path does, and what PT_INTERP would do is a call of the loader. Both cost
//! something that an edit does not: the program's children inherit the library path, or /proc/self/exe is the
//! loader's file.
//!
//! `verify` reads such a script back. It knows the scripts that [`Script::text`] writes, no others.

use crate::paths;

/// A script that starts a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The program's path on Lambda.
    pub program: String,
    /// The directory that comes before those of LD_LIBRARY_PATH.
    pub library_dir: String,
    /// The loader that is called; `None` for the one that the program names.
    pub loader: Option<Loader>,
}

/// A loader that a script calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// Its path on Lambda.
    pub path: String,
    /// It can give the program its name (`--argv0`).
    ///
    /// Source: glibc's NEWS for 2.33.
    pub gives_name: bool,
}

const HEAD: &str = "#!/bin/sh\n";

impl Script {
    /// The script. Paths are ours and need no quoting.
    pub fn text(&self) -> String {
        let Script { program, library_dir, loader } = self;
        match loader {
            None => format!(
                "{HEAD}export LD_LIBRARY_PATH={library_dir}:$LD_LIBRARY_PATH\nexec {program} \"$@\"\n"
            ),
            Some(Loader { path, gives_name }) => {
                let name = if *gives_name { " --argv0 \"$0\"" } else { "" };
                format!(
                    "{HEAD}exec {path}{name} --library-path {library_dir}:$LD_LIBRARY_PATH {program} \"$@\"\n"
                )
            }
        }
    }

    /// What it does, for people.
    pub fn line(&self, name: &str) -> String {
        let program = paths::file_name(&self.program);
        match &self.loader {
            None => format!("{name} starts {program}, whose children inherit its LD_LIBRARY_PATH"),
            Some(loader) => format!("{name} starts {program}; /proc/self/exe is `{}` there", loader.path),
        }
    }

    /// Reads a script that [`Script::text`] has written.
    pub fn parse(text: &[u8]) -> Option<Script> {
        let text = std::str::from_utf8(text).ok()?;
        let body = text.strip_prefix(HEAD)?;
        let words: Vec<&str> = body.split_whitespace().collect();
        let library_dir = |word: &str| Some(word.strip_suffix(":$LD_LIBRARY_PATH")?.to_owned());
        let script = match words.as_slice() {
            ["export", path, "exec", program, _] => Script {
                program: (*program).to_owned(),
                library_dir: library_dir(path.strip_prefix("LD_LIBRARY_PATH=")?)?,
                loader: None,
            },
            ["exec", loader, name @ .., "--library-path", path, program, _] => Script {
                program: (*program).to_owned(),
                library_dir: library_dir(path)?,
                loader: Some(Loader { path: (*loader).to_owned(), gives_name: !name.is_empty() }),
            },
            _ => return None,
        };
        // To the letter: another word could mean anything.
        (script.text() == text).then_some(script)
    }
}
