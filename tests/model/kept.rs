//! What is made once for a target directory.

use std::cell::Cell;
use std::fs;

use crate::support::kept::kept;

#[test]
fn it_is_made_again_only_when_what_it_is_made_of_changes() {
    let n_made = Cell::new(0);
    // Of this process: what another run left is no matter.
    let name = format!("test-{}", std::process::id());
    let text = |of: &[&[u8]]| {
        let place = kept(&name, of, |place| {
            n_made.set(n_made.get() + 1);
            fs::write(place.join("text"), of.concat()).unwrap();
        });
        (fs::read(place.join("text")).unwrap(), place)
    };
    let (_, first) = text(&[b"ab", b"c"]);
    assert_eq!(text(&[b"ab", b"c"]), (b"abc".to_vec(), first.clone()));
    assert_eq!(n_made.get(), 1);
    assert_ne!(text(&[b"a", b"bc"]).1, first);
    assert_eq!(n_made.get(), 2);
    assert!(!first.exists(), "what is no longer of use is removed");
    fs::remove_dir_all(first.parent().unwrap()).unwrap();
}
