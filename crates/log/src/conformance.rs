//! The rules of [`Journal`] as checks that every provider runs.

use foretell_types::ErrorKind;

use crate::journal::{Group, GroupMeta, Journal, Place, Seq};

/// Checks a provider. `open` opens the same journal anew each time, empty the first time.
///
/// # Panics
/// If a rule is broken.
#[allow(clippy::panic, reason = "a suite of checks reports by panicking")]
pub fn check_journal(open: &mut dyn FnMut() -> Box<dyn Journal>) {
    let mut journal = open();
    assert_eq!(journal.last(), Seq(0), "a new journal is empty");
    let bodies: Vec<Vec<u8>> = (1..=20u8).map(|n| vec![n; usize::from(n) * 997]).collect();
    let mut places = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        let last = journal.last();
        let mut group = group(last.0 + 1, index as u32 + 1, body);
        places.push(append(&mut *journal, last, &mut group));
        assert_eq!(
            journal.last(),
            group.meta.last(),
            "the last commit is the group's"
        );
        assert_eq!(group.body(), body, "a group is left as it was");
    }
    check_fencing(&mut *journal);
    check_contents(&*journal, &bodies, &places);
    let last = journal.last();
    drop(journal);
    let mut journal = open();
    assert_eq!(
        journal.last(),
        last,
        "everything acknowledged is there after opening anew"
    );
    check_contents(&*journal, &bodies, &places);
    let mut group = group(last.0 + 1, 1, b"after opening anew");
    append(&mut *journal, last, &mut group);
}

fn group(first: u64, commits: u32, body: &[u8]) -> Group {
    let meta = GroupMeta {
        first: Seq(first),
        commits,
        frames: commits,
        epoch: 1,
        nonce: first,
        root: [7; 32],
    };
    let mut group = Group::new(meta);
    group.buffer().extend_from_slice(body);
    group
}

fn append(journal: &mut dyn Journal, last: Seq, group: &mut Group) -> Place {
    let mut seen = Vec::new();
    let appended = journal.append(last, group, &mut |body, at| seen.push((body.to_vec(), at)));
    if let Err(error) = appended {
        panic!("an append after the last commit succeeds: {error}");
    }
    let [(body, place)] = &seen[..] else {
        panic!(
            "what is done meanwhile is done once, not {} times",
            seen.len()
        );
    };
    assert_eq!(body, group.body(), "what is done meanwhile knows the body");
    *place
}

fn check_fencing(journal: &mut dyn Journal) {
    let last = journal.last();
    for wrong in [Seq(0), Seq(last.0 - 1), Seq(last.0 + 1)] {
        let mut other = group(wrong.0 + 1, 1, b"x");
        let mut done = false;
        let refused = journal.append(wrong, &mut other, &mut |_, _| done = true);
        assert!(!done, "nothing is done meanwhile if nothing is written");
        let kind = refused.err().map(|error| error.kind());
        assert_eq!(
            kind,
            Some(ErrorKind::Fenced),
            "an append after {wrong:?} is fenced"
        );
    }
    assert_eq!(journal.last(), last, "a fenced append leaves nothing");
}

fn check_contents(journal: &dyn Journal, bodies: &[Vec<u8>], places: &[Place]) {
    let reader = journal.reader();
    let mut seen = Vec::new();
    let walked = reader.walk(
        &mut |meta, place, body| {
            seen.push((meta.clone(), place, body.to_vec()));
            Ok(())
        },
        &mut |_, _| {},
    );
    assert!(
        walked.is_ok(),
        "a sound journal is walked to its end: {walked:?}"
    );
    assert_eq!(seen.len(), bodies.len(), "each group is there once");
    let mut next = Seq(1);
    for ((meta, place, body), (expected, at)) in seen.iter().zip(bodies.iter().zip(places)) {
        assert_eq!(
            (meta.first, meta.root),
            (next, [7; 32]),
            "groups are in order, headers kept"
        );
        assert_eq!(
            (place, body),
            (at, expected),
            "groups are where they were appended"
        );
        next = Seq(meta.last().0 + 1);
        let mut piece = vec![0; expected.len() / 2];
        let count = reader.read(place.plus(expected.len() / 2), &mut piece);
        assert!(
            count.is_ok_and(|count| count == piece.len()),
            "any part can be read"
        );
        assert_eq!(
            piece,
            expected[expected.len() / 2..][..piece.len()],
            "any part is right"
        );
    }
}
