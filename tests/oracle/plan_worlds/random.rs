//! A world of a seed: the system's libraries, this machine's, layers, a program, and wishes; each as an ELF file.

use std::collections::BTreeMap;
use std::sync::Arc;

use cargo_lambda_bundle::baseline::Baseline;
use cargo_lambda_bundle::baseline::captured::{Root, RootEntry};
use cargo_lambda_bundle::elf::{self, ElfFacts};

use crate::support::elf::{Built, Object, PT_LOAD};

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// What a library is in one of the places where it may be.
#[derive(Debug, Clone, Default)]
pub struct Library {
    pub soname: String,
    /// Its version nodes; none: it has no version definitions.
    pub nodes: Vec<usize>,
    /// The version in its file name, where it has no nodes.
    pub version: usize,
    pub needs: Vec<Wanted>,
    pub rpath: Option<&'static str>,
    pub runpath: Option<&'static str>,
}

/// A need of a library, and the node or symbol of it that is used.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub entry: String,
    pub soname: String,
    pub node: Option<String>,
}

/// All of one world.
#[derive(Debug, Default)]
pub struct RandomWorld {
    pub system: Vec<(Library, Option<&'static str>)>,
    /// Files of the build world by path.
    pub build: Vec<(String, Library)>,
    pub links: Vec<(String, String)>,
    pub layer: Vec<Library>,
    pub program: Library,
    pub wishes: Vec<String>,
    pub excluded: Vec<String>,
    pub extra: Vec<String>,
    pub may_edit: bool,
    pub is_captured: bool,
}

const N_SYSTEM: usize = 6;
const N_OWN: usize = 5;

fn system_name(n: usize) -> String {
    format!("libs{n}.so.1")
}

fn own_name(n: usize) -> String {
    format!("libb{n}.so.1")
}

fn node(soname: &str, n: usize) -> String {
    format!("{}_{n}", soname.trim_start_matches("lib").split('.').next().unwrap().to_uppercase())
}

impl RandomWorld {
    pub fn of(seed: u64) -> RandomWorld {
        let mut random = Random::new(seed);
        let mut world = RandomWorld {
            is_captured: random.percent(50),
            may_edit: random.percent(85),
            ..RandomWorld::default()
        };
        // Which libraries have nodes is the same in both worlds.
        let has_nodes: Vec<bool> = (0..N_SYSTEM).map(|_| random.percent(70)).collect();
        for (n, has_nodes) in has_nodes.iter().enumerate() {
            let nodes = if *has_nodes { (1..=1 + random.below(3)).collect() } else { Vec::new() };
            let library = Library { soname: system_name(n), nodes, version: 3, ..Library::default() };
            let package = [None, Some("one"), Some("two"), Some("three")][random.below(4)];
            world.system.push((library, package));
        }
        // The system is consistent in itself: its needs are met by what it has.
        for n in 0..N_SYSTEM {
            for other in (n + 1..N_SYSTEM).filter(|_| random.percent(30)).collect::<Vec<_>>() {
                let wanted = wanted(&mut random, &world.system[other].0, None);
                world.system[n].0.needs.push(wanted);
            }
        }
        // This machine has its own copies, most of them newer.
        for (n, has_nodes) in has_nodes.iter().enumerate() {
            let mut library = Library { soname: system_name(n), ..Library::default() };
            if *has_nodes {
                library.nodes = (1..=1 + random.below(5)).filter(|_| !random.percent(15)).collect();
                if library.nodes.is_empty() {
                    library.nodes.push(1);
                }
            }
            library.version = 1 + random.below(5);
            world.add_build(library, &mut random);
        }
        for n in 0..N_OWN {
            let library = Library {
                soname: own_name(n),
                nodes: if random.percent(40) { vec![1, 2] } else { vec![] },
                version: 1,
                ..Library::default()
            };
            world.add_build(library, &mut random);
        }
        let order: Vec<usize> = (0..world.build.len()).collect();
        for at in &order {
            for other in
                order.iter().filter(|other| *other != at && random.percent(22)).copied().collect::<Vec<_>>()
            {
                // Real libraries of the system's do not need ours; a few cycles are fine.
                if (*at < N_SYSTEM && other >= N_SYSTEM && random.percent(70))
                    || (other < *at && random.percent(70))
                {
                    continue;
                }
                let path = Some(world.build[other].0.clone());
                let wanted = wanted(&mut random, &world.build[other].1.clone(), path);
                world.build[*at].1.needs.push(wanted);
            }
        }
        let mut program = Library { soname: "app".into(), ..Library::default() };
        paths(&mut program, &mut random);
        for other in order.iter().filter(|_| random.percent(40)).copied().collect::<Vec<_>>() {
            let path = Some(world.build[other].0.clone());
            program.needs.push(wanted(&mut random, &world.build[other].1.clone(), path));
        }
        world.program = program;
        for n in 0..world.build.len() {
            let library = world.build[n].1.clone();
            if random.percent(8) {
                let keeps: Vec<usize> =
                    library.nodes.iter().copied().filter(|_| random.percent(70)).collect();
                world.layer.push(Library { nodes: keeps, needs: Vec::new(), ..library.clone() });
            }
            let soname = library.soname;
            if random.percent(12) {
                world.wishes.push(soname.clone());
            }
            if random.percent(2) {
                world.excluded.push(soname.clone());
            }
            if random.percent(4) {
                world.extra.push(soname);
            }
        }
        world
    }

