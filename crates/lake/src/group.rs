//! The events of one partition, key by key in the order of (event time, row).

use crate::piece::{Events, Input, Piece};
use crate::values::{Flat, Values};

/// Events sorted by key, then event time, then the order in which they came.
#[derive(Debug)]
pub(crate) struct Group {
    /// Where each key begins, and the end.
    starts: Vec<u32>,
    pub(crate) events: Events,
}

impl Group {
    /// Gathers a partition out of pieces that are in the order of events.
    pub(crate) fn gather(pieces: &[Piece], partition: usize, keys: usize, inputs: usize) -> Group {
        let mut starts = vec![0u32; keys + 1];
        for piece in pieces {
            for key in &piece.events.keys[piece.range(partition)] {
                starts[*key as usize + 1] += 1;
            }
        }
        for key in 0..keys {
            starts[key + 1] += starts[key];
        }
        let count = starts[keys] as usize;
        let mut next = starts.clone();
        let mut places: Vec<u32> = Vec::with_capacity(count);
        for piece in pieces {
            for key in &piece.events.keys[piece.range(partition)] {
                let place = &mut next[*key as usize];
                places.push(*place);
                *place += 1;
            }
        }
        let events = collect(pieces, partition, inputs, &places);
        let mut group = Group { starts, events };
        group.order();
        group
    }

    pub(crate) fn range(&self, key: usize) -> std::ops::Range<usize> {
        self.starts[key] as usize..self.starts[key + 1] as usize
    }

    /// Where the events of each key lie.
    pub(crate) fn keys(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        (0..self.starts.len() - 1).map(|key| self.range(key))
    }

    /// Sorts the keys whose events didn't come in the order of their times.
    fn order(&mut self) {
        let keys = self.starts.len() - 1;
        let mut sorted: Option<Vec<u32>> = None;
        for key in 0..keys {
            let range = self.range(key);
            if self.events.times[range.clone()].is_sorted() {
                continue;
            }
            let from = sorted
                .get_or_insert_with(|| (0..self.events.times.len() as u32).collect::<Vec<_>>());
            from[range].sort_by_key(|index| self.events.times[*index as usize]);
        }
        let Some(from) = sorted else { return };
        let mut places = vec![0u32; from.len()];
        for (place, index) in from.iter().enumerate() {
            places[*index as usize] = place as u32;
        }
        let count = places.len();
        self.events = self.events.placed(&[], &places, count);
    }
}

fn collect(pieces: &[Piece], partition: usize, inputs: usize, places: &[u32]) -> Events {
    let events: Vec<(&Events, std::ops::Range<usize>)> = pieces
        .iter()
        .map(|piece| (&piece.events, piece.range(partition)))
        .collect();
    Events {
        keys: Vec::new(),
        times: spread(
            events
                .iter()
                .map(|(events, range)| &events.times[range.clone()]),
            places,
        ),
        known: known(&events, places),
        inputs: (0..inputs)
            .map(|index| input(&events, index, places))
            .collect(),
    }
}

/// A piece may be without known times if all of them are its event times.
fn known(events: &[(&Events, std::ops::Range<usize>)], places: &[u32]) -> Option<Vec<i64>> {
    events
        .iter()
        .any(|(events, _)| events.known.is_some())
        .then(|| {
            let parts = events.iter().map(|(events, range)| {
                &events.known.as_ref().unwrap_or(&events.times)[range.clone()]
            });
            spread(parts, places)
        })
}

fn input(events: &[(&Events, std::ops::Range<usize>)], index: usize, places: &[u32]) -> Input {
    let inputs = || {
        events
            .iter()
            .map(|(events, range)| (&events.inputs[index], range.clone()))
    };
    let passes = inputs().any(|(input, _)| input.passes.is_some()).then(|| {
        gathered(places, |out| {
            for (input, range) in inputs() {
                match &input.passes {
                    Some(passes) => out.extend_from_slice(&passes[range]),
                    None => out.extend(range.map(|_| true)),
                }
            }
        })
    });
    Input {
        values: values(&inputs, places),
        passes,
    }
}

fn values<'a, I: Iterator<Item = (&'a Input, std::ops::Range<usize>)>>(
    inputs: &impl Fn() -> I,
    places: &[u32],
) -> Values {
    let all = |kind: fn(&Values) -> bool| {
        inputs().all(|(input, range)| range.is_empty() || kind(&input.values))
    };
    if all(|values| matches!(values, Values::None)) {
        return Values::None;
    }
    if all(|values| matches!(values, Values::Ints(_))) {
        let flats = || {
            inputs().filter_map(|(input, range)| match &input.values {
                Values::Ints(flat) => Some((flat, range)),
                _ => None,
            })
        };
        return Values::Ints(flat(&flats, places));
    }
    if all(|values| matches!(values, Values::Floats(_))) {
        let flats = || {
            inputs().filter_map(|(input, range)| match &input.values {
                Values::Floats(flat) => Some((flat, range)),
                _ => None,
            })
        };
        return Values::Floats(flat(&flats, places));
    }
    let mut out = vec![foretell_state::Scalar::Null; places.len()];
    let mut places = places.iter();
    for (input, range) in inputs() {
        for (index, place) in range.zip(places.by_ref()) {
            out[*place as usize] = input.values.get(index).into_owned();
        }
    }
    Values::Scalars(out)
}

fn flat<'a, T, I>(flats: &impl Fn() -> I, places: &[u32]) -> Flat<T>
where
    T: Copy + Default + 'a,
    I: Iterator<Item = (&'a Flat<T>, std::ops::Range<usize>)>,
{
    let valid = flats().any(|(flat, _)| flat.valid.is_some()).then(|| {
        gathered(places, |out| {
            for (flat, range) in flats() {
                match &flat.valid {
                    Some(valid) => out.extend_from_slice(&valid[range]),
                    None => out.extend(range.map(|_| true)),
                }
            }
        })
    });
    Flat {
        values: spread(flats().map(|(flat, range)| &flat.values[range]), places),
        valid,
    }
}

fn gathered(places: &[u32], fill: impl FnOnce(&mut Vec<bool>)) -> Vec<bool> {
    let mut all = Vec::with_capacity(places.len());
    fill(&mut all);
    crate::values::place(&all, places, places.len())
}

/// Puts the values of some slices, one after the other, at their places.
fn spread<'a, T: Copy + Default + 'a>(
    parts: impl Iterator<Item = &'a [T]>,
    places: &[u32],
) -> Vec<T> {
    let mut out = vec![T::default(); places.len()];
    let mut from = 0;
    for part in parts {
        for (value, place) in part.iter().zip(&places[from..from + part.len()]) {
            out[*place as usize] = *value;
        }
        from += part.len();
    }
    out
}
