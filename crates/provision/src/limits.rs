//! The limits of provisioning.

use std::time::Duration;

/// One message between a program and its engine.
pub const MESSAGE_BYTES: usize = 256 << 20;
/// Resources that are made, changed or read at the same time.
pub const PARALLEL_STEPS: usize = 16;
/// One asset, or all files of one archive.
pub const ASSET_BYTES: u64 = 1 << 30;
/// Files of one archive.
pub const ARCHIVE_FILES: usize = 100_000;
/// A Pulumi.yaml or Pulumi.STACK.yaml.
pub const PROJECT_BYTES: u64 = 4 << 20;
/// How deep values of a Pulumi YAML program lie in each other.
pub const YAML_DEPTH: usize = 64;
/// Installing what a program requires.
pub const INSTALL_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// What is kept of an installer's output for the message of its failure.
pub const INSTALL_OUTPUT_BYTES: usize = 4 << 10;
/// A step whose resource sets no custom timeout.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long a program that was told to end may take.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
