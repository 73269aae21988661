//! Engines measured alternately: each pass opens each of them on a folder of its own, and begins
//! with another one.

use super::drive::Measured;
use super::engine::{Engine, Kind};
use crate::Result;
use crate::results::{Goal, Results, median};

/// An engine, what ours should be in relation to it, and what its passes gave.
#[derive(Debug)]
pub struct Contender {
    pub kind: Kind,
    pub goal: Option<Goal>,
    pub measured: Vec<Measured>,
}

impl Contender {
    pub fn new(kind: Kind, goal: Option<Goal>) -> Contender {
        Contender {
            kind,
            goal,
            measured: Vec::new(),
        }
    }

    pub fn median(&self, of: fn(&Measured) -> f64) -> f64 {
        median(self.measured.iter().map(of).collect())
    }
}

/// Ours comes first in `contenders`.
pub fn alternate(
    what: &str,
    passes: usize,
    contenders: &mut [Contender],
    measure: impl Fn(&dyn Engine) -> Result<Measured>,
) -> Result<()> {
    for pass in 0..passes {
        for turn in 0..contenders.len() {
            let which = (pass + turn) % contenders.len();
            let contender = &mut contenders[which];
            let name = contender.kind.name;
            eprintln!("{what}: pass {} of {passes}: {name}", pass + 1);
            let folder = tempfile::tempdir()?;
            let engine = (contender.kind.open)(folder.path())?;
            let measured = measure(&*engine).map_err(|error| format!("{name}: {error}"))?;
            contender.measured.push(measured);
        }
    }
    Ok(())
}

/// A row for each peer.
pub fn report(
    measure: &str,
    unit: &'static str,
    contenders: &[Contender],
    of: fn(&Measured) -> f64,
    results: &mut Results,
) {
    if let Some((ours, peers)) = contenders.split_first() {
        for peer in peers {
            let beside = Some((peer.kind.name, peer.median(of)));
            results.add(measure, unit, ours.median(of), beside, peer.goal);
        }
    }
}
