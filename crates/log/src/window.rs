use std::ops::Range;

use foretell_types::Result;

use crate::codec::Frame;
use crate::journal::{JournalReader, Place};

/// Bytes of the journal that lie together, read to be decoded frame by frame.
#[derive(Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    at: Place,
    /// The part whose frames, as far as they are wanted, have the right checksums.
    sound: Range<usize>,
}

impl Window {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads so many bytes from a place on, or as many as lie there together.
    pub fn fill(&mut self, journal: &dyn JournalReader, from: Place, wanted: usize) -> Result<()> {
        self.bytes.resize(wanted, 0);
        self.sound = 0..0;
        let read = journal.read(from, &mut self.bytes);
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        self.at = from;
        read.map(|_| ())
    }

    /// Where the frame at a place lies, if all of it is here.
    pub fn frame(&self, place: Place) -> Option<Range<usize>> {
        let from = place.0.checked_sub(self.at.0)? as usize;
        Frame::place_of(&self.bytes, from)
    }

    /// Looks at the checksums of neighbouring frames until one is damaged, or not wholly here; gives how
    /// many are sound. One after the other takes less than each where it is decoded.
    pub fn check(&mut self, places: impl Iterator<Item = Place>) -> usize {
        let frames = places.map_while(|place| self.frame(place));
        let sound = frames.take_while(|frame| Frame::is_sound(&self.bytes[frame.clone()]));
        let join = |(count, sound): (usize, Option<Range<usize>>), frame: Range<usize>| {
            let all = sound.map_or(frame.clone(), |sound| {
                sound.start.min(frame.start)..sound.end.max(frame.end)
            });
            (count + 1, Some(all))
        };
        let (count, sound) = sound.fold((0, None), join);
        self.sound = sound.unwrap_or(0..0);
        count
    }

    /// Whether the checksum of a frame here was looked at, and is right.
    pub fn is_sound(&self, frame: &Range<usize>) -> bool {
        self.sound.start <= frame.start && frame.end <= self.sound.end
    }
}
