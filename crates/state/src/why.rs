//! The events that explain a field of a state: found by looking at each, not by the kernels, so
//! that they can be held against each other.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use foretell_types::{Data, RecordedEvent};

use crate::difference::{member, text_of};
use crate::kernel::{Function, Window};
use crate::merge::DELETED;
use crate::patch::{Patch, parse};
use crate::{Aggregate, Definition, Field, Output, Row, Scalar, Stamp, Step, at_steps};

/// What an event gives to a field of the `merge` state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touch {
    /// JSON text; `null` if it removes the field.
    pub value: String,
    /// Whether nothing of what the field was before is left.
    pub replaces: bool,
}

impl Touch {
    /// `None` if the event leaves the field as it is.
    pub fn of(event: &RecordedEvent, field: &Field) -> Option<Touch> {
        let removed = Some(Touch {
            value: "null".to_owned(),
            replaces: true,
        });
        if event.event_type.ends_with(DELETED) {
            return removed;
        }
        let Data::Json(text) = &event.data else {
            return None;
        };
        let patch = parse(text)?;
        let mut at = &patch;
        for step in field.steps() {
            match at {
                Patch::Object(_) => at = member(at, step)?,
                // What held the field is no longer an object.
                Patch::Leaf(_) => return removed,
            }
        }
        Some(Touch {
            value: text_of(at),
            replaces: matches!(at, Patch::Leaf(_)),
        })
    }
}

impl Definition {
    /// The events that a column comes from at an instant, out of the history of its key: in the
    /// order of their stamps, up to the instant. Of each, what the aggregates of the column take
    /// of it; null where one takes nothing.
    ///
    /// These are the events in an aggregate's window that pass its filter; for `first`, `last`,
    /// `nth_last`, `min`, `max`, `mode` and the times since, those that decide.
    pub fn reasons(
        &self,
        output: &Output,
        rows: &[Row],
        as_of: i64,
    ) -> BTreeMap<Stamp, Vec<Scalar<'static>>> {
        let mut aggregates = Vec::new();
        output.expr.visit_inputs(&mut |index| {
            if !aggregates.contains(&index) {
                aggregates.push(index);
            }
        });
        let kept = self.kept_inputs();
        let mut reasons = BTreeMap::new();
        for (place, index) in aggregates.iter().enumerate() {
            let Some(aggregate) = self.aggregates.get(*index) else {
                continue;
            };
            let taken = self.taken(aggregate, &kept, rows);
            let seen = within(&taken, aggregate.window, as_of);
            for (stamp, value) in deciding(seen, &aggregate.function) {
                let values = reasons
                    .entry(*stamp)
                    .or_insert_with(|| vec![Scalar::Null; aggregates.len()]);
                values[place] = value.clone();
            }
        }
        reasons
    }

    /// What an aggregate takes of each event.
    fn taken(
        &self,
        aggregate: &Aggregate,
        kept: &[usize],
        rows: &[Row],
    ) -> Vec<(Stamp, Scalar<'static>)> {
        let mut inputs = vec![Scalar::Null; self.inputs.len()];
        let mut taken = Vec::new();
        for row in rows {
            for (index, value) in kept.iter().zip(&row.inputs) {
                inputs[*index] = value.clone();
            }
            let mut value = aggregate.value(&inputs).into_owned();
            let counts = match aggregate.function.is_numeric() {
                true => value.as_number().is_some(),
                false => !value.is_null(),
            };
            // A function takes all of the event: its data tell the most.
            if let (Function::Fold(_), Scalar::Json(event)) = (&aggregate.function, &value) {
                let data = [Step::Member("data".to_owned())];
                value = at_steps(event, &data).into_owned();
            }
            if counts {
                taken.push((row.stamp, value));
            }
        }
        taken
    }
}

