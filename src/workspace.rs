//! From cargo's words to the built program.
