//! Contenders measured alternately: each pass measures each of them anew, and begins with another
//! one.

use crate::Result;
use crate::results::{Goal, Results, median};

/// A pass is measured again if others used a larger share of the processors' time.
const DISTURBED: f64 = 0.15;
const TRIES: usize = 3;

/// What a pass gives.
pub trait Pass {
    /// The share of the processors' time that others used.
    fn others(&self) -> f64;
}

/// What is measured, what ours should be in relation to it, and what its passes gave.
#[derive(Debug)]
pub struct Contender<K, M> {
    pub name: &'static str,
    pub kind: K,
    pub goal: Option<Goal>,
    pub measured: Vec<M>,
}

impl<K, M> Contender<K, M> {
    pub fn new(name: &'static str, kind: K, goal: Option<Goal>) -> Contender<K, M> {
        Contender {
            name,
            kind,
            goal,
            measured: Vec::new(),
        }
    }

    pub fn median(&self, of: fn(&M) -> f64) -> f64 {
        median(self.measured.iter().map(of).collect())
    }
}

/// Ours comes first in `contenders`.
pub fn alternate<K, M: Pass>(
    what: &str,
    passes: usize,
    contenders: &mut [Contender<K, M>],
    results: &mut Results,
    measure: impl Fn(&K) -> Result<M>,
) -> Result<()> {
    let mut disturbed = 0;
    for pass in 0..passes {
        for turn in 0..contenders.len() {
            let which = (pass + turn) % contenders.len();
            let contender = &mut contenders[which];
            let name = contender.name;
            for attempt in 1..=TRIES {
                eprintln!("{what}: pass {} of {passes}: {name}", pass + 1);
                let measured =
                    measure(&contender.kind).map_err(|error| format!("{name}: {error}"))?;
                let quiet = measured.others() <= DISTURBED;
                if quiet || attempt == TRIES {
                    contender.measured.push(measured);
                    disturbed += usize::from(!quiet);
                    break;
                }
                eprintln!(
                    "  others used {:.0} % of the time",
                    measured.others() * 100.0
                );
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

/// What `alternate` does about others.
pub fn note(results: &mut Results) {
    results.note(format!(
        "while others kept the processors more than {:.0} % busy, a pass was measured again, up to {} times",
        DISTURBED * 100.0,
        TRIES - 1
    ));
}

/// A row for each peer.
pub fn report<K, M>(
    measure: &str,
    unit: &'static str,
    contenders: &[Contender<K, M>],
    of: fn(&M) -> f64,
    results: &mut Results,
) {
    if let Some((ours, peers)) = contenders.split_first() {
        for peer in peers {
            let beside = Some((peer.name, peer.median(of)));
            results.add(measure, unit, ours.median(of), beside, peer.goal);
        }
    }
}
