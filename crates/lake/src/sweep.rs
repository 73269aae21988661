//! Aggregates at the instants of one partition.

use foretell_state::Scalar;
use foretell_state::kernel::{Function, Kernel, Slot, Sum, Window};
use foretell_types::{Error, Result};

use crate::asks::Asks;
use crate::group::Group;
use crate::piece::Input;
use crate::values::{Flat, Values};

/// An aggregate and the place of its argument among the inputs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Feature {
    pub(crate) function: Function,
    pub(crate) window: Window,
    pub(crate) input: usize,
}

/// Where a window's events begin and end, for each instant.
type Bounds = (Vec<u32>, Vec<u32>);

/// The values of features at the instants, in the order of `asks`. Fails where a function does.
pub(crate) fn sweep(features: &[Feature], group: &Group, asks: &Asks) -> Result<Vec<Values>> {
    let until = asks.first_after(group, 0);
    let late = Late::of(group);
    let mut bounds: Vec<(Window, Bounds)> = Vec::new();
    let mut taken: Vec<Option<Taken>> = group.events.inputs.iter().map(|_| None).collect();
    let mut out = Vec::with_capacity(features.len());
    for feature in features {
        let input = &group.events.inputs[feature.input];
        let place = match bounds
            .iter()
            .position(|(window, _)| *window == feature.window)
        {
            Some(place) => place,
            None => {
                let from = from(feature.window, group, asks);
                bounds.push((feature.window, (from, until.clone())));
                bounds.len() - 1
            }
        };
        let taken = taken[feature.input].get_or_insert_with(|| Taken::of(input, group));
        let sweep = Sweep {
            feature,
            group,
            asks,
            input,
            taken,
            late: late.as_ref(),
            from: &bounds[place].1.0,
            until: &bounds[place].1.1,
        };
        out.push(sweep.run()?);
    }
    Ok(out)
}

/// The first event that a window may hold. Windows that count events begin with the key.
fn from(window: Window, group: &Group, asks: &Asks) -> Vec<u32> {
    if let Window::Range(width) = window {
        return asks.first_after(group, width);
    }
    let keys = 0..asks.keys();
    keys.flat_map(|key| {
        let start = group.range(key).start as u32;
        asks.range(key).map(move |_| start)
    })
    .collect()
}

/// Which events an input takes: those that pass its filter and have a value.
enum Taken {
    All,
    Some {
        /// How many are taken before each event, and in all.
        before: Vec<u32>,
        /// The events that are taken.
        events: Vec<u32>,
    },
}

impl Taken {
    fn of(input: &Input, group: &Group) -> Taken {
        let count = group.events.times.len();
        let valid = match &input.values {
            Values::None => None,
            Values::Ints(flat) => flat.valid.as_ref(),
            Values::Floats(flat) => flat.valid.as_ref(),
            // These are looked at one by one.
            Values::Scalars(_) => None,
        };
        if valid.is_none() && input.passes.is_none() {
            return Taken::All;
        }
        let is_taken = |index: usize| {
            valid.is_none_or(|valid| valid[index])
                && input.passes.as_ref().is_none_or(|passes| passes[index])
        };
        let mut before = Vec::with_capacity(count + 1);
        let mut events = Vec::new();
        for index in 0..count {
            before.push(events.len() as u32);
            if is_taken(index) {
                events.push(index as u32);
            }
        }
        before.push(events.len() as u32);
        Taken::Some { before, events }
    }

    /// How many of the events before this one are taken.
    fn before(&self, event: u32) -> usize {
        match self {
            Taken::All => event as usize,
            Taken::Some { before, .. } => before[event as usize] as usize,
        }
    }

    /// The event that is taken after so many others.
    fn event(&self, place: usize) -> usize {
        match self {
            Taken::All => place,
            Taken::Some { events, .. } => events[place] as usize,
        }
    }
}

/// What became known when, where that isn't when it happened.
struct Late<'a> {
    known: &'a [i64],
    /// For each event the last that it or an earlier one of its key became known.
    latest: Vec<i64>,
}

impl Late<'_> {
    fn of(group: &Group) -> Option<Late<'_>> {
        let known = group.events.known.as_ref()?;
        let mut latest = Vec::with_capacity(known.len());
        for range in group.keys() {
            let mut most = i64::MIN;
            for known in &known[range] {
                most = most.max(*known);
                latest.push(most);
            }
        }
        Some(Late { known, latest })
    }
}

struct Sweep<'a> {
    feature: &'a Feature,
    group: &'a Group,
    asks: &'a Asks,
    input: &'a Input,
    taken: &'a Taken,
    late: Option<&'a Late<'a>>,
    from: &'a [u32],
    until: &'a [u32],
}

