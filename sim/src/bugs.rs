//! Switches on one bug of the log after the other: each must be caught.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use foretell_log::bugs::{Bug, switch_on};

use crate::failure::Failure;
use crate::random::seed_of;
use crate::runner::guarded;
use crate::{clients, crash};

/// How one of the two simulations caught a bug: by which check, in which cycle or seed (from 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caught {
    pub check: &'static str,
    pub after: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    pub bug: Bug,
    pub crash: Option<Caught>,
    pub run: Option<Caught>,
}

impl Row {
    pub fn survived(&self) -> bool {
        self.crash.is_none() && self.run.is_none()
    }
}

/// At most so many cycles and seeds for each bug.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub cycles: u64,
    pub seeds: u64,
}

/// Tries every bug, on all processors, and gives the rows in the order of [`Bug::ALL`].
pub fn all(seed: u64, bounds: Bounds) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let work = || {
        while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = one(*bug, seed, bounds);
            crate::print(&format!("{}\n", line(&row)));
            rows.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(row);
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|row| Bug::ALL.iter().position(|bug| *bug == row.bug));
    rows
}

fn one(bug: Bug, seed: u64, bounds: Bounds) -> Row {
    switch_on(Some(bug));
    let crash = first(bounds.cycles, |number| {
        crash::cycle(seed_of(seed, number), false).map(drop)
    });
    let run = first(bounds.seeds, |number| {
        clients::twice(seed_of(seed, number), false).map(drop)
    });
    switch_on(None);
    Row { bug, crash, run }
}

fn first(most: u64, one: impl Fn(u64) -> Result<(), (Failure, u64)>) -> Option<Caught> {
    (0..most).find_map(|number| {
        let (failure, _) = guarded(|| one(number)).err()?;
        Some(Caught {
            check: failure.check,
            after: number + 1,
        })
    })
}

/// A row of the table, as Markdown.
pub fn line(row: &Row) -> String {
    let cell = |caught: Option<Caught>| {
        caught.map_or("|".to_owned(), |c| format!("{} | {}", c.check, c.after))
    };
    format!(
        "| {:?} | {} | {} |",
        row.bug,
        cell(row.crash),
        cell(row.run)
    )
}

pub const HEAD: &str = "\
| Bug | `crash`: caught by | after cycles | `run`: caught by | after seeds |
| --- | --- | --- | --- | --- |";
