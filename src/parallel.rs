//! Work on several threads whose results come in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// Does `work` for each of `jobs`, on a thread for each of `states`, and passes the results to `take` in the order of
/// the jobs.
///
/// If no more threads can be started (limits of a user or of a container), the started threads do all the work; if
/// there are none, the caller's thread does it.
///
/// Results wait in memory for earlier ones. The first error of `take` ends the work; a panic of `work` is passed on.
pub fn in_order<S: Send, J: Send, T: Send, E>(
    mut states: Vec<S>,
    jobs: Vec<J>,
    work: impl Fn(&mut S, J) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    if let [state] = &mut states[..] {
        return jobs.into_iter().try_for_each(|job| take(work(state, job)));
    }
    states.truncate(jobs.len());
    let n_threads = states.len();
    let (sender, receiver) = mpsc::sync_channel(n_threads);
    let next = Mutex::new(jobs.into_iter().enumerate());
    let next = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    // A thread takes its state when it runs: a thread that cannot be started loses no state.
    let states = Mutex::new(states);
    let state = || states.lock().unwrap_or_else(PoisonError::into_inner).pop();
    thread::scope(|scope| {
        let mut n_started = 0;
        while n_started < n_threads {
            let (sender, next, state, work) = (sender.clone(), &next, &state, &work);
            let run = move || {
                let Some(mut state) = state() else { return };
                while let Some((n, job)) = next() {
                    if sender.send((n, work(&mut state, job))).is_err() {
                        return; // `take` failed
                    }
                }
            };
            if start(n_started, scope, run).is_err() {
                break;
            }
            n_started += 1;
        }
        drop(sender);
        if n_started == 0 {
            let Some(mut state) = state() else { return Ok(()) };
            while let Some((_, job)) = next() {
                take(work(&mut state, job))?;
            }
            return Ok(());
        }
        let mut early = BTreeMap::new();
        let mut n = 0;
        for (at, result) in receiver {
            early.insert(at, result);
            while let Some(result) = early.remove(&n) {
                take(result)?;
                n += 1;
            }
        }
        Ok(())
    })
}

/// Does `work`, and on a thread beside it what can be done ahead, if a thread can be started.
pub fn beside<T>(ahead: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let _ = start(0, scope, ahead);
        work()
    })
}

/// Starts the next thread after `n_started` others.
fn start<'scope>(
    n_started: usize,
    scope: &'scope thread::Scope<'scope, '_>,
    run: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    #[cfg(test)]
    if n_started >= tests::MOST.get() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let _ = n_started;
    thread::Builder::new().spawn_scoped(scope, run).map(drop)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    thread_local! {
        /// The number of threads that can be started.
        pub static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    fn sums(threads: usize, n_jobs: u64, take: impl FnMut(u64) -> Result<(), u64>) -> Result<(), u64> {
        in_order(vec![(); threads], (0..n_jobs).collect(), |(), job| (0..=(job * 7919) % 5000).sum(), take)
    }

    #[test]
    fn results_come_in_order_on_any_number_of_threads() {
        let expected: Vec<u64> = (0..200).map(|job| (0..=(job * 7919) % 5000).sum()).collect();
        for (threads, most) in [(1, 8), (2, 8), (8, 8), (300, 300), (8, 3), (8, 1), (8, 0)] {
            MOST.set(most);
            let mut found = Vec::new();
            let take = |sum| {
                found.push(sum);
                Ok(())
            };
            assert_eq!(sums(threads, 200, take), Ok(()));
            assert_eq!(found, expected, "{threads} threads, of which {most} start");
        }
    }

    #[test]
    fn the_first_error_ends_the_work() {
        for (threads, most) in [(1, 8), (2, 8), (8, 8), (8, 0)] {
            MOST.set(most);
            let mut n_taken = 0;
            let take = |sum| {
                n_taken += 1;
                if n_taken == 3 { Err(sum) } else { Ok(()) }
            };
            assert_eq!(sums(threads, 1000, take), Err((0..=2 * 7919 % 5000).sum()));
            assert_eq!(n_taken, 3);
        }
    }

    #[test]
    fn what_is_done_ahead_is_left_out_without_a_thread_for_it() {
        for most in [0, 1] {
            MOST.set(most);
            let n_ahead = AtomicUsize::new(0);
            let done = beside(|| n_ahead.store(1, Ordering::Relaxed), || "work");
            assert_eq!((done, n_ahead.into_inner()), ("work", most));
        }
    }

    #[test]
    fn nothing_to_do_is_done() {
        assert_eq!(sums(2, 0, |_| unreachable!()), Ok(()));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_passed_on() {
        let work = |(): &mut (), job: usize| assert_ne!(job, 5, "five");
        let _ = in_order(vec![(), ()], (0..10).collect(), work, |()| Ok::<(), ()>(()));
    }
}
