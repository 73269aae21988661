use serde::{Deserialize, Serialize};

use super::Kernel;
use crate::Scalar;

/// How many.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
pub struct Count(pub u64);

impl Kernel for Count {
    type Value = ();

    fn lift(&mut self, (): &()) {
        self.0 += 1;
    }

    fn combine(&mut self, other: &Count) {
        self.0 += other.0;
    }

    fn remove(&mut self, (): &()) {
        self.0 -= 1;
    }

    fn finish(&self) -> Scalar<'static> {
        Scalar::Int(i128::from(self.0))
    }
}