impl Sweep<'_> {
    fn run(&self) -> Result<Values> {
        let plain = matches!(self.feature.window, Window::All | Window::Range(_));
        Ok(match (&self.feature.function, &self.input.values) {
            (Function::Count, Values::None | Values::Ints(_) | Values::Floats(_)) if plain => {
                self.count()
            }
            (Function::Sum, Values::Ints(flat)) if plain && fits(&flat.values) => self.sum(flat),
            (Function::Last, Values::Ints(flat)) if plain => {
                let last = self.last();
                Values::Ints(chosen(&last, |index| flat.values[index]))
            }
            (Function::Last, Values::Floats(flat)) if plain => {
                let last = self.last();
                Values::Floats(chosen(&last, |index| flat.values[index] + 0.0))
            }
            (Function::SinceLast(unit), values)
                if plain && !matches!(values, Values::Scalars(_)) =>
            {
                let since = self.last().into_iter().zip(&self.asks.times);
                let since = since.map(|(last, time)| {
                    let last = last.map(|index| self.group.events.times[index]);
                    last.map(|last| time.saturating_sub(last))
                });
                if unit.is_counted_whole() {
                    let whole = |nanos: i64| nanos.div_euclid(unit.nanos());
                    Values::Ints(since.map(|nanos| nanos.map(whole)).collect())
                } else {
                    Values::Floats(since.map(|nanos| nanos.map(|n| unit.of_nanos(n))).collect())
                }
            }
            _ => return self.slots(),
        })
    }

    /// For each instant its window as a range of the taken events, and those of them that weren't
    /// known yet, the last first.
    fn windows(&self) -> impl Iterator<Item = (std::ops::Range<usize>, Vec<usize>)> {
        (0..self.asks.times.len()).map(|ask| {
            let (from, until) = (self.from[ask], self.until[ask]);
            let range = self.taken.before(from)..self.taken.before(until);
            let unknown = self.unknown(ask, &range);
            (range, unknown)
        })
    }

    fn unknown(&self, ask: usize, range: &std::ops::Range<usize>) -> Vec<usize> {
        let Some(late) = self.late else {
            return Vec::new();
        };
        let bound = self.asks.known[ask];
        range
            .clone()
            .rev()
            .take_while(|place| late.latest[self.taken.event(*place)] > bound)
            .filter(|place| late.known[self.taken.event(*place)] > bound)
            .collect()
    }

    /// Whether all that happened until an instant was known then.
    fn knows_all(&self, ask: usize) -> bool {
        let last = (self.until[ask] as usize).checked_sub(1);
        match (self.late, last) {
            // The event before may be of another key: then it only looks as if something weren't.
            (Some(late), Some(last)) => late.latest[last] <= self.asks.known[ask],
            _ => true,
        }
    }

    fn count(&self) -> Values {
        let counts = self.windows().map(|(range, unknown)| {
            let count = range.len() - unknown.len();
            Some(count as i64)
        });
        Values::Ints(counts.collect())
    }

    fn sum(&self, flat: &Flat<i64>) -> Values {
        let taken = match self.taken {
            Taken::All => None,
            Taken::Some { events, .. } => Some(events),
        };
        let count = taken.map_or(flat.values.len(), Vec::len);
        let mut totals = Vec::with_capacity(count + 1);
        let mut total = 0;
        totals.push(0);
        for place in 0..count {
            total += flat.values[self.taken.event(place)];
            totals.push(total);
        }
        let sums = self.windows().map(|(range, unknown)| {
            let count = range.len() - unknown.len();
            let mut total = totals[range.end] - totals[range.start];
            for place in unknown {
                total -= flat.values[self.taken.event(place)];
            }
            match Sum::of_integers(i128::from(total), count as u64).finish() {
                Scalar::Int(total) => i64::try_from(total).ok(),
                _ => None,
            }
        });
        Values::Ints(sums.collect())
    }

    /// The last event of each window.
    fn last(&self) -> Vec<Option<usize>> {
        self.windows()
            .map(|(mut range, unknown)| {
                // Both go backwards.
                let mut unknown = unknown.into_iter().peekable();
                range
                    .rfind(|place| unknown.next_if_eq(place).is_none())
                    .map(|place| self.taken.event(place))
            })
            .collect()
    }

    /// Any aggregate: lifted event by event, finished at each instant.
    fn slots(&self) -> Result<Values> {
        let Feature {
            function, window, ..
        } = self.feature;
        let window = *window;
        let mut out = Vec::with_capacity(self.asks.times.len());
        for key in 0..self.asks.keys() {
            let knows_all = self.asks.range(key).all(|ask| self.knows_all(ask));
            let mut slot = Slot::new(function);
            let mut next = self.group.range(key).start;
            for ask in self.asks.range(key) {
                let (from, until) = (self.from[ask] as usize, self.until[ask] as usize);
                if knows_all {
                    (next.max(from)..until).for_each(|index| self.lift(&mut slot, index));
                    next = until;
                } else {
                    // What is known changes from instant to instant, also of what is long over.
                    slot = Slot::new(function);
                    let known = |index: &usize| {
                        let late = self.late.map(|late| late.known[*index]);
                        late.is_none_or(|late| late <= self.asks.known[ask])
                    };
                    let window = (from..until).filter(known);
                    window.for_each(|index| self.lift(&mut slot, index));
                }
                if let Some(why) = slot.failure() {
                    return Err(Error::invalid(format!("fold failed {why}")));
                }
                out.push(slot.finish(function, window, self.asks.times[ask]));
            }
        }
        Ok(Values::Scalars(out))
    }

    fn lift(&self, slot: &mut Slot, index: usize) {
        let passes = self.input.passes.as_ref();
        if !passes.is_none_or(|passes| passes[index]) {
            return;
        }
        let value = match &self.input.values {
            Values::None => Scalar::Bool(true),
            values => values.get(index),
        };
        let at = self.group.events.times[index];
        slot.lift(&self.feature.function, self.feature.window, at, &value);
    }
}

/// Whether no sum of some of the values can overflow.
fn fits(values: &[i64]) -> bool {
    let most = values.iter().map(|value| value.unsigned_abs()).max();
    let bound = most.unwrap_or(0).checked_mul(values.len() as u64);
    bound.is_some_and(|bound| bound <= i64::MAX as u64)
}

fn chosen<T: Copy + Default>(places: &[Option<usize>], value: impl Fn(usize) -> T) -> Flat<T> {
    places.iter().map(|place| place.map(&value)).collect()
}
