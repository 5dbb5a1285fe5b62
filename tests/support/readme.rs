//! What the README tells its reader to write into files and to run.

const README: &str = include_str!("../../README.md");

/// The text of a file of the section "Recipes": the fenced block with the comment `# name`.
#[track_caller]
pub fn recipe(name: &str) -> &'static str {
    let comment = format!("# {name}");
    block(&|text| text.lines().any(|line| line == comment)).unwrap_or_else(|| panic!("no recipe for {name}"))
}

/// The command line of the section "Recipes" that has this in it, alone in its block.
#[track_caller]
pub fn command_line(part: &str) -> &'static str {
    let text = block(&|text| text.lines().count() == 1 && text.contains(part));
    text.unwrap_or_else(|| panic!("no recipe with `{part}`")).trim_end()
}

fn block(is_it: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    let section = README.split("\n## ").find(|section| section.starts_with("Recipes\n"))?;
    // What stands between two fences is every second part; the rest of the fence's own line is its language.
    let blocks = section.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n')).map(|(_, text)| text).find(|text| is_it(text))
}
