use serde::{Deserialize, Serialize};

use crate::Scalar;

/// A sum in which each value counts half after each half-life. It is folded event by event in
/// their order, so that it is the same however they are batched.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Decayed {
    /// The sum as of the last event.
    sum: f64,
    last: Option<i64>,
}

impl Decayed {
    pub fn lift(&mut self, half_life: i64, at: i64, value: f64) {
        self.sum = self.sum_at(half_life, at) + value;
        self.last = Some(at);
    }

    fn sum_at(&self, half_life: i64, at: i64) -> f64 {
        let elapsed = self.last.map_or(0, |last| at.saturating_sub(last));
        if elapsed <= 0 {
            return self.sum;
        }
        self.sum * (-(elapsed as f64) / half_life as f64).exp2()
    }

    /// Null if there was no event.
    pub fn finish(&self, half_life: i64, at: i64) -> Scalar<'static> {
        match self.last {
            None => Scalar::Null,
            Some(_) => Scalar::float(self.sum_at(half_life, at)),
        }
    }
}