    fn add_build(&mut self, mut library: Library, random: &mut Random) {
        paths(&mut library, random);
        let file = format!("/build/lib/{}.{}", library.soname, library.version);
        let path = format!("/build/lib/{}", library.soname);
        if library.nodes.is_empty() {
            self.links.push((path, file.clone()));
            self.build.push((file, library.clone()));
        } else {
            self.build.push((path.clone(), library.clone()));
        }
        self.links.push((
            format!("/build/lib/lib{}-alias.so", library.soname),
            format!("/build/lib/{}", library.soname),
        ));
    }

    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let of = |(path, library): &(String, Library)| {
            (path.clone(), library.bytes(Object::library(&library.soname)))
        };
        self.build.iter().map(of).collect()
    }

    pub fn system_files(&self) -> BTreeMap<String, Vec<u8>> {
        let of = |(library, _): &(Library, _)| {
            let version =
                if library.nodes.is_empty() { format!(".{}", library.version) } else { String::new() };
            let path = format!("/usr/lib64/{}{version}", library.soname);
            (path, library.bytes(Object::library(&library.soname)))
        };
        self.system.iter().map(of).collect()
    }
}

fn paths(library: &mut Library, random: &mut Random) {
    let path = random.one_of(&[
        "/usr/lib64",
        "/lib64:/build/lib",
        "$ORIGIN",
        "/build/lib",
        "/opt/lib",
        "/var/task/lib/pinned",
        "$ORIGIN/pinned",
        "$ORIGIN/../lib",
    ]);
    match random.below(10) {
        0 | 1 => library.rpath = Some(path),
        2 | 3 => library.runpath = Some(path),
        _ => {}
    }
}

/// A need of what a library has.
fn wanted(random: &mut Random, library: &Library, path: Option<String>) -> Wanted {
    let soname = library.soname.clone();
    let node = match library.nodes.len() {
        0 => None,
        n => Some(node(&soname, library.nodes[random.below(n)])),
    };
    let entry = match (random.below(20), path) {
        (0, Some(path)) => path,
        (1, Some(_)) => format!("$ORIGIN/../lib/{soname}"),
        (2, Some(_)) => format!("lib{soname}-alias.so"),
        _ => soname.clone(),
    };
    Wanted { entry, soname, node }
}

impl Library {
    pub fn bytes(&self, mut object: Object) -> Vec<u8> {
        if let Some(path) = self.rpath {
            object = object.rpath(path);
        }
        if let Some(path) = self.runpath {
            object = object.runpath(path);
        }
        for wanted in &self.needs {
            object = object.needs(&wanted.entry);
        }
        for n in &self.nodes {
            let node = node(&self.soname, *n);
            object = object.defines(node.to_lowercase(), Some(&node));
        }
        if self.nodes.is_empty() && self.soname != "app" {
            object = object.defines(format!("plain_{}", self.soname), None);
        }
        for wanted in &self.needs {
            object = match &wanted.node {
                Some(node) => object.imports(node.to_lowercase(), Some((&wanted.entry, node))),
                None => object.imports(format!("plain_{}", wanted.soname), None),
            };
        }
        // exit_group(0), where it is a program.
        const EXIT: &[u8] = &[0xb8, 0xe7, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
        // An edit takes the place of the note's program header.
        let mut built = object.build_id(&[1; 20]).text(EXIT).build();
        let (entry, load) = (built.bytes.len() - EXIT.len(), built.header(PT_LOAD));
        if self.soname == "app" {
            built = built.put_u64(24, Built::address(entry));
        }
        built.put_u32(load + 4, 7).bytes
    }
}

pub fn parse(bytes: &[u8]) -> Arc<ElfFacts> {
    Arc::new(elf::parse(bytes).unwrap())
}

/// The runtime of a world as a table, or as it would be captured.
pub fn baseline(world: &RandomWorld) -> Baseline {
    let mut text = "runtime test\narch x86_64\nrecorded 2026-01-01\nglibc 2.36\ncomplete yes\n\
         interpreter /lib64/ld-linux-x86-64.so.2\ndefault-dirs /lib64 /usr/lib64\n\
         library-path /lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib\n"
        .to_owned();
    if world.is_captured {
        let mut root = Root::default();
        let mut link =
            |from: &str, to: &str| root.entries.insert(from.to_owned(), RootEntry::Link(to.to_owned()));
        link("/lib64", "usr/lib64");
        let loader = Object::library("ld-linux-x86-64.so.2").facts();
        root.entries.insert("/usr/lib64/ld-linux-x86-64.so.2".into(), RootEntry::Elf(loader));
        for ((path, bytes), (library, package)) in world.system_files().iter().zip(&world.system) {
            root.entries.insert(path.clone(), RootEntry::Elf(parse(bytes)));
            if let Some(package) = package {
                root.packages.insert(path.clone(), (*package).to_owned());
            }
            if library.nodes.is_empty() {
                let link = RootEntry::Link(cargo_lambda_bundle::paths::file_name(path).to_owned());
                root.entries.insert(format!("/usr/lib64/{}", library.soname), link);
            }
        }
        // As it is read back from its text.
        return Baseline::parse(&Baseline::parse(&text).unwrap().with_root(root).captured_text()).unwrap();
    }
    text.push_str("evidence X probe 2026-11-01 a test\n");
    text.push_str("object ld-linux-x86-64.so.2\n  evidence X\n  nodes GLIBC_2.3\n  nodes-from high X\n");
    for (library, package) in &world.system {
        text.push_str(&format!("object {}\n", library.soname));
        if library.nodes.is_empty() {
            text.push_str(&format!("  file {}.{}\n", library.soname, library.version));
        }
        if let Some(package) = package {
            text.push_str(&format!("  package {package}\n"));
        }
        let nodes: Vec<String> = library.nodes.iter().map(|n| node(&library.soname, *n)).collect();
        let nodes = if nodes.is_empty() { "none".to_owned() } else { nodes.join(" ") };
        text.push_str(&format!("  evidence X\n  nodes {nodes}\n  nodes-from high X\n"));
    }
    Baseline::parse(&text).unwrap()
}
