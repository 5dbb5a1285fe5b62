//! Embedded tables of what Lambda's runtimes hold.
