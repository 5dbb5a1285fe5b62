//! The words of one line of a shell's script, where it is certain what the shell makes of them.

/// A word without its quotes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// The text up to the first variable whose value is not known; all of it if there is none.
    pub text: String,
    /// Whether a variable follows, so that the word goes on, or comes to several words or none.
    pub goes_on: bool,
    /// The length of the text in front of the first quote or variable.
    pub n_plain: usize,
}

/// What the words of a script depend on.
#[derive(Clone, Copy)]
pub(super) struct WordContext<'a> {
    /// The value of `LAMBDA_TASK_ROOT`; `None` if the script sets it.
    pub task_root: Option<&'a str>,
    /// Whether a variable that is not set may end the script: `set -u`.
    pub must_be_set: bool,
    /// Whether the script is started with a handler, as a function is and an extension is not.
    pub has_handler: bool,
    /// Whether some variables can no longer be set.
    pub has_constants: bool,
}

/// Returns the words of a line; `None` if it is more than one plain command, or goes on in the next line.
///
/// The characters that are taken without quotes are those to which bash gives no meaning, so no pattern, brace, tilde,
/// operator or redirection is among them. Source: "Shell Syntax" and "EXPANSION" in bash(1).
pub(super) fn words(line: &str, values: WordContext) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() || rest.starts_with('#') {
            return Some(words);
        }
        let n_plain = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
        let mut word = Word { n_plain, ..Word::default() };
        rest = word.take(rest, values)?;
        words.push(word);
    }
}

impl Word {
    /// Takes the word at the start of a line, and returns the rest of the line.
    fn take<'a>(&mut self, mut rest: &'a str, values: WordContext) -> Option<&'a str> {
        while let Some(first) = rest.chars().next().filter(|first| !matches!(first, ' ' | '\t')) {
            rest = match first {
                '\'' => {
                    let (text, rest) = rest[1..].split_once('\'')?;
                    self.add(text)?;
                    rest
                }
                '"' => self.take_quoted(&rest[1..], values)?,
                '$' => self.take_variable(rest, values)?,
                _ => {
                    let end = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
                    let (text, rest) = rest.split_at_checked(end).filter(|_| end > 0)?;
                    self.add(text)?;
                    rest
                }
            };
        }
        Some(rest)
    }

    /// Takes the rest of a text in double quotes, and returns what follows it.
    fn take_quoted<'a>(&mut self, mut rest: &'a str, values: WordContext) -> Option<&'a str> {
        loop {
            let end = rest.find(['"', '$', '`', '\\'])?;
            self.add(&rest[..end])?;
            rest = &rest[end..];
            match rest.as_bytes()[0] {
                b'"' => return Some(&rest[1..]),
                b'$' => rest = self.take_variable(rest, values)?,
                _ => return None,
            }
        }
    }

    /// Takes a variable, and returns what follows it.
    fn take_variable<'a>(&mut self, rest: &'a str, values: WordContext) -> Option<&'a str> {
        let rest = rest.strip_prefix('$')?;
        let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, default, rest) = match rest.strip_prefix('{') {
            Some(braced) => {
                let (inside, rest) = braced.split_once('}')?;
                let (name, default) =
                    inside.split_at(inside.find(|c| !is_in_name(c)).unwrap_or(inside.len()));
                (name, default, rest)
            }
            None if rest.starts_with('@') => ("@", "", &rest[1..]),
            None => {
                let end = rest.find(|c| !is_in_name(c)).unwrap_or(rest.len());
                // One digit is a name.
                let end = if rest.starts_with(|c: char| c.is_ascii_digit()) { 1 } else { end };
                (&rest[..end], "", &rest[end..])
            }
        };
        match (name, values.task_root) {
            ("LAMBDA_TASK_ROOT", Some(root)) if default.is_empty() => self.add(root)?,
            _ => {
                let is_set = !values.must_be_set || name == "@" || is_reserved(name, values);
                let is_given = is_default(name, default, values) || default.is_empty() && is_set;
                let is_name = name == "@" || super::is_name(name) || name.len() == 1;
                (is_given && is_name).then_some(())?;
                self.goes_on = true;
            }
        }
        Some(rest)
    }

    fn add(&mut self, text: &str) -> Option<()> {
        // A byte of the script that is no UTF-8.
        (!text.contains(char::REPLACEMENT_CHARACTER)).then_some(())?;
        if !self.goes_on {
            self.text.push_str(text);
        }
        Some(())
    }
}

/// Whether Lambda always sets a variable.
///
/// Source: "Defined runtime environment variables" of the AWS Lambda developer guide, and those that "Using the Lambda
/// Extensions API to create extensions" says extensions have.
fn is_reserved(name: &str, values: WordContext) -> bool {
    const RESERVED: &[&str] = &["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "PATH"];
    RESERVED.contains(&name) || name == "_HANDLER" && values.has_handler
}

/// Whether bash gives no meaning to a character outside of quotes. A carriage return is one of those.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | ',' | '@' | '%' | '+' | '=' | '\r')
}

/// Whether what follows a variable's name in braces is a plain text to take if it is not set: `:-text`, `:=`, `-`.
fn is_default(name: &str, after: &str, values: WordContext) -> bool {
    let after = after.strip_prefix(':').unwrap_or(after);
    let text = match after.strip_prefix('=') {
        // An argument of the script takes no value.
        Some(_) if values.has_constants || super::matters(name) || !super::is_name(name) => None,
        Some(text) => Some(text),
        None => after.strip_prefix('-'),
    };
    text.is_some_and(|text| text.chars().all(is_plain))
}
