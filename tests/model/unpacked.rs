//! What a proof reads of the files that a bundle is made of.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use cargo_lambda_bundle::archive::{self, CHUNK, Content, Stored};
use cargo_lambda_bundle::elf;
use cargo_lambda_bundle::error::Result;
use cargo_lambda_bundle::proof::{SharedFacts, UnpackedFile};

/// A file that notes what is read of it.
#[derive(Debug)]
struct NotedFile {
    bytes: Vec<u8>,
    reads: Mutex<Vec<Range<u64>>>,
}

impl Stored for NotedFile {
    fn n_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn hash(&self) -> u128 {
        archive::hash(&self.bytes)
    }

    fn read_into(&self, range: Range<u64>, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        buffer.extend_from_slice(&self.bytes[range.start as usize..range.end as usize]);
        self.reads.lock().unwrap().push(range);
        Ok(())
    }
}

#[test]
fn a_library_of_many_bundles_is_parsed_for_two() {
    // The program of these tests has several chunks, and its tables are far apart.
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(bytes.len() > 2 * CHUNK);
    let facts = elf::parse(&bytes).unwrap();
    let file = Arc::new(NotedFile { bytes, reads: Mutex::default() });
    let content = Content::Stored(file.clone());
    let shared = SharedFacts::default();
    let mut reads = Vec::new();
    for _ in 0..4 {
        let unpacked = UnpackedFile::of_content("lib/libone.so", &content, &shared).unwrap();
        assert!(*unpacked.facts.unwrap() == facts);
        assert!(unpacked.bytes.is_none());
        reads.push(std::mem::take(&mut *file.reads.lock().unwrap()));
    }
    let is_chunk = |range: &Range<u64>| {
        let end = (range.start + CHUNK as u64).min(file.n_bytes());
        range.start.is_multiple_of(CHUNK as u64) && range.end == end
    };
    assert!(reads[0].iter().all(is_chunk), "only chunks can be compared with what was planned: {reads:?}");
    assert!(reads[0].windows(2).all(|pair| pair[0] != pair[1]), "{reads:?}");
    assert_eq!(reads[1], reads[0]);
    assert_eq!(reads[2..], [vec![], vec![]]);
}

#[test]
fn the_text_of_a_script_is_kept() {
    let text = b"#!/bin/sh\nexec ./app\n".to_vec();
    let file = NotedFile { bytes: text.clone(), reads: Mutex::default() };
    for content in [Content::Stored(Arc::new(file)), Content::File(Arc::new(text.clone()))] {
        let unpacked = UnpackedFile::of_content("bootstrap", &content, &SharedFacts::default()).unwrap();
        assert!(unpacked.facts.is_err());
        assert_eq!(unpacked.bytes.as_ref(), Some(&text));
    }
}
