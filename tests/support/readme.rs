//! What the pages tell their reader to write into files and to run.

use cargo_lambda_bundle::cli::topics::topic;

/// The text of a file of `help ci`: the fenced block with the comment `# name`.
#[track_caller]
pub fn recipe(name: &str) -> &'static str {
    let (hash, slashes) = (format!("# {name}"), format!("// {name}"));
    let text = block(&|text| text.lines().any(|line| line == hash || line == slashes));
    text.unwrap_or_else(|| panic!("no recipe for {name}"))
}

/// The command line of `help ci` that has this in it, alone in its block.
#[track_caller]
pub fn command_line(part: &str) -> &'static str {
    let text = block(&|text| text.lines().count() == 1 && text.contains(part));
    text.unwrap_or_else(|| panic!("no recipe with `{part}`")).trim_end()
}

fn block(is_it: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    blocks(topic("ci")?.text).find(|text| is_it(text))
}

/// The fenced blocks of a page.
pub fn blocks(page: &str) -> impl Iterator<Item = &str> {
    // What stands between two fences is every second part; the rest of the fence's own line is its language.
    let blocks = page.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n')).map(|(_, text)| text)
}

/// The `code` of a page outside of its blocks.
pub fn spans(page: &str) -> Vec<String> {
    let prose: Vec<&str> = page.split("\n```").step_by(2).collect();
    // The end of a block belongs to the next part.
    let prose = prose.join("\n\n");
    // Text that has a backtick itself stands between two of them.
    let prose = prose.split("``").step_by(2).collect::<String>();
    prose
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}
