use serde::{Deserialize, Serialize};

use super::{ExactSum, Kernel, Sum};
use crate::{Number, Scalar};

/// The mean: the exact sum by the count.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Average(pub Sum);

impl Kernel for Average {
    type Value = Number;

    fn lift(&mut self, value: &Number) {
        self.0.lift(value);
    }

    fn combine(&mut self, other: &Average) {
        self.0.combine(&other.0);
    }

    fn remove(&mut self, value: &Number) {
        self.0.remove(value);
    }

    fn near(&self) -> u64 {
        self.0.near()
    }

    fn finish(&self) -> Scalar<'static> {
        let count = self.0.count();
        if count == 0 {
            return Scalar::Null;
        }
        let (high, low) = self.0.pair();
        let count = count as f64;
        let mean = high / count;
        // What the division left over, and what the sum's rounding did.
        let rest = (-mean).mul_add(count, high) + low;
        Scalar::float(mean + rest / count)
    }
}

/// The standard deviation of a sample: of the exact sums of the values and of their squares.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Deviation {
    sum: Sum,
    /// Squares of integers; those of 64 bits are below 2^126, so this is their sum's high half
    /// and low half.
    squares: (i128, i128),
    float_squares: ExactSum,
}

/// Where the squares of integers are split, so that 2^64 of them can be added.
const HALF: u32 = 63;

impl Deviation {
    fn square(&mut self, value: &Number, sign: i128) {
        match value {
            Number::Int(value) => {
                let square = i128::from(*value) * i128::from(*value);
                self.squares.0 += sign * (square >> HALF);
                self.squares.1 += sign * (square & ((1 << HALF) - 1));
            }
            Number::Float(value) => {
                // The square, and exactly what rounding it lost.
                let square = value * value;
                let lost = value.mul_add(*value, -square);
                for part in [square, lost] {
                    // The square of a huge number is none: the result will be null.
                    let part = if part.is_finite() { part } else { f64::MAX };
                    match sign {
                        1 => self.float_squares.add(part),
                        _ => self.float_squares.subtract(part),
                    }
                }
            }
        }
    }
}

impl Kernel for Deviation {
    type Value = Number;

    fn lift(&mut self, value: &Number) {
        self.sum.lift(value);
        self.square(value, 1);
    }

    fn combine(&mut self, other: &Deviation) {
        self.sum.combine(&other.sum);
        self.squares.0 += other.squares.0;
        self.squares.1 += other.squares.1;
        self.float_squares.combine(&other.float_squares);
    }

    fn remove(&mut self, value: &Number) {
        self.sum.remove(value);
        self.square(value, -1);
    }

    fn near(&self) -> u64 {
        self.sum.near() ^ self.float_squares.near()
    }

    /// Null of fewer than two values.
    fn finish(&self) -> Scalar<'static> {
        let count = self.sum.count();
        if count < 2 {
            return Scalar::Null;
        }
        let mut squares = self.float_squares.clone();
        squares.add_int(self.squares.1);
        let high = self.squares.0;
        // The high half is added in two parts, each times 2^63.
        for (part, shift) in [(high & 0xffff_ffff, 0), (high >> 32, 32)] {
            let scale = 2f64.powi(HALF as i32 + shift);
            // At most 53 bits each: exact.
            squares.add((part >> 31) as f64 * 2f64.powi(31) * scale);
            squares.add((part & 0x7fff_ffff) as f64 * scale);
        }
        let (total, total_low) = self.sum.pair();
        let (squared, squared_low) = squares.round_twice();
        let n = count as f64;
        // n Σx² − (Σx)², each product with what its rounding lost.
        let (a, b) = (n * squared, total * total);
        let a_low = n.mul_add(squared, -a) + n * squared_low;
        let b_low = total.mul_add(total, -b) + 2.0 * total * total_low;
        if !(a + b).is_finite() {
            return Scalar::Null;
        }
        let spread = ((a - b) + (a_low - b_low)).max(0.0);
        Scalar::float((spread / n / (n - 1.0)).sqrt())
    }
}
