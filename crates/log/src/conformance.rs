//! The rules of [`Journal`] and [`Blobs`] as checks that every provider runs.

use foretell_types::ErrorKind;

use crate::blobs::Blobs;
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

/// Checks a provider of blobs that can be written on a condition, in a folder where nothing is,
/// `CONTAINER/FOLDER`.
///
/// # Panics
/// If a rule is broken.
#[allow(clippy::unwrap_used, reason = "a suite of checks reports by panicking")]
pub fn check_blobs(blobs: &dyn Blobs, folder: &str) {
    let (one, beside) = (&format!("{folder}/a/1"), &format!("{folder}/ab"));
    blobs.put(one, b"first".to_vec()).unwrap();
    blobs.put(one, b"second".to_vec()).unwrap();
    blobs.put(beside, Vec::new()).unwrap();
    check_reads(blobs, one, b"second");
    assert_eq!(blobs.bytes(beside).unwrap(), Some(0), "a blob can be empty");
    let listed = |folder: &str| blobs.list(folder).unwrap();
    assert_eq!(
        listed(&format!("{folder}/a")),
        [(one.clone(), 6)],
        "what is below, and no more"
    );
    assert_eq!(
        listed(folder),
        [(one.clone(), 6), (beside.clone(), 0)],
        "in their order"
    );
    for there in [one, beside] {
        assert!(
            !blobs.put_new(there, b"third".to_vec()).unwrap(),
            "it isn't new"
        );
    }
    check_reads(blobs, one, b"second");
    blobs.remove(one).unwrap();
    blobs.remove(one).unwrap();
    assert_eq!(blobs.bytes(one).unwrap(), None, "it is removed");
    assert_eq!(blobs.read(one, 0, &mut [0]).unwrap(), None, "it is removed");
    assert!(
        blobs.put_new(one, b"fourth".to_vec()).unwrap(),
        "it is new again"
    );
    check_reads(blobs, one, b"fourth");
    let new = &format!("{folder}/new");
    let put = |n: usize| blobs.put_new(new, vec![n as u8; 1_000 * (n + 1)]).unwrap();
    let first = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || put(n))).collect();
        let done: Vec<bool> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(
            done.iter().filter(|done| **done).count(),
            1,
            "one of several is the first"
        );
        done.iter().position(|done| *done).unwrap()
    });
    check_reads(blobs, new, &vec![first as u8; 1_000 * (first + 1)]);
    let many: Vec<_> = (0..30)
        .map(|n| (format!("{folder}/many/{n:03}"), 1))
        .collect();
    for (name, _) in many.iter().rev() {
        assert!(blobs.put_new(name, vec![7]).unwrap(), "it is new");
    }
    assert_eq!(
        listed(&format!("{folder}/many")),
        many,
        "in order of their names"
    );
    assert!(listed(&format!("{folder}/none")).is_empty());
}

#[allow(clippy::unwrap_used, reason = "a suite of checks reports by panicking")]
fn check_reads(blobs: &dyn Blobs, name: &str, content: &[u8]) {
    assert_eq!(
        blobs.bytes(name).unwrap(),
        Some(content.len() as u64),
        "its length"
    );
    let mut buffer = vec![0; content.len() + 3];
    for from in [0, 1, content.len() - 1, content.len()] {
        for wanted in [1, content.len() - from, buffer.len()] {
            let read = blobs
                .read(name, from as u64, &mut buffer[..wanted])
                .unwrap();
            let expected = &content[from..content.len().min(from + wanted)];
            assert_eq!(read, Some(expected.len()), "fewer bytes only at its end");
            assert_eq!(&buffer[..expected.len()], expected, "its bytes");
        }
    }
}
