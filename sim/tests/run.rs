//! Clients at once, each seed twice.

#![allow(clippy::panic, reason = "a test that fails may panic")]

use sim::random::seed_of;
use sim::{clients, runner};

#[test]
fn two_hundred_seeds_each_twice() {
    let one = |number| clients::twice(seed_of(1, number), false);
    if let Err(found) = runner::many("seeds, each twice", 0..200, one, drop) {
        panic!(
            "{}\nreplay: sim run --seeds 1 --seed 1 --from {} --trace",
            found.failure, found.number
        );
    }
}
