//! Columns of values that aggregates take.

use foretell_state::Scalar;

/// What one argument gives, event by event.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    /// No argument.
    None,
    Ints(Flat<i64>),
    Floats(Flat<f64>),
    Scalars(Vec<Scalar<'static>>),
}

/// Values of one type, and which of them are there; `None` if all are.
#[derive(Clone, Debug)]
pub(crate) struct Flat<T> {
    pub(crate) values: Vec<T>,
    pub(crate) valid: Option<Vec<bool>>,
}

impl<T: Copy + Default> Flat<T> {
    pub(crate) fn get(&self, index: usize) -> Option<T> {
        let valid = self.valid.as_ref().is_none_or(|valid| valid[index]);
        valid.then(|| self.values[index])
    }
}

impl Values {
    /// So many nulls.
    pub(crate) fn none_of(count: usize) -> Values {
        Values::Ints(Flat {
            values: vec![0; count],
            valid: Some(vec![false; count]),
        })
    }

    pub(crate) fn get(&self, index: usize) -> Scalar<'_> {
        match self {
            Values::None => Scalar::Null,
            Values::Ints(flat) => flat
                .get(index)
                .map_or(Scalar::Null, |value| Scalar::Int(i128::from(value))),
            Values::Floats(flat) => flat.get(index).map_or(Scalar::Null, Scalar::float),
            Values::Scalars(values) => values[index].borrowed(),
        }
    }

    /// Puts each value at its place among `count`; values whose place is [`NOWHERE`] are left out.
    pub(crate) fn placed(&self, places: &[u32], count: usize) -> Values {
        match self {
            Values::None => Values::None,
            Values::Ints(flat) => Values::Ints(flat.placed(places, count)),
            Values::Floats(flat) => Values::Floats(flat.placed(places, count)),
            Values::Scalars(values) => {
                let mut out = vec![Scalar::Null; count];
                for (value, place) in values.iter().zip(places) {
                    if *place != NOWHERE {
                        out[*place as usize] = value.clone();
                    }
                }
                Values::Scalars(out)
            }
        }
    }
}

/// No place.
pub(crate) const NOWHERE: u32 = u32::MAX;

impl<T: Copy + Default> Flat<T> {
    fn placed(&self, places: &[u32], count: usize) -> Flat<T> {
        Flat {
            values: place(&self.values, places, count),
            valid: self.valid.as_ref().map(|valid| place(valid, places, count)),
        }
    }
}

/// Puts each value at its place among `count`.
pub(crate) fn place<T: Copy + Default>(values: &[T], places: &[u32], count: usize) -> Vec<T> {
    // One more takes what has no place, so that the loop has no branch.
    let mut out = vec![T::default(); count + 1];
    for (value, place) in values.iter().zip(places) {
        out[(*place as usize).min(count)] = *value;
    }
    out.truncate(count);
    out
}

impl<T: Copy + Default> FromIterator<Option<T>> for Flat<T> {
    fn from_iter<I: IntoIterator<Item = Option<T>>>(all: I) -> Flat<T> {
        let (mut values, mut valid) = (Vec::new(), Vec::new());
        for value in all {
            values.push(value.unwrap_or_default());
            valid.push(value.is_some());
        }
        let valid = (!valid.iter().all(|valid| *valid)).then_some(valid);
        Flat { values, valid }
    }
}
