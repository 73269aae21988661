use foretell_state::{Definition, KeyState, RowBase, Scalar, Stamp, encode_row};
use foretell_types::limits::HISTORY_BLOCK_BYTES_MOST;
use foretell_types::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::Options;
use crate::known::{Span, extend};

/// What is kept of one key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) head: Head,
    /// All rows folded, unless `head.late`.
    pub(crate) state: KeyState,
    /// Rows that lie in no block yet.
    pub(crate) tail: Vec<u8>,
    /// Blocks that aren't stored yet: the number of the first row, what they span, their rows.
    pub(crate) blocks: Vec<(u64, Span, Vec<u8>)>,
    pub(crate) changed: bool,
}

/// What is stored before a key's state and tail.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Rows in blocks.
    pub(crate) in_blocks: u64,
    pub(crate) block_bytes: u64,
    /// What the rows in blocks span.
    pub(crate) blocks: Option<Span>,
    pub(crate) tail: Option<Span>,
    pub(crate) base: RowBase,
    /// An event came that belongs before the last: the state must be folded anew.
    pub(crate) late: bool,
    /// Rows that the last snapshot has seen.
    pub(crate) snapshot: u64,
}

impl Head {
    /// What all rows span.
    pub(crate) fn whole(&self) -> Option<Span> {
        let mut whole = self.blocks.clone();
        if let Some(tail) = &self.tail {
            extend(&mut whole, tail);
        }
        whole
    }
}

impl Entry {
    pub(crate) fn new(definition: &Definition) -> Entry {
        Entry {
            head: Head::default(),
            state: KeyState::new(definition),
            tail: Vec::new(),
            blocks: Vec::new(),
            changed: false,
        }
    }

    /// Folds an event in by its inputs; `row` is those that are kept. Gives the bytes that it took.
    pub(crate) fn push(
        &mut self,
        definition: &Definition,
        options: Options,
        (stamp, known): (Stamp, i64),
        inputs: &[Scalar<'_>],
        row: &[Scalar<'_>],
    ) -> Result<usize> {
        let before = self.tail.len();
        let tail = std::mem::take(&mut self.tail);
        self.tail = encode_row(tail, &mut self.head.base, stamp, known, row)?;
        let bytes = self.tail.len() - before;
        match &mut self.head.tail {
            // The commonest case, without making a span.
            Some(span) if span.positions.len() == 1 && span.positions[0].0 == stamp.topic => {
                span.rows += 1;
                span.stamps.0 = span.stamps.0.min(stamp);
                span.stamps.1 = span.stamps.1.max(stamp);
                span.known = (span.known.0.min(known), span.known.1.max(known));
                span.positions[0].2 = stamp.position;
            }
            span => extend(span, &Span::of(stamp, known)),
        }
        self.changed = true;
        if self.state.last().is_some_and(|last| last >= stamp) {
            self.head.late = true;
        }
        if !self.head.late {
            self.state.lift(definition, stamp, inputs);
        }
        let full = (self.head.block_bytes as usize / 8)
            .clamp(options.block_bytes, HISTORY_BLOCK_BYTES_MOST);
        if self.tail.len() >= full
            && let Some(span) = self.head.tail.take()
        {
            let first = self.head.in_blocks;
            self.head.in_blocks += span.rows;
            self.head.block_bytes += self.tail.len() as u64;
            extend(&mut self.head.blocks, &span);
            self.head.base = RowBase::default();
            self.blocks
                .push((first, span, std::mem::take(&mut self.tail)));
        }
        Ok(bytes)
    }

    /// Reads something of each of the processor's cache lines that a push writes, and does nothing
    /// else.
    pub(crate) fn near(&self) -> u64 {
        let tail = self.head.tail.as_ref().map_or(0, |span| span.rows);
        self.head.in_blocks ^ tail ^ self.state.near()
    }

    /// As [`Entry::near`], one step of memory further.
    pub(crate) fn near_below(&self) -> u64 {
        let positions = self.head.tail.as_ref().map(|span| &span.positions);
        let position = positions.and_then(|positions| positions.first());
        let end = self.tail.last().copied().map_or(0, u64::from);
        end ^ position.map_or(0, |position| position.2) ^ self.state.near_below()
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(|(.., rows)| rows.capacity());
        size_of::<Entry>() + self.state.bytes() + self.tail.capacity() + blocks.sum::<usize>()
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let out = postcard::to_extend(&self.head, Vec::new()).map_err(unwritten)?;
        let mut out = self.state.encode(out)?;
        out.extend_from_slice(&self.tail);
        Ok(out)
    }

    pub(crate) fn decode(definition: &Definition, bytes: &[u8]) -> Result<Entry> {
        let (head, rest) = postcard::take_from_bytes(bytes).map_err(unread)?;
        let (state, tail) = KeyState::decode(definition, rest)?;
        Ok(Entry {
            head,
            state,
            tail: tail.to_vec(),
            blocks: Vec::new(),
            changed: false,
        })
    }
}

pub(crate) fn unwritten(error: postcard::Error) -> Error {
    Error::new(
        ErrorKind::Damaged,
        "what a projection keeps can't be written",
    )
    .with_source(error)
}

pub(crate) fn unread(error: postcard::Error) -> Error {
    Error::new(
        ErrorKind::Damaged,
        "what a projection keeps can't be read: rebuild it with `foretell projection rebuild`",
    )
    .with_source(error)
}
