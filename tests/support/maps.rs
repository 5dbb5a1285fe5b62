//! A program that says what is in its memory.

/// `report()`, in C: says on stderr which shared objects are in the process's memory, and what its own file is.
pub const REPORT: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void report(void) {
    char line[512] = {0}, last[512] = "";
    readlink("/proc/self/exe", line, sizeof line - 1);
    fprintf(stderr, "exe %s\n", line);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/');
        if (path && strstr(path, ".so") && strcmp(path, last)) fputs(strcpy(last, path), stderr);
    }
}
"#;

/// The directories of the shared objects in memory, each once.
pub fn directories(report: &str) -> Vec<&str> {
    let paths = report.lines().filter(|line| line.starts_with('/'));
    let mut directories: Vec<&str> = paths.filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    directories.sort_unstable();
    directories.dedup();
    directories
}
