//! What a project's files say: Pulumi.yaml, and Pulumi.STACK.yaml with a stack's configuration.

mod config;
mod node;
mod project;

pub use config::{Flags, configuration, full_flags};
pub use node::{Data, Node, read};
pub use project::{Declared, Project};
