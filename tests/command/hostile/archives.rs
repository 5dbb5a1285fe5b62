//! Archives made to hurt: bombs, names that lead out, links in circles, sizes that are not true.

use std::fs;

use super::{IMAGE_MIB, INPUT_MIB, app, part_of, ring, run, run_in, search_path, verified, with_needs};
use crate::support::elf::Object;
use crate::support::scene::Scene;

/// A member of an archive made by hand.
pub struct Member {
    name: Vec<u8>,
    mode: u32,
    method: u16,
    crc: u32,
    size: u32,
    data: Vec<u8>,
}

impl Member {
    pub fn new(name: &str, data: &[u8]) -> Member {
        let size = data.len() as u32;
        Member { name: name.into(), mode: 0o100_644, method: 0, crc: crc32(data), size, data: data.into() }
    }

    pub fn mode(self, mode: u32) -> Member {
        Member { mode, ..self }
    }

    /// Zeros, deflated as well as can be; their checksum is left out.
    fn zeros(name: &str, size: u32, declared: u32) -> Member {
        let mut bits = Bits::default();
        // One last block with the fixed codes: a zero, matches of 258 bytes at distance 1, the end.
        // Source: RFC 1951, 3.2.5 and 3.2.6.
        bits.put(0b011, 3);
        bits.put(0b0000_1100, 8);
        for _ in 0..(size - 1) / 258 {
            bits.put(0b1010_0011, 8 + 5);
        }
        bits.put(0, 7 + 7);
        Member { method: 8, size: declared, data: bits.end(), ..Member::new(name, b"") }
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// What is no whole byte yet, and how many bits of it.
    rest: u32,
    n: usize,
}

impl Bits {
    /// Adds the low `n` bits of a value, the lowest first.
    fn put(&mut self, value: u32, n: usize) {
        self.rest |= value << self.n;
        self.n += n;
        while self.n >= 8 {
            self.bytes.push(self.rest as u8);
            self.rest >>= 8;
            self.n -= 8;
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.put(0, 7);
        self.bytes
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

pub fn zip(members: &[Member]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let mut common = Vec::new();
        for half in [20, 0, member.method, 0, 0x21] {
            common.extend(u16::to_le_bytes(half));
        }
        for word in [member.crc, member.data.len() as u32, member.size] {
            common.extend(word.to_le_bytes());
        }
        common.extend((member.name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let start = bytes.len() as u32;
        bytes.extend([b"PK\x03\x04".as_slice(), &common, &member.name, &member.data].concat());
        directory.extend([b"PK\x01\x02\x14\x03".as_slice(), &common, &[0; 6]].concat());
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend(start.to_le_bytes());
        directory.extend(&member.name);
    }
    let start = bytes.len() as u32;
    let count = (members.len() as u16).to_le_bytes();
    bytes.extend(&directory);
    bytes.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend([start.to_le_bytes().as_slice(), &[0, 0]].concat());
    bytes
}

fn bootstrap() -> Member {
    Member::new("bootstrap", &app().bytes()).mode(0o100_755)
}

#[test]
fn a_bomb_that_declares_its_size_is_not_unpacked() {
    let bomb = Member::zeros("assets/zeros", 2 << 30, 2 << 30);
    let scene = Scene::new();
    scene.file("app.zip", zip(&[bootstrap(), bomb]));
    verified(&scene, "bomb of 2 GiB, declared", 1).says(&["error[size-limit]", "2147.5 MB unzipped"]);
}

#[test]
fn a_bomb_that_lies_is_unpacked_no_further_than_it_declares() {
    let bomb = Member::zeros("assets/zeros", 2 << 30, 1000);
    let scene = Scene::new();
    scene.file("app.zip", zip(&[bootstrap(), bomb]));
    verified(&scene, "bomb of 2 GiB that declares 1,000 bytes", 101)
        .says(&["`app.zip`: entry `assets/zeros` cannot be unpacked\n", "larger than its declared"]);
    let bomb = Member::new("assets/small", b"x");
    let scene = Scene::new();
    scene.file("app.zip", zip(&[bootstrap(), Member { size: 262_000_000, ..bomb }]));
    verified(&scene, "1 byte that declares 262,000,000", 101).says(&["declares 262000000"]);
}

#[test]
fn a_bomb_inside_lambdas_limit_takes_what_it_declares() {
    let bomb = Member::zeros("assets/zeros", 100 << 20, 100 << 20);
    let scene = Scene::new();
    scene.file("app.zip", zip(&[bootstrap(), bomb]));
    // The unpacked bytes of an archive are held, and are no surprise.
    let mib = IMAGE_MIB + INPUT_MIB + 100;
    run_in(&scene, mib, "bomb of 100 MiB", "verify app.zip").exits(101).says(&["`assets/zeros`"]);
}

#[test]
fn sixty_five_thousand_entries_are_read() {
    let mut members = vec![bootstrap()];
    members.extend((1..65_534).map(|n| Member::new(&format!("lib/libn{n}.so"), b"")));
    let scene = Scene::new();
    scene.file("app.zip", zip(&members));
    verified(&scene, "65,534 entries", 0);
    run(&scene, "65,534 entries", "verify app.zip --message-format json").json();
}

#[test]
fn links_of_an_archive_may_form_chains_and_cycles() {
    let mut members = vec![Member::new("bootstrap", &app().needs("link0.so").bytes()).mode(0o100_755)];
    for n in 0..10_000 {
        let target = format!("link{}.so", (n + 1) % 10_000);
        members.push(Member::new(&format!("lib/link{n}.so"), target.as_bytes()).mode(0o120_777));
    }
    let scene = Scene::new();
    scene.file("app.zip", zip(&members));
    verified(&scene, "archive with a cycle of 10,000 links", 1).says(&["`link0.so`"]);
}

#[test]
fn names_that_leave_the_archive_or_are_there_twice_are_errors() {
    let rows: [(&[&str], &str, &str); 5] = [
        (&["../evil"], "leaves the archive", "by their names in the directory"),
        (&["a/../../evil"], "leaves the archive", "by their names in the directory"),
        (&["lib/a", "lib/a"], "two entries `lib/a`", "help: remove the ZIP"),
        (&["/etc/evil"], "absolute name", "by their names in the directory"),
        (&["lib\\a"], "a backslash in its name", "a tool that writes `/` in names"),
    ];
    for (names, expected, help) in rows {
        let mut members = vec![bootstrap()];
        members.extend(names.iter().map(|name| Member::new(name, b"x")));
        let scene = Scene::new();
        scene.file("app.zip", zip(&members));
        verified(&scene, &names.join(" "), 101).says(&[expected, help]);
        assert_eq!(
            fs::read_dir(scene.path().parent().unwrap())
                .unwrap()
                .flatten()
                .filter(|entry| { entry.file_name() == "evil" })
                .count(),
            0
        );
    }
    let members = [bootstrap(), Member::new("lib/\x1b[31m\n.so", &app().bytes())];
    run(Scene::new().file("app.zip", zip(&members)), "control characters in an entry", "verify app.zip");
    run(
        Scene::new().file("app.zip", zip(&members)),
        "control characters in an entry",
        "verify app.zip --message-format json",
    );
}

#[test]
fn an_archive_of_hostile_libraries_ends() {
    let count = part_of(2000);
    let mut members = vec![Member::new("bootstrap", &with_needs(app(), count).bytes()).mode(0o100_755)];
    for n in 0..count {
        let object = Object::library(format!("libn{n}.so")).needs(format!("libn{}.so", (n + 7) % count));
        let object = object.rpath(search_path(4096)).needs(format!("absent{n}.so"));
        members.push(Member::new(&format!("lib/libn{n}.so"), &object.bytes()));
    }
    let scene = Scene::new();
    scene.file("app.zip", zip(&members));
    verified(&scene, &format!("archive of {count} libraries with 4 KiB of RPATH each"), 1);
}

#[test]
fn an_archive_with_a_cycle_of_two_thousand_libraries_starts() {
    let mut members = vec![Member::new("bootstrap", &app().needs("libring0.so").bytes()).mode(0o100_755)];
    let count = part_of(2000);
    members.extend((0..count).map(|n| Member::new(&format!("lib/libring{n}.so"), &ring(n, count).bytes())));
    let scene = Scene::new();
    scene.file("app.zip", zip(&members));
    verified(&scene, &format!("archive with a cycle of {count} libraries"), 0);
}
