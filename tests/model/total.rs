//! The line that ends a run of the tests.

use crate::support::total::line;

#[test]
fn what_was_skipped_is_said_once_with_the_commands_that_bring_it() {
    assert_eq!(line(""), "no test was skipped");
    let record = "\
skipped\ta::b\tghc (apt: ghc)
skipped\ta::b\tghc (apt: ghc)
skipped\ta::c\tgdb (apt: gdb)
skipped\ta::c\tpython3 (apt: python3; the zip crate reads in its place)
skipped\ta::d\tcargo-lambda (apt: none; pip install cargo-lambda)
skipped\ta::d\tDebian 12: it names the libraries of that system
skipped\ta::e\tcargo-zigbuild with zig (pip install cargo-zigbuild)
shortened\ta::f\tsizes
";
    assert_eq!(
        line(record),
        "4 tests skipped something for want of: apt install gdb ghc python3; pip install cargo-lambda cargo-zigbuild; \
         Debian 12: it names the libraries of that system; 1 test took a part of its cases, all with `CI=true`"
    );
}
