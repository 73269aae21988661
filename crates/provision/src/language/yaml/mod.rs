//! Programs in Pulumi YAML, which need no other process.

mod builtin;
mod evaluate;
mod expression;
mod options;
mod order;
mod reference;
mod run;
mod template;

pub use template::Template;