type Taken = (Stamp, Scalar<'static>);

/// Those that a window holds.
fn within(taken: &[Taken], window: Window, as_of: i64) -> &[Taken] {
    let from = match window {
        Window::All => 0,
        Window::Range(width) => {
            let floor = as_of.saturating_sub(width);
            taken.partition_point(|(stamp, _)| stamp.time <= floor)
        }
        Window::Rows(count) => taken
            .len()
            .saturating_sub(usize::try_from(count).unwrap_or(usize::MAX)),
        Window::Session(gap) => {
            let mut next = as_of;
            let goes_on = |(stamp, _): &&Taken| {
                let near = next.saturating_sub(stamp.time) < gap;
                next = stamp.time;
                near
            };
            taken.len() - taken.iter().rev().take_while(goes_on).count()
        }
    };
    &taken[from..]
}

/// Those that the value of a function depends on.
fn deciding<'t>(seen: &'t [Taken], function: &Function) -> Vec<&'t Taken> {
    let extreme = |wins: Ordering| {
        seen.iter().reduce(|best, one| {
            let ordering = one.1.total_order(&best.1);
            // Of equal ones the latest.
            match ordering == wins || ordering == Ordering::Equal {
                true => one,
                false => best,
            }
        })
    };
    let from_end = |after: usize| {
        let index = seen.len().checked_sub(after.saturating_add(1))?;
        seen.get(index)
    };
    match function {
        Function::First | Function::SinceFirst(_) => seen.first().into_iter().collect(),
        Function::Last | Function::SinceLast(_) => seen.last().into_iter().collect(),
        Function::NthLast(after) => from_end(*after).into_iter().collect(),
        Function::Collect(count) => seen[seen.len().saturating_sub(*count)..].iter().collect(),
        Function::Min => extreme(Ordering::Less).into_iter().collect(),
        Function::Max => extreme(Ordering::Greater).into_iter().collect(),
        Function::Mode => most_frequent(seen),
        _ => seen.iter().collect(),
    }
}

/// Those with the value that is there most often; of several, the smallest.
fn most_frequent(seen: &[Taken]) -> Vec<&Taken> {
    let mut sorted: Vec<&Taken> = seen.iter().collect();
    sorted.sort_by(|a, b| a.1.total_order(&b.1));
    let same = |a: &&Taken, b: &&Taken| a.1.total_order(&b.1).is_eq();
    // Of several that are equally long the last: so from the largest value down.
    let longest = sorted.chunk_by(same).rev().max_by_key(|run| run.len());
    longest.map(<[_]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretell_types::{Instant, NewEvent, Position};

    fn touch(event_type: &str, data: &str, field: &str) -> Option<(String, bool)> {
        let event = RecordedEvent {
            event: NewEvent {
                event_type: event_type.into(),
                data: Data::json(data),
                ..NewEvent::default()
            },
            position: Position::FIRST,
            revision: None,
            recorded_time: Instant::from_nanos(0),
            erased: false,
        };
        let touch = Touch::of(&event, &Field::parse(field).unwrap())?;
        Some((touch.value, touch.replaces))
    }

    #[test]
    fn an_event_touches_what_its_patch_reaches() {
        let is = |value: &str, replaces| Some((value.to_owned(), replaces));
        for (data, field, expected) in [
            (r#"{"a":1}"#, "a", is("1", true)),
            (r#"{"a":1}"#, "b", None),
            (r#"{"a":{"b":1}}"#, "a", is(r#"{"b":1}"#, false)),
            (r#"{"a":{"b":1}}"#, "a.b", is("1", true)),
            (r#"{"a":{"b":1}}"#, "a.c", None),
            (r#"{"a":[1]}"#, "a.c", is("null", true)),
            (r#"{"a":null}"#, "a.c", is("null", true)),
            ("5", "a", is("null", true)),
        ] {
            assert_eq!(touch("changed", data, field), expected, "{data} {field}");
        }
        assert_eq!(touch("x.deleted", r#"{"a":1}"#, "a"), is("null", true));
    }
}
