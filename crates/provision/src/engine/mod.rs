//! The deployment engine: what a program declares is compared with what the stack has, and made,
//! changed, replaced or deleted.

mod alias;
mod assets;
mod custom;
mod delete;
mod deployment;
mod goal;
mod ignore;
mod invoke;
mod read;
mod register;
mod replace;
mod report;
mod secret;
mod step;
#[cfg(test)]
mod tests;

pub use deployment::{Deployment, Settings};
pub use goal::{Alias, AliasParent, Goal, Options, ReadGoal, Registered, Timeouts};
pub use ignore::{Part, parse as parse_path};
pub use invoke::Call;
pub use report::{Phase, Report, Reporter, Severity, StepReport};
