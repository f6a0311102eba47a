//! Numbered runs, some at a time: each thread takes every n-th.

use std::sync::mpsc;
use std::thread;

/// Makes runs 0 to `count`, `at_once` at a time; gives them in the order in which they came to their
/// ends, and tells of each end. The first that could not be made ends it all.
///
/// # Errors
///
/// That of the first run that could not be made.
pub(super) fn run_all<T: Send, E: Send>(
    count: u32,
    at_once: u32,
    one: impl Fn(u32) -> Result<T, E> + Sync,
    mut ended: impl FnMut(&[T]),
) -> Result<Vec<T>, E> {
    let at_once = at_once.clamp(1, count.max(1));
    let (done, runs) = mpsc::channel();
    thread::scope(|scope| {
        for first in 0..at_once {
            let (done, one) = (done.clone(), &one);
            scope.spawn(move || {
                for number in (first..count).step_by(at_once as usize) {
                    // Fails only if another run could not be made: nobody wants to know.
                    if done.send(one(number)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut all = Vec::new();
        for run in runs {
            all.push(run?);
            ended(&all);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For every number at a time, more than there are runs included.
    #[test]
    fn every_run_is_made_once() {
        for at_once in [0, 1, 3, 10, 20] {
            let mut told = 0;
            let mut all =
                run_all(10, at_once, Ok::<u32, ()>, |all| told += usize::from(!all.is_empty()));
            all.as_mut().unwrap().sort_unstable();
            assert_eq!((all, told), (Ok((0..10).collect()), 10));
        }
        assert_eq!(run_all(0, 2, Ok::<u32, ()>, |_| {}), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_made_ends_the_others() {
        let made =
            run_all(1_000, 2, |number| if number == 3 { Err(number) } else { Ok(()) }, |_| {});
        assert_eq!(made, Err(3));
    }
}
