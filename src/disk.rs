//! File reads and writes.
