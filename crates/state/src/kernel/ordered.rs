use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Window;
use crate::Scalar;

/// Which of the values seen can still be the answer, or part of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Kept {
    /// The smallest; of equal ones the latest.
    Min,
    /// The largest; of equal ones the latest.
    Max,
    First,
    /// The last so many.
    Last(usize),
}

/// The values that can be an answer, in their order, each with its mark (see
/// [`Frame`](super::Frame)).
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Ordered {
    values: VecDeque<(i64, Scalar<'static>)>,
}

impl Ordered {
    pub fn lift(&mut self, kept: Kept, window: Window, mark: i64, value: &Scalar<'_>) {
        let values = &mut self.values;
        match kept {
            Kept::Min | Kept::Max => {
                let beaten = |back: &Scalar<'_>| match kept {
                    Kept::Min => back.total_order(value).is_ge(),
                    _ => back.total_order(value).is_le(),
                };
                while values.back().is_some_and(|(_, back)| beaten(back)) {
                    values.pop_back();
                }
            }
            Kept::Last(1) if values.len() == 1 => {
                let (at, last) = &mut values[0];
                *at = mark;
                last.assign(value);
                return;
            }
            Kept::Last(count) => {
                if values.len() >= count {
                    values.pop_front();
                }
            }
            Kept::First => {}
        }
        // Where nothing ever leaves, only what is at the front is asked for.
        let slides = matches!(window, Window::Range(_) | Window::Rows(_));
        if slides || matches!(kept, Kept::Last(_)) || values.is_empty() {
            if values.capacity() == 0 {
                // Most never hold more than one.
                values.reserve_exact(1);
            }
            values.push_back((mark, value.clone().into_owned()));
        }
    }

    pub fn slide(&mut self, floor: i64) {
        while self.values.front().is_some_and(|(mark, _)| *mark <= floor) {
            self.values.pop_front();
        }
    }

    /// The smallest, largest or first one.
    pub fn front(&self) -> Option<&Scalar<'static>> {
        self.values.front().map(|(_, value)| value)
    }

    /// The one that so many came after.
    pub fn nth_last(&self, after: usize) -> Option<&Scalar<'static>> {
        let index = self.values.len().checked_sub(after + 1)?;
        self.values.get(index).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Scalar<'static>> {
        self.values.iter().map(|(_, value)| value)
    }

    pub(super) fn near(&self) -> u64 {
        let last = self.values.back();
        last.map_or(0, |(mark, value)| *mark as u64 ^ value.near())
    }

    pub(super) fn kept_bytes(&self) -> usize {
        let texts: usize = self.values.iter().map(|(_, value)| value.bytes()).sum();
        self.values.capacity() * size_of::<(i64, Scalar<'_>)>() + texts
    }
}
