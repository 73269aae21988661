//! The kernels: what an aggregate keeps of the events it has seen. Serving, replay and training
//! all run these.
//!
//! A [`Kernel`] lifts a value in, combines with what was seen apart from it, removes a value where
//! that is exact, and finishes into the aggregate's value. A [`Slot`] puts one behind a window.

mod average;
mod count;
mod decay;
mod distinct;
mod exact;
mod folded;
mod frame;
mod function;
mod ordered;
mod slot;
mod sum;
mod window;

pub use average::{Average, Deviation};
pub use count::Count;
pub use decay::Decayed;
pub use distinct::{Approximate, Distinct};
pub use exact::ExactSum;
pub use folded::Folded;
pub use frame::Frame;
pub use function::{Function, TimeUnit};
pub use ordered::{Kept, Ordered};
pub use slot::Slot;
pub use sum::Sum;
pub use window::Window;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Scalar;

/// An aggregate over a set of values, in whatever order they come.
///
/// Removing is exact: what is left is as if the value had never been lifted.
pub trait Kernel: Clone + Default + Debug + Serialize + DeserializeOwned {
    type Value: Clone + Debug + Serialize + DeserializeOwned;

    fn lift(&mut self, value: &Self::Value);

    fn combine(&mut self, other: &Self);

    /// Takes a value out that was lifted before.
    fn remove(&mut self, value: &Self::Value);

    fn finish(&self) -> Scalar<'static>;

    /// Reads something of the memory that a lift writes beside the kernel's own.
    fn near(&self) -> u64 {
        0
    }
}
