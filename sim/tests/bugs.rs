//! Every seeded bug is caught: otherwise the other tests prove little.

#![cfg(feature = "seeded-bugs")]

use sim::bugs::{Bounds, Row, all};

#[test]
fn no_seeded_bug_survives() {
    std::panic::set_hook(Box::new(|_| {}));
    let bounds = Bounds {
        cycles: 60_000,
        seeds: 20,
    };
    let rows = all(0, bounds);
    let survived: Vec<_> = rows
        .iter()
        .filter(|row| row.survived())
        .map(|row| row.bug)
        .collect();
    let _ = std::panic::take_hook();
    assert_eq!(survived, [], "{} bugs", rows.len());
    assert!(!rows.iter().all(Row::survived));
}
