//! The physical limit: a thread that writes bytes and syncs them, and does nothing else.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use crate::Result;

/// The name of this peer in the results.
pub const NAME: &str = "raw fdatasync writer";

const FILE_BYTES: usize = 64 * 1024 * 1024;

/// A file that was written and synced once, so that writing over it changes no metadata.
#[derive(Debug)]
pub struct RawWriter(File);

impl RawWriter {
    pub fn new() -> Result<RawWriter> {
        let mut file = tempfile::tempfile()?;
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..FILE_BYTES / zeros.len() {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        Ok(RawWriter(file))
    }

    /// Writes groups of so many bytes one after another, each followed by fdatasync; the time
    /// that each took.
    pub fn measure(&mut self, group_bytes: usize, duration: Duration) -> Result<Vec<Duration>> {
        let group = vec![0x5a; group_bytes.min(FILE_BYTES)];
        let (mut at, mut times) = (0, Vec::new());
        self.0.rewind()?;
        let start = Instant::now();
        while start.elapsed() < duration {
            let begun = Instant::now();
            if at + group.len() > FILE_BYTES {
                at = 0;
                self.0.seek(SeekFrom::Start(0))?;
            }
            self.0.write_all(&group)?;
            self.0.sync_data()?;
            at += group.len();
            times.push(begun.elapsed());
        }
        Ok(times)
    }
}
