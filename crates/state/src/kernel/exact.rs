//! A sum of floats that loses nothing, so that no order of adding and no removing can show in it.

use serde::{Deserialize, Serialize};

/// The weight of a limb's lowest bit is 2^(32 × its index − 1074): the smallest float is bit 0.
const LIMB_BITS: usize = 32;
const LOWEST: i32 = -1074;
/// So many additions can't overflow a limb; then carries are passed on.
const UNTIL_CARRY: u32 = 1 << 30;

/// An exact sum of finite floats: a long fixed-point number of which only the limbs between the
/// lowest and the highest ever touched are kept. Source: R. M. Neal, "Fast exact summation using
/// small and large superaccumulators" (2015).
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct ExactSum {
    /// Index of the first limb.
    first: usize,
    /// Signed, with room for carries.
    limbs: Vec<i64>,
    added: u32,
}

impl ExactSum {
    pub fn add(&mut self, value: f64) {
        self.add_signed(value, value.is_sign_negative());
    }

    pub fn subtract(&mut self, value: f64) {
        self.add_signed(value, !value.is_sign_negative());
    }

    fn add_signed(&mut self, value: f64, negative: bool) {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        // A subnormal's lowest bit is that of exponent 1.
        let (mantissa, bit) = match exponent {
            0 => (fraction, 0),
            _ => (fraction | 1 << 52, exponent - 1),
        };
        if mantissa == 0 {
            return;
        }
        let (index, shift) = (bit / LIMB_BITS, bit % LIMB_BITS);
        self.cover(index, index + 3);
        let wide = u128::from(mantissa) << shift;
        let at = index - self.first;
        for (offset, limb) in self.limbs[at..at + 3].iter_mut().enumerate() {
            let part = (wide >> (offset * LIMB_BITS)) as u32;
            *limb += if negative {
                -i64::from(part)
            } else {
                i64::from(part)
            };
        }
        self.added += 1;
        if self.added == UNTIL_CARRY {
            self.carry();
        }
    }

    pub(super) fn near(&self) -> u64 {
        self.limbs.first().map_or(0, |limb| *limb as u64)
    }

    /// Adds all of another sum.
    pub fn combine(&mut self, other: &ExactSum) {
        let (mut mine, mut other) = (std::mem::take(self), other.clone());
        mine.carry();
        other.carry();
        if !other.limbs.is_empty() {
            mine.cover(other.first, other.first + other.limbs.len());
            let at = other.first - mine.first;
            for (limb, more) in mine.limbs[at..].iter_mut().zip(&other.limbs) {
                *limb += more;
            }
        }
        mine.added = 2;
        *self = mine;
    }

    /// Adds an integer.
    pub fn add_int(&mut self, value: i128) {
        let negative = value < 0;
        let magnitude = value.unsigned_abs();
        let (index, shift) = (
            (-LOWEST) as usize / LIMB_BITS,
            (-LOWEST) as usize % LIMB_BITS,
        );
        self.cover(index, index + 6);
        let at = index - self.first;
        for part in 0..4 {
            let digit = u64::from((magnitude >> (part * LIMB_BITS)) as u32) << shift;
            for (offset, half) in [(0, digit as u32), (1, (digit >> LIMB_BITS) as u32)] {
                let half = if negative {
                    -i64::from(half)
                } else {
                    i64::from(half)
                };
                self.limbs[at + part + offset] += half;
            }
        }
        self.added += 2;
        if self.added >= UNTIL_CARRY {
            self.carry();
        }
    }

    /// Makes room for the limbs from `from` up to `until`.
    fn cover(&mut self, from: usize, until: usize) {
        if self.limbs.is_empty() {
            self.first = from;
        }
        if from < self.first {
            let more = self.first - from;
            self.limbs.splice(0..0, std::iter::repeat_n(0, more));
            self.first = from;
        }
        if until > self.first + self.limbs.len() {
            self.limbs.resize(until - self.first, 0);
        }
    }

    /// Passes carries on: all limbs but the highest are then from 0 up to 2^32.
    fn carry(&mut self) {
        let mut carry = 0i64;
        for limb in &mut self.limbs {
            let total = *limb + carry;
            *limb = total & 0xffff_ffff;
            carry = total >> LIMB_BITS;
        }
        if carry != 0 {
            self.limbs.push(carry);
        }
        self.added = 1;
    }

    /// The sum, rounded once to the nearest float, ties to even. Infinite if it is too large.
    pub fn round(&self) -> f64 {
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.limbs.last().is_some_and(|limb| *limb < 0);
        if negative {
            for limb in &mut sum.limbs {
                *limb = -*limb;
            }
            sum.carry();
        }
        let magnitude = sum.magnitude();
        if negative { -magnitude } else { magnitude }
    }

    /// As [`ExactSum::round`], and what is left after it, rounded too: together about 106 bits.
    pub(crate) fn round_twice(&self) -> (f64, f64) {
        let high = self.round();
        if !high.is_finite() {
            return (high, 0.0);
        }
        let mut rest = self.clone();
        rest.subtract(high);
        (high, rest.round())
    }

