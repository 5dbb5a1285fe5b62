//! The modules of the crate stand on floors, and imports run down only.
//!
//! A module may use what stands on a floor below its own. Two modules of one floor do not know each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From the ground up.
const FLOORS: &[&[&str]] = &[
    &["error"],
    &["nearest", "parallel", "paths", "text"],
    &["date", "environment"],
    &["archive", "elf", "packages", "patterns"],
    &["baseline", "include", "layout", "repair"],
    &["world"],
    &["loader"],
    &["lambda"],
    &["plan"],
    &["audit"],
    &["report", "template"],
    &["proof"],
    // Nothing below opens a file, starts a process, or prints.
    &["disk", "workspace"],
    &["tools"],
    &["cli"],
    &["settings"],
    &["ui"],
    &["command"],
    &["main"],
];

#[test]
fn imports_run_downward() {
    let mut wrong = Vec::new();
    for file in files() {
        let module = module_of(&file);
        let Some(floor) = floor_of(&module) else {
            wrong.push(format!(
                "{}: `{module}` stands on no floor: give it one in {}",
                file.display(),
                file!()
            ));
            continue;
        };
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        for import in imports(&text).filter(|import| import.module != module) {
            if floor_of(&import.module).is_some_and(|below| below >= floor) {
                wrong.push(format!("{}:{}: {module} imports {}", file.display(), import.line, import.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{} imports run upward or sideways:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_floor_has_its_modules() {
    let modules: Vec<String> = files().iter().map(|file| module_of(file)).collect();
    let empty: Vec<_> =
        FLOORS.concat().into_iter().filter(|name| !modules.iter().any(|it| it == name)).collect();
    assert!(empty.is_empty(), "no file of src is one of these: {empty:?}");
}

#[test]
fn files_of_one_folder_import_in_one_direction() {
    // The files that each file imports from its folder.
    let mut below: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    let all = files();
    for file in &all {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let siblings =
            names_behind(code, "super::").into_iter().map(|name| file.with_file_name(name + ".rs"));
        below.insert(file.clone(), siblings.filter(|sibling| all.contains(sibling)).collect());
    }
    assert!(below[Path::new("src/plan/pins.rs")].contains(&PathBuf::from("src/plan/draft.rs")));
    // Those that import nothing that is left are taken away, again and again.
    while let Some(file) = below.keys().find(|file| below[*file].iter().all(|it| !below.contains_key(it))) {
        below.remove(&file.clone());
    }
    assert!(below.is_empty(), "files that import each other, or one that does: {:?}", below.keys());
}

#[test]
fn a_type_name_means_one_thing() {
    // The compressors are the same type, of which one is compiled.
    let twice_on_purpose = ["Encoder"];
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files() {
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in code.lines() {
            let words: Vec<&str> = line.split([' ', '<', '(', '{', ';', ':', '=']).collect();
            let keyword =
                words.iter().take(4).position(|word| ["struct", "enum", "trait", "type"].contains(word));
            // What is indented is a part of something else, as `type Item` of an iterator.
            if let Some(at) = keyword.filter(|_| !line.starts_with([' ', '/'])) {
                places.entry(words[at + 1].to_owned()).or_default().push(file.clone());
            }
        }
    }
    assert!(places.contains_key("Closure") && places.contains_key("Encoder"));
    places.retain(|name, places| places.len() > 1 && !twice_on_purpose.contains(&name.as_str()));
    assert!(places.is_empty(), "types of one name: {places:?}");
}

/// The first names of the paths that follow a prefix, in braces or not.
fn names_behind(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (start, _) in code.match_indices(prefix) {
        let rest = &code[start + prefix.len()..];
        let (mut depth, mut is_first) = (0, true);
        let mut name = String::new();
        for letter in rest.chars() {
            if is_first && (letter.is_alphanumeric() || letter == '_') {
                name.push(letter);
                continue;
            }
            names.push(std::mem::take(&mut name));
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            is_first = depth == 1 && (letter == '{' || letter == ',' || is_first && letter.is_whitespace());
            if depth == 0 {
                break;
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

struct Import {
    line: usize,
    module: String,
}

/// `crate::NAME`, `crate::{NAME, ...}` and, in main.rs, the same of the crate's own name.
fn imports(text: &str) -> impl Iterator<Item = Import> {
    let code: Vec<&str> =
        text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect();
    let code = code.join("\n");
    let mut imports = Vec::new();
    for prefix in ["crate::", "cargo_lambda_bundle::"] {
        for (start, _) in code.match_indices(prefix) {
            let line = 1 + code[..start].matches('\n').count();
            let names = &code[start + prefix.len()..];
            let names: Vec<&str> = match names.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap().split(',').collect(),
                None => vec![names],
            };
            for name in names.iter().map(|name| name.trim_start()) {
                let module = name.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
                imports.push(Import { line, module });
            }
        }
    }
    imports.into_iter()
}

/// The number of the floor on which a module stands.
fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The first component below src: `src/elf/notes.rs` and `src/elf.rs` are `elf`.
fn module_of(file: &Path) -> String {
    let first = file.iter().nth(1).unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// The Rust files of src but its root, which names all modules.
fn files() -> Vec<PathBuf> {
    let mut directories = vec![PathBuf::from("src")];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(root().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && path != Path::new("src/lib.rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
