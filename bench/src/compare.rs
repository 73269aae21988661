//! Contenders measured alternately: each pass measures each of them anew, begins with another one, and
//! goes the other way than the pass before. So none comes always behind the same one: a processor
//! that was at full load just now is slower.

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
        for which in order(pass, contenders.len()) {
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

/// In which order a pass measures so many contenders.
fn order(pass: usize, contenders: usize) -> impl Iterator<Item = usize> {
    let forth = pass.is_multiple_of(2);
    (0..contenders).map(move |turn| match forth {
        true => (pass + turn) % contenders,
        false => (pass + contenders - turn) % contenders,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_once_a_pass_and_behind_others() {
        for contenders in 1..6 {
            let mut before = vec![Vec::new(); contenders];
            for pass in 0..contenders.max(4) {
                let mut all: Vec<_> = order(pass, contenders).collect();
                assert_eq!(all[0], pass % contenders);
                for pair in all.windows(2) {
                    before[pair[1]].push(pair[0]);
                }
                all.sort_unstable();
                assert!(all.into_iter().eq(0..contenders));
            }
            for mut before in before {
                before.sort_unstable();
                before.dedup();
                assert!(before.len() >= 2.min(contenders - 1));
            }
        }
    }
}
