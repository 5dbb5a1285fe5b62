//! Converts YAML to CloudFormation's JSON: `!Ref X` is `{"Ref": "X"}`, `!Sub x` is `{"Fn::Sub": "x"}`.
//!
//! Every scalar is text, since only texts matter in a template; an empty plain one is null. The first of several
//! documents counts, and the last of several values for one key. Aliases are copied; the number of values with their
//! bytes and the depth of a document are limited.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// More values than any real template has; CloudFormation takes 1 MB of text.
const MAX_VALUES: usize = 1 << 18;

/// The bytes of all texts, with those that aliases copy. CloudFormation takes 1 MB of text.
const MAX_BYTES: usize = 1 << 25;

/// The same depth as serde_json's limit.
const MAX_DEPTH: usize = 128;

/// A list or a mapping that is being read.
struct Open {
    anchor: usize,
    function: Option<String>,
    content: YamlContent,
}

enum YamlContent {
    List(Vec<Value>),
    /// The mapping, and the key whose value comes next.
    Mapping(Map<String, Value>, Option<String>),
}

/// Parses the first document; null if there is none.
///
/// # Errors
///
/// If the text is not YAML, with the position, or exceeds the limits.
pub(super) fn parse(text: &str) -> Result<Value> {
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: BTreeMap<usize, (Value, Weight)> = BTreeMap::new();
    let mut weight = Weight::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| Error::new("it is not YAML").because(error))?;
        let (anchor, value) = match event {
            Event::MappingStart(anchor, tag) => {
                let content = YamlContent::Mapping(Map::new(), None);
                open.push(Open { anchor, function: tag.and_then(|tag| function(&tag)), content });
                (0, None)
            }
            Event::SequenceStart(anchor, tag) => {
                let content = YamlContent::List(Vec::new());
                open.push(Open { anchor, function: tag.and_then(|tag| function(&tag)), content });
                (0, None)
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(Open { anchor, function, content }) = open.pop() else { continue };
                let value = match content {
                    YamlContent::List(items) => Value::Array(items),
                    YamlContent::Mapping(entries, _) => Value::Object(entries),
                };
                (anchor, Some(call(function, value)))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                let value = if is_null { Value::Null } else { Value::String(text.into_owned()) };
                (anchor, Some(call(tag.and_then(|tag| function(&tag)), value)))
            }
            Event::Alias(anchor) => {
                let (value, size) = match anchors.get(&anchor) {
                    Some((value, size)) => (Some(value), *size),
                    None => (None, Weight::default()),
                };
                weight.add(size)?;
                (0, Some(value.cloned().unwrap_or_default()))
            }
            Event::DocumentEnd => break,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => continue,
        };
        weight
            .add(Weight { values: 1, bytes: value.as_ref().and_then(Value::as_str).map_or(0, str::len) })?;
        if open.len() > MAX_DEPTH {
            return Err(too_much());
        }
        let Some(value) = value else { continue };
        if anchor != 0 {
            let size = Weight::of(&value);
            weight.add(size)?;
            anchors.insert(anchor, (value.clone(), size));
        }
        match open.last_mut().map(|open| &mut open.content) {
            None => return Ok(value),
            Some(YamlContent::List(items)) => items.push(value),
            Some(YamlContent::Mapping(entries, key)) => match key.take() {
                // A key that is no text is ignored.
                None => *key = Some(value.as_str().unwrap_or_default().to_owned()),
                Some(key) => {
                    entries.insert(key, value);
                }
            },
        }
    }
    Ok(Value::Null)
}

/// Returns the function for a tag of CloudFormation's.
fn function(tag: &Tag) -> Option<String> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!", name @ ("Ref" | "Condition")) => Some(name.to_owned()),
        ("!", name) => Some(format!("Fn::{name}")),
        _ => None,
    }
}

fn call(function: Option<String>, value: Value) -> Value {
    match function {
        Some(name) => Value::Object(Map::from_iter([(name, value)])),
        None => value,
    }
}

/// The number of values inside a value, including itself, and the bytes of their texts.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    values: usize,
    bytes: usize,
}

impl Weight {
    fn of(value: &Value) -> Weight {
        let mut weight = Weight { values: 1, bytes: 0 };
        let mut inside = |value: &Value| {
            let Weight { values, bytes } = Weight::of(value);
            weight.values += values;
            weight.bytes += bytes;
        };
        match value {
            Value::Array(items) => items.iter().for_each(inside),
            Value::Object(entries) => {
                entries.values().for_each(&mut inside);
                weight.bytes += entries.keys().map(String::len).sum::<usize>();
            }
            Value::String(text) => weight.bytes = text.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        weight
    }

    /// Adds more.
    ///
    /// # Errors
    ///
    /// If it is too much then.
    fn add(&mut self, more: Weight) -> Result<()> {
        self.values += more.values;
        self.bytes += more.bytes;
        let is_too_much = self.values > MAX_VALUES || self.bytes > MAX_BYTES;
        if is_too_much { Err(too_much()) } else { Ok(()) }
    }
}

fn too_much() -> Error {
    Error::new(format!(
        "it has more than {MAX_VALUES} values or {MAX_BYTES} bytes of text with its aliases, or is more than \
         {MAX_DEPTH} levels deep"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse(text).unwrap().to_string(), expected);
    }

    #[test]
    fn short_tags_are_functions() {
        check("a: !Ref B", r#"{"a":{"Ref":"B"}}"#);
        check("a: !GetAtt B.Arn", r#"{"a":{"Fn::GetAtt":"B.Arn"}}"#);
        check("a: !If [C, !Ref B, x]", r#"{"a":{"Fn::If":["C",{"Ref":"B"},"x"]}}"#);
        check("a: !Sub\n  - '${x}'\n  - {x: 1}", r#"{"a":{"Fn::Sub":["${x}",{"x":"1"}]}}"#);
        check("a: !Base64\n  Fn::Sub: x", r#"{"a":{"Fn::Base64":{"Fn::Sub":"x"}}}"#);
        check("a: !!str 1", r#"{"a":"1"}"#);
    }

    #[test]
    fn documents() {
        check("", "null");
        check("a:\nb: ~\nc: 'null'", r#"{"a":null,"b":null,"c":"null"}"#);
        check("a: 1\n---\nb: 2", r#"{"a":"1"}"#);
        check("a: 2010-09-09\nb: |\n  text\n", r#"{"a":"2010-09-09","b":"text\n"}"#);
        check("a: &x {b: c}\nd: *x", r#"{"a":{"b":"c"},"d":{"b":"c"}}"#);
    }

    #[test]
    fn what_would_grow_without_end_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 8].join(", ")));
        }
        assert!(parse(&text).unwrap_err().to_string().contains("more than 262144 values"));
        // Few values, but long ones: 10 GB.
        let text = format!("x: &x \"{}\"\nlist: [{}]", "y".repeat(100_000), ["*x"; 100_000].join(","));
        assert!(parse(&text).unwrap_err().to_string().contains("or 33554432 bytes of text"));
        // As a key, too.
        let text = format!("? &x {}\n: 1\nlist: [{}]", "y".repeat(100_000), ["*x"; 1000].join(","));
        assert!(parse(&text).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(1000)).unwrap_err().to_string().contains("levels deep"));
    }
}
