//! Ctrl-C: what a run has made and would have removed at its end is removed before the process ends.
//!
//! Each thing that may be left registers how it is undone. On SIGINT and SIGTERM a thread of its own undoes all, the
//! newest first, and ends the process by that signal, as if it had never been caught. A kill leaves everything.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How things are undone, in the order in which they were made.
type Pending = BTreeMap<u64, Box<dyn FnOnce() + Send>>;

static PENDING: Mutex<Pending> = Mutex::new(BTreeMap::new());

fn pending() -> MutexGuard<'static, Pending> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that is undone on Ctrl-C as long as this lives.
#[derive(Debug)]
#[must_use]
pub struct Registered(u64);

impl Drop for Registered {
    fn drop(&mut self) {
        pending().remove(&self.0);
    }
}

/// Registers how something is undone on Ctrl-C.
pub fn undo(undo: impl FnOnce() + Send + 'static) -> Registered {
    watch();
    let mut pending = pending();
    let id = pending.last_key_value().map_or(0, |(id, _)| id + 1);
    pending.insert(id, Box::new(undo));
    Registered(id)
}

/// Does a step that Ctrl-C waits for: nothing is undone in the middle of it.
pub fn whole<T>(step: impl FnOnce() -> T) -> T {
    let _pending = pending();
    step()
}

#[cfg(unix)]
fn watch() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    static WATCHING: std::sync::Once = std::sync::Once::new();
    WATCHING.call_once(|| {
        // Without a thread, or a handler, Ctrl-C ends the process at once, as a kill does.
        let end = || {
            let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
            for signal in signals.forever() {
                // Held to the end, so that no step begins that would have to be undone.
                let mut pending = pending();
                while let Some((_, undo)) = pending.pop_last() {
                    undo();
                }
                let _ = emulate_default_handler(signal);
            }
        };
        let _ = std::thread::Builder::new().spawn(end);
    });
}

#[cfg(not(unix))]
fn watch() {}
