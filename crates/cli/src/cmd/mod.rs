//! One file per command.

pub mod backup;
pub mod dataset;
pub mod deadletter;
pub mod down;
pub mod erase;
pub mod function;
pub mod import;
pub mod keys;
pub mod limits;
pub mod preview;
pub mod projection;
pub mod prove;
pub mod publish;
pub mod read;
pub mod restore;
pub mod serve;
pub mod stack;
pub mod state;
pub mod subscription;
pub mod topic;
pub mod up;
mod update;
pub mod verify;
