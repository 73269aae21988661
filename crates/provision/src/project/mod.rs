//! What a project's files say: Pulumi.yaml, and Pulumi.STACK.yaml with a stack's configuration.

mod config;
mod file;
mod node;
mod sealed;

pub use config::{Flags, configuration, full_flags};
pub use file::Project;
pub use node::{Data, Node, read};
