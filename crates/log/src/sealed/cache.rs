use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// A piece of the journal or, decompressed, of a sealed file, as it is kept in memory. A block of frames knows where each begins.
#[derive(Debug)]
pub struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// Where the frames begin, and the end of the last; empty if the piece holds no frames.
    pub(crate) starts: Vec<u32>,
}

impl Piece {
    /// The frame at an index.
    pub(crate) fn frame(&self, index: usize) -> Option<&[u8]> {
        let (from, to) = (*self.starts.get(index)?, *self.starts.get(index + 1)?);
        self.bytes.get(from as usize..to as usize)
    }

    pub(crate) fn frames(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<(u64, u64), Arc<Piece>> for ByBytes {
    fn weight(&self, _: &(u64, u64), piece: &Arc<Piece>) -> u64 {
        (piece.bytes.len() + 4 * piece.starts.len() + 128) as u64
    }
}

/// Pieces of sealed files that were read lately, up to a bound of bytes; all files share it.
pub(crate) struct PieceCache {
    pieces: Cache<(u64, u64), Arc<Piece>, ByBytes>,
    files: AtomicU64,
}

impl PieceCache {
    pub fn new(bytes: u64) -> PieceCache {
        // The estimate only sizes tables: pieces have about 32 KiB.
        let estimate = (bytes / (32 * 1024)).max(16) as usize;
        PieceCache {
            pieces: Cache::with_weighter(estimate, bytes, ByBytes),
            files: AtomicU64::new(0),
        }
    }

    pub fn capacity(&self) -> u64 {
        self.pieces.capacity()
    }

    /// A number for a file that is opened, never used before.
    pub fn file(&self) -> u64 {
        self.files.fetch_add(1, Ordering::Relaxed)
    }

    pub fn get(&self, file: u64, offset: u64) -> Option<Arc<Piece>> {
        self.pieces.get(&(file, offset))
    }

    pub fn insert(&self, file: u64, offset: u64, piece: &Arc<Piece>) {
        self.pieces.insert((file, offset), piece.clone());
    }
}
