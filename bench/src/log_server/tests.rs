use super::*;
use crate::log::lane::Lane;

#[test]
fn a_peer_that_is_left_out_needs_no_program() {
    let all = PEERS.map(|kind| kind.name.to_owned());
    // Ours is the only one that is looked for.
    match programs(&all) {
        Ok(found) => assert_eq!(found.len(), 1),
        Err(error) => assert!(error.to_string().contains("FORETELL_BIN"), "{error}"),
    }
    let error = programs(&["eventstore".to_owned()]).unwrap_err();
    let expected =
        "there is no peer \"eventstore\" to leave out; there are: umadb, postgresql, nats";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_program_that_is_not_there_says_how_to_install_it() {
    let error = peer::find_program("no-such-server", &[], "apt-get install it").unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "no-such-server isn't installed: apt-get install it");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("a-server");
    std::fs::write(&program, "").unwrap();
    let folders = [folder.path().to_owned()];
    let found = peer::find_program("a-server", &folders, "").unwrap();
    assert_eq!(found, program);
}

#[test]
fn what_fills_has_ids_of_no_lane_and_each_stream_alike() {
    let (streams, rounds) = (FEW_STREAMS, FULL.few_filled);
    let mut counts = vec![0; streams as usize];
    let mut last = 0;
    for event in peer::filling(streams, rounds) {
        counts[event.stream as usize] += 1;
        last = event.number;
    }
    assert!(counts.iter().all(|count| *count == rounds));
    let filled = peer::filled(streams, rounds);
    assert_eq!(last + 1, filled.after);
    for mut lane in Lane::all(WRITERS, filled) {
        let (events, condition) = lane.take(1);
        assert!(events[0].number > last);
        assert_eq!(condition.events, u64::from(rounds));
    }
}
