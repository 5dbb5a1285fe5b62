//! Glob patterns for SONAMEs, as users write them on the command line.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// A set of globs; empty matches nothing.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    set: GlobSet,
}

impl Patterns {
    /// Compiles the patterns; `flag` is the option they came from, for the message.
    ///
    /// # Errors
    ///
    /// If one is not a valid glob.
    pub fn new(flag: &str, patterns: &[String]) -> Result<Patterns> {
        let mut builder = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = Glob::new(pattern).map_err(|error| {
                Error::usage(format!("`{flag} {pattern}` is not a pattern")).because(error)
            })?;
            builder.add(glob);
        }
        let set = builder
            .build()
            .map_err(|error| Error::new(format!("the patterns of `{flag}` are too large")).because(error))?;
        Ok(Patterns { set })
    }

    /// Whether any pattern matches.
    pub fn matches(&self, name: &str) -> bool {
        self.set.is_match(name)
    }
}
