//! A plan's entries to ZIP bytes, and back.
