//! Crash cycles, few enough for every change.

#![allow(clippy::panic, reason = "a test that fails may panic")]

use sim::random::seed_of;
use sim::{crash, runner};

#[test]
fn two_thousand_crash_cycles() {
    let one = |number| crash::cycle(seed_of(1, number), false);
    if let Err(found) = runner::many("crash cycles", 0..2_000, one, drop) {
        panic!(
            "{}\nreplay: sim crash --cycles 1 --seed 1 --from {} --trace",
            found.failure, found.number
        );
    }
}