    /// Rounds limbs that are carried and not negative.
    fn magnitude(&self) -> f64 {
        // Only the highest limb can have more than 32 bits.
        let mut digits: Vec<u64> = self.limbs.iter().map(|limb| *limb as u64).collect();
        if let Some(top) = digits.last().copied() {
            digits.pop();
            digits.extend([top & 0xffff_ffff, top >> LIMB_BITS]);
        }
        let Some(top) = digits.iter().rposition(|digit| *digit != 0) else {
            return 0.0;
        };
        // Three digits have at least 65 bits; below them it only matters whether anything is left.
        let low = top.saturating_sub(2);
        let window = digits[low..=top].iter().rev().fold(0u128, |window, digit| {
            window << LIMB_BITS | u128::from(*digit)
        });
        let rest = digits[..low].iter().any(|digit| *digit != 0);
        let dropped = (128 - window.leading_zeros()).saturating_sub(53);
        let mut mantissa = (window >> dropped) as u64;
        if dropped > 0 {
            let left = window & ((1 << dropped) - 1);
            let half = 1 << (dropped - 1);
            if left > half || (left == half && (rest || mantissa & 1 == 1)) {
                mantissa += 1;
            }
        }
        // Exact, or infinite: the mantissa fits, and the powers are two steps that a float holds.
        let exponent = ((self.first + low) * LIMB_BITS) as i32 + dropped as i32 + LOWEST;
        let half = exponent / 2;
        mantissa as f64 * 2f64.powi(half) * 2f64.powi(exponent - half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A plain big integer of bits from 2^-1074 on, two's complement in 128 words of 32 bits.
    fn plain(values: &[f64]) -> f64 {
        const WORDS: usize = 72;
        let mut words = [0u32; WORDS];
        for value in values {
            let mut term = words_of(*value);
            if value.is_sign_negative() {
                negate(&mut term);
            }
            let mut carry = 0u64;
            for (word, more) in words.iter_mut().zip(term) {
                let total = u64::from(*word) + u64::from(more) + carry;
                *word = total as u32;
                carry = total >> 32;
            }
        }
        let negative = words[WORDS - 1] >> 31 == 1;
        if negative {
            negate(&mut words);
        }
        // A decimal text of the whole number, then scaled by the parser of the standard library,
        // would need 700 digits; hexadecimal by halves is enough: find the float by bisection of
        // its bits, since floats are ordered as their bits.
        let (mut low, mut high) = (0u64, f64::INFINITY.to_bits());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if below_or_equal(f64::from_bits(middle), &words) {
                low = middle
            } else {
                high = middle
            }
        }
        let (a, b) = (f64::from_bits(low), f64::from_bits(high));
        // Nearest of the two neighbours: compare twice the sum with a + b.
        let mut twice = [0u32; WORDS];
        let mut carry = 0;
        for (to, from) in twice.iter_mut().zip(words) {
            *to = from << 1 | carry;
            carry = from >> 31;
        }
        let mut middle = words_of(a);
        let add = if b.is_finite() {
            words_of(b)
        } else {
            let mut top = words_of(2f64.powi(1023));
            let mut carry = 0;
            for word in &mut top {
                let next = *word >> 31;
                *word = *word << 1 | carry;
                carry = next;
            }
            top
        };
        let mut carry = 0u64;
        for (word, more) in middle.iter_mut().zip(add) {
            let total = u64::from(*word) + u64::from(more) + carry;
            *word = total as u32;
            carry = total >> 32;
        }
        let chosen = match twice.iter().rev().cmp(middle.iter().rev()) {
            std::cmp::Ordering::Less => a,
            std::cmp::Ordering::Greater => b,
            std::cmp::Ordering::Equal => {
                if low & 1 == 0 {
                    a
                } else {
                    b
                }
            }
        };
        if negative { -chosen } else { chosen }
    }

    fn words_of(value: f64) -> [u32; 72] {
        let mut words = [0u32; 72];
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, shift) = if exponent == 0 {
            (fraction, 0)
        } else {
            (fraction | 1 << 52, exponent - 1)
        };
        for bit in 0..53 {
            if mantissa >> bit & 1 == 1 {
                words[(bit + shift) / 32] |= 1 << ((bit + shift) % 32);
            }
        }
        words
    }

    fn below_or_equal(value: f64, words: &[u32; 72]) -> bool {
        words_of(value).iter().rev().cmp(words.iter().rev()).is_le()
    }

    fn negate(words: &mut [u32; 72]) {
        let mut carry = true;
        for word in words.iter_mut() {
            let (value, over) = (!*word).overflowing_add(u32::from(carry));
            (*word, carry) = (value, over);
        }
    }

    fn any_float() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |value| value.is_finite()),
            (-1e6..1e6f64),
            (-1000i32..1000).prop_map(|cents| f64::from(cents) / 100.0),
            prop::sample::select(vec![
                0.0,
                -0.0,
                5e-324,
                -5e-324,
                f64::MAX,
                f64::MIN,
                2f64.powi(53),
                1.0,
                2f64.powi(-1022)
            ]),
        ]
    }

    proptest! {
        #[test]
        fn rounds_as_a_plain_big_integer_does(values in prop::collection::vec(any_float(), 0..24)) {
            let mut sum = ExactSum::default();
            values.iter().for_each(|value| sum.add(*value));
            prop_assert_eq!(sum.round() + 0.0, plain(&values) + 0.0);
            // In another order, in two parts, with something added and removed.
            let (left, right) = values.split_at(values.len() / 2);
            let (mut a, mut b) = (ExactSum::default(), ExactSum::default());
            left.iter().rev().for_each(|value| a.add(*value));
            b.add(1e300);
            right.iter().for_each(|value| b.add(*value));
            b.subtract(1e300);
            b.combine(&a);
            prop_assert_eq!(b.round() + 0.0, sum.round() + 0.0);
        }

        #[test]
        fn integers_are_added_exactly(values in prop::collection::vec(-(1i128 << 100)..1i128 << 100, 0..8)) {
            let mut sum = ExactSum::default();
            values.iter().for_each(|value| sum.add_int(*value));
            prop_assert_eq!(sum.round(), values.iter().sum::<i128>() as f64);
        }
    }
}
