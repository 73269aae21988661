//! The state at any moment against a plain reference: select, sort, apply `json_patch::merge`.

use crate::events::{event, json, known, seconds};
use foretell_state::{KnownAt, Moment, State, fold};
use foretell_types::{Data, Position, RecordedEvent};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Times are few, so that they often coincide.
const TIMES: std::ops::Range<i64> = 0..8;
const EVENTS: usize = 14;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => Just(Value::Null),
        3 => (0..5i64).prop_map(Value::from),
        1 => Just(json!("x\"}{")),
        1 => Just(json!([1, {"a": null}])),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::btree_map("[abc]", inner, 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        8 => value().prop_map(|value| json(&value.to_string())),
        1 => Just(Data::None),
        1 => Just(Data::Text("{\"a\":1}".to_owned())),
        1 => Just(Data::Binary(b"{\"a\":1}".to_vec())),
    ]
}

/// Events in the order of their positions, event times in any order, some without one and some
/// with a declared known time.
fn log() -> impl Strategy<Value = Vec<RecordedEvent>> {
    let kinds = prop_oneof![9 => Just("thing.changed"), 1 => Just("thing.deleted")];
    let times = (
        prop::option::weighted(0.9, TIMES),
        prop::option::weighted(0.3, TIMES),
    );
    prop::collection::vec((times, kinds, data()), 0..EVENTS).prop_map(|rows| {
        let mut position = 0;
        rows.into_iter()
            .map(|((time, known_time), kind, data)| {
                // Other subjects' events lie between.
                position += 1 + time.unwrap_or(0) as u64 % 2;
                let mut event = event(position, time.unwrap_or(0), kind, data);
                if time.is_none() {
                    event.event.time = None;
                }
                match known_time {
                    Some(time) => known(event, time),
                    None => event,
                }
            })
            .collect()
    })
}

fn moment() -> impl Strategy<Value = Moment> {
    let at = prop_oneof![1 => Just(None), 3 => TIMES.prop_map(Some), 1 => (1000..1030i64).prop_map(Some)];
    let known_at = prop_oneof![
        Just(KnownAt::Head),
        (1..25u64).prop_map(|position| KnownAt::Position(Position::new(position).unwrap())),
        TIMES.prop_map(|time| KnownAt::Time(seconds(time))),
        (1000..1030i64).prop_map(|time| KnownAt::Time(seconds(time))),
    ];
    (at, known_at).prop_map(|(at, known_at)| Moment {
        at: at.map(seconds),
        known_at,
    })
}

/// What DESIGN.md section 5 says, as plainly as it can be written.
fn reference(log: &[RecordedEvent], moment: Moment) -> (Value, Vec<&RecordedEvent>, bool) {
    let known: Vec<&RecordedEvent> = log
        .iter()
        .filter(|event| match moment.known_at {
            KnownAt::Head => true,
            KnownAt::Position(last) => event.position <= last,
            KnownAt::Time(last) => event.known_time() <= last,
        })
        .collect();
    let mut folded = known.clone();
    folded.retain(|event| moment.at.is_none_or(|at| event.event_time() <= at));
    folded.sort_by_key(|event| (event.event_time(), event.position));
    let mut state = Value::Null;
    for event in &folded {
        if event.event_type.ends_with(".deleted") {
            state = Value::Null;
        } else if let Data::Json(text) = &event.data {
            json_patch::merge(&mut state, &serde_json::from_str(text).unwrap());
        }
    }
    (state, folded, !known.is_empty())
}

fn ask(log: &[RecordedEvent], moment: Moment) -> State {
    fold(log.iter().cloned().map(Ok), moment).unwrap()
}

fn parsed(state: &State) -> Value {
    serde_json::from_str(state.value.get()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn equals_a_plain_replay(log in log(), moment in moment()) {
        let state = ask(&log, moment);
        let (value, folded, known) = reference(&log, moment);
        prop_assert_eq!(parsed(&state), value);
        prop_assert_eq!(state.events, folded.len() as u64);
        prop_assert_eq!(state.known, known);
        let last = folded.iter().max_by_key(|event| event.position);
        prop_assert_eq!(state.position, last.map(|event| event.position));
        prop_assert_eq!(state.revision, last.and_then(|event| event.revision));
    }

    #[test]
    fn the_order_of_reading_cannot_show(
        (log, shuffled) in log().prop_flat_map(|log| (Just(log.clone()), Just(log).prop_shuffle())),
        moment in moment(),
    ) {
        let (state, other) = (ask(&log, moment), ask(&shuffled, moment));
        prop_assert_eq!(state.value.get(), other.value.get());
        prop_assert_eq!(state.position, other.position);
        prop_assert_eq!(state.revision, other.revision);
    }

    #[test]
    fn a_fixed_pair_never_changes(log in log(), moment in moment(), cut in 0..EVENTS) {
        let cut = cut.min(log.len());
        let Some(last) = log[..cut].last().map(|event| event.position) else {
            return Ok(());
        };
        let fixed = Moment { known_at: KnownAt::Position(last), ..moment };
        let (before, after) = (ask(&log[..cut], fixed), ask(&log, fixed));
        prop_assert_eq!(before.value.get(), after.value.get());
        prop_assert_eq!(before.position, after.position);
        prop_assert_eq!(before.events, after.events);
    }

    #[test]
    fn duplicates_are_folded_where_they_stand(
        log in log(), moment in moment(), pick in any::<prop::sample::Index>(),
    ) {
        // A duplicate that got past identity: the same content and time, the next position.
        let Some(last) = log.last().map(|event| event.position) else {
            return Ok(());
        };
        let mut copy = log[pick.index(log.len())].clone();
        copy.position = last.next();
        let mut log = log;
        log.push(copy);
        let state = ask(&log, moment);
        prop_assert_eq!(parsed(&state), reference(&log, moment).0);
    }
}
