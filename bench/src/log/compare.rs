//! Engines measured alternately: each pass opens each of them on a folder of its own, and begins
//! with another one.

use super::drive::Measured;
use super::engine::{Engine, Kind};
use crate::Result;
use crate::results::{Goal, Results, median};

/// A pass is measured again if others used a larger share of the processors' time.
pub const DISTURBED: f64 = 0.15;
pub const TRIES: usize = 3;

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
    results: &mut Results,
    measure: impl Fn(&dyn Engine) -> Result<Measured>,
) -> Result<()> {
    let mut disturbed = 0;
    for pass in 0..passes {
        for turn in 0..contenders.len() {
            let which = (pass + turn) % contenders.len();
            let contender = &mut contenders[which];
            let name = contender.kind.name;
            for attempt in 1..=TRIES {
                eprintln!("{what}: pass {} of {passes}: {name}", pass + 1);
                let folder = tempfile::tempdir()?;
                let engine = (contender.kind.open)(folder.path())?;
                let measured = measure(&*engine).map_err(|error| format!("{name}: {error}"))?;
                let quiet = measured.others <= DISTURBED;
                if quiet || attempt == TRIES {
                    contender.measured.push(measured);
                    disturbed += usize::from(!quiet);
                    break;
                }
                eprintln!("  others used {:.0} % of the time", measured.others * 100.0);
            }
        }
    }
    if disturbed > 0 {
        let all = passes * contenders.len();
        results.note(format!(
            "{what}: {disturbed} of {all} passes were disturbed all the same; measure again on a quiet machine"
        ));
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
