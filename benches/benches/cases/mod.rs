//! What the micro-benchmarks measure: the same work for times and for instruction counts.

mod engine;
mod hostile;
mod transport;

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// The measured part; gives what is left of it, to be dropped outside.
pub(crate) type Run = Box<dyn FnOnce() -> Box<dyn Any>>;

/// Makes a run, as often as wanted.
pub(crate) type Prepare = Box<dyn FnMut() -> Run>;

/// One benchmark.
pub(crate) struct Case {
    /// `group/what`.
    pub(crate) name: String,
    /// Operations of a run, by which its cost is divided.
    pub(crate) operations: u64,
    /// Whether it is small enough for a machine that is simulated.
    pub(crate) counted: bool,
    /// Builds what all runs need.
    pub(crate) setup: Box<dyn Fn() -> Prepare>,
}

impl Case {
    /// Work on a state that it leaves as good as new.
    fn repeated<S: 'static>(
        name: impl Into<String>,
        operations: usize,
        state: impl Fn() -> S + 'static,
        work: impl Fn(&mut S) + Copy + 'static,
    ) -> Self {
        let setup = move || -> Prepare {
            let state = Rc::new(RefCell::new(state()));
            Box::new(move || {
                let state = Rc::clone(&state);
                Box::new(move || {
                    work(&mut state.borrow_mut());
                    Box::new(())
                })
            })
        };
        Self::of(name, operations, setup)
    }

    /// Work that uses its state up: each run gets a fresh one.
    fn fresh<S: 'static>(
        name: impl Into<String>,
        operations: usize,
        make: impl Fn() -> S + Copy + 'static,
        work: impl Fn(&mut S) + Copy + 'static,
    ) -> Self {
        let setup = move || -> Prepare {
            Box::new(move || {
                let mut state = make();
                Box::new(move || {
                    work(&mut state);
                    Box::new(state)
                })
            })
        };
        Self::of(name, operations, setup)
    }

    fn of(
        name: impl Into<String>,
        operations: usize,
        setup: impl Fn() -> Prepare + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            operations: operations as u64,
            counted: true,
            setup: Box::new(setup),
        }
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = engine::cases();
    cases.extend(transport::cases());
    cases.extend(hostile::cases());
    cases
}
