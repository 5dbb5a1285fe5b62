//! Names for large files in musl, such as `open64`. Since 1.2.4 its libc does not define them, but its loader finds
//! the function without the `64` for programs that were linked before.
//!
//! Source: `get_lfs64` and `do_relocs` in musl's ldso/dynlink.c, 1.2.5.

use crate::elf::{ElfFacts, Offer};
use crate::loader::{Closure, Rule};

/// The functions that the loader knows. It passes over names of more than 16 bytes, so `posix_fallocate64`, which is in
/// its list, is not found.
const FUNCTIONS: &[&str] = &[
    "__fxstat",
    "__fxstatat",
    "__lxstat",
    "__xstat",
    "aio_cancel",
    "aio_error",
    "aio_fsync",
    "aio_read",
    "aio_return",
    "aio_suspend",
    "aio_write",
    "alphasort",
    "creat",
    "fallocate",
    "fgetpos",
    "fopen",
    "freopen",
    "fseeko",
    "fsetpos",
    "fstat",
    "fstatat",
    "fstatfs",
    "fstatvfs",
    "ftello",
    "ftruncate",
    "ftw",
    "getdents",
    "getrlimit",
    "glob",
    "globfree",
    "lio_listio",
    "lockf",
    "lseek",
    "lstat",
    "mkostemp",
    "mkostemps",
    "mkstemp",
    "mkstemps",
    "mmap",
    "nftw",
    "open",
    "openat",
    "posix_fadvise",
    "pread",
    "preadv",
    "prlimit",
    "pwrite",
    "pwritev",
    "readdir",
    "scandir",
    "sendfile",
    "setrlimit",
    "stat",
    "statfs",
    "statvfs",
    "tmpfile",
    "truncate",
    "versionsort",
];

/// Whether musl's loader, which is its libc, has the function that it takes for this name.
pub(super) fn is_known(closure: &Closure, name: &[u8]) -> bool {
    let function = match name {
        b"readdir64_r" => Some("readdir_r"),
        _ => FUNCTIONS.iter().copied().find(|function| name.strip_suffix(b"64") == Some(function.as_bytes())),
    };
    let mut libcs = closure.objects.iter().filter(|object| object.rule == Rule::Interpreter);
    let Some((function, libc)) = function.zip(libcs.find_map(|object| object.file.object.elf())) else {
        return false;
    };
    // An older musl defines all of the names itself, and has no list.
    defines(libc, function) && !defines(libc, "open64")
}

fn defines(libc: &ElfFacts, name: &str) -> bool {
    let is_it = |symbol: &&crate::elf::Symbol| symbol.offer == Offer::Everything;
    libc.symbols.iter().filter(is_it).any(|symbol| libc.symbols.name_bytes(symbol) == name.as_bytes())
}
