use serde::{Deserialize, Serialize};

use super::{ExactSum, Kernel};
use crate::{Number, Scalar};

/// The sum of numbers: an integer if all are, else exact until it is rounded once.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Sum {
    integers: i128,
    integer_count: u64,
    floats: ExactSum,
    float_count: u64,
}

impl Sum {
    /// The sum of so many integers.
    pub fn of_integers(total: i128, count: u64) -> Sum {
        Sum {
            integers: total,
            integer_count: count,
            ..Sum::default()
        }
    }

    pub fn count(&self) -> u64 {
        self.integer_count + self.float_count
    }

    /// The exact total, as floats that add up to it to about 106 bits.
    pub(super) fn pair(&self) -> (f64, f64) {
        let mut total = self.floats.clone();
        total.add_int(self.integers);
        total.round_twice()
    }

    pub(super) fn integers_only(&self) -> Option<i128> {
        (self.float_count == 0).then_some(self.integers)
    }
}

impl Kernel for Sum {
    type Value = Number;

    fn lift(&mut self, value: &Number) {
        match value {
            Number::Int(value) => {
                self.integers += i128::from(*value);
                self.integer_count += 1;
            }
            Number::Float(value) => {
                self.floats.add(*value);
                self.float_count += 1;
            }
        }
    }

    fn combine(&mut self, other: &Sum) {
        self.integers += other.integers;
        self.integer_count += other.integer_count;
        self.floats.combine(&other.floats);
        self.float_count += other.float_count;
    }

    fn remove(&mut self, value: &Number) {
        match value {
            Number::Int(value) => {
                self.integers -= i128::from(*value);
                self.integer_count -= 1;
            }
            Number::Float(value) => {
                self.floats.subtract(*value);
                self.float_count -= 1;
                if self.float_count == 0 {
                    self.floats = ExactSum::default();
                }
            }
        }
    }

    fn near(&self) -> u64 {
        self.floats.near()
    }

    /// Null if there is none; a total that no float can hold is null too.
    fn finish(&self) -> Scalar<'static> {
        match (self.count(), self.integers_only()) {
            (0, _) => Scalar::Null,
            (_, Some(total)) => Scalar::Int(total),
            _ if self.integers == 0 => Scalar::float(self.floats.round()),
            _ => {
                let mut total = self.floats.clone();
                total.add_int(self.integers);
                Scalar::float(total.round())
            }
        }
    }
}
