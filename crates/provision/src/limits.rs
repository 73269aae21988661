//! Limits of this crate alone; those that users see are in `foretell_types::limits`.

use std::time::Duration;

pub use foretell_types::limits::{
    PROGRAM_ARCHIVE_FILES as ARCHIVE_FILES, PROGRAM_MESSAGE_BYTES as MESSAGE_BYTES,
    PROGRAM_PARALLEL_STEPS as PARALLEL_STEPS, PROGRAM_YAML_DEPTH as YAML_DEPTH,
};

/// One asset, or all files of one archive.
pub const ASSET_BYTES: u64 = foretell_types::limits::PROGRAM_ASSET_BYTES as u64;
/// A Pulumi.yaml or Pulumi.STACK.yaml.
pub const PROJECT_BYTES: u64 = foretell_types::limits::PROGRAM_YAML_BYTES as u64;
/// Installing what a program requires.
pub const INSTALL_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// What is kept of an installer's output for the message of its failure.
pub const INSTALL_OUTPUT_BYTES: usize = 4 << 10;
/// A step whose resource sets no custom timeout.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long a program that was told to end may take.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
