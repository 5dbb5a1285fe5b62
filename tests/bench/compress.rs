//! How long the compression of one file takes, without all else that a run does.
//!
//! `compress FILE` prints the seconds and the bytes of an archive with nothing but FILE, on every core.
//! tests/bench/run compares it with other compressors.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at files and clocks")]

use std::sync::Arc;
use std::time::Instant;

use cargo_lambda_bundle::archive::{self, Content, Entry, Mode, Options};

fn main() {
    let path = std::env::args().nth(1).expect("a file to compress");
    let content = Content::File(Arc::new(std::fs::read(path).expect("a file that can be read")));
    let entries = [Entry { name: archive::BOOTSTRAP.to_owned(), mode: Mode::Executable, content }];
    let threads = std::thread::available_parallelism().expect("a number of cores");
    let clock = Instant::now();
    let zip = archive::write(&entries, &Options { threads, ..Options::default() }, Vec::new());
    println!("{} {}", clock.elapsed().as_secs_f64(), zip.expect("a plan that holds").len());
}
