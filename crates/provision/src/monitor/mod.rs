//! The services that a program talks to: what Pulumi calls its resource monitor and its engine.

mod engine;
mod goal;
mod listen;
mod service;
#[cfg(test)]
mod tests;

pub use goal::duration;
pub use listen::Listening;
