use foretell_types::{Error, ErrorKind, Result};

/// Bytes before a frame's body.
pub(crate) const FRAME_HEADER: usize = 40;
const LAST_OF_COMMIT: u8 = 1;
const NO_REVISION: u64 = u64::MAX;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameKind {
    Event,
    /// A named value that the last write wins: a checkpoint, an outcome.
    Register,
    /// The making or the deletion of a topic.
    Topic,
}

/// A frame as it lies in a group, its checksum verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub kind: FrameKind,
    pub last_of_commit: bool,
    pub topic: u32,
    /// 0 for a frame that isn't an event.
    pub position: u64,
    pub revision: Option<u64>,
    /// Nanoseconds since the epoch.
    pub recorded: i64,
    pub body: &'a [u8],
    /// The whole frame.
    pub bytes: &'a [u8],
}

/// Appends a frame's header with what isn't known yet left zero; gives where the frame begins.
pub(crate) fn open_frame(out: &mut Vec<u8>, kind: FrameKind) -> usize {
    let start = out.len();
    out.resize(start + FRAME_HEADER, 0);
    out[start + 8] = match kind {
        FrameKind::Event => 1,
        FrameKind::Register => 2,
        FrameKind::Topic => 3,
    };
    start
}

/// Fills in the header of the frame that `bytes` is, but for what [`close_frame`] does.
pub(crate) fn fill_frame(
    bytes: &mut [u8],
    topic: u32,
    position: u64,
    revision: Option<u64>,
    recorded: i64,
) {
    let length = bytes.len() as u32;
    bytes[0..4].copy_from_slice(&length.to_le_bytes());
    bytes[12..16].copy_from_slice(&topic.to_le_bytes());
    bytes[16..24].copy_from_slice(&position.to_le_bytes());
    bytes[24..32].copy_from_slice(&revision.unwrap_or(NO_REVISION).to_le_bytes());
    bytes[32..40].copy_from_slice(&recorded.to_le_bytes());
}

/// Says whether the frame is the last of its commit, and puts its checksum.
pub(crate) fn close_frame(bytes: &mut [u8], last_of_commit: bool) {
    bytes[9] = u8::from(last_of_commit) * LAST_OF_COMMIT;
    let crc = checksum(bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// CRC32C over the length and everything after the checksum.
#[inline(always)]
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[0..4]), &bytes[8..])
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Damaged, what)
}

/// The frame that these bytes begin with.
#[inline(always)]
fn whole(bytes: &[u8]) -> Result<&[u8]> {
    let length = Frame::claimed_bytes(bytes).ok_or_else(|| damaged("a frame's length is wrong"))?;
    let frame = bytes.get(..length);
    frame.ok_or_else(|| damaged("a frame is cut short"))
}

impl<'a> Frame<'a> {
    /// Where the frame that begins at an index lies, if all of it is there.
    pub fn place_of(bytes: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
        let bytes = bytes.get(from..)?;
        let length = Frame::claimed_bytes(bytes).filter(|length| *length <= bytes.len())?;
        Some(from..from + length)
    }

    /// The length that the frame at the begin of `bytes` claims; at least its header's.
    pub fn claimed_bytes(bytes: &[u8]) -> Option<usize> {
        let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        (length >= FRAME_HEADER).then_some(length)
    }

    /// The topic and position that it claims, its checksum not looked at.
    pub fn claimed_place(bytes: &[u8]) -> Option<(u32, u64)> {
        let topic = u32::from_le_bytes(*bytes.get(12..)?.first_chunk()?);
        let position = u64::from_le_bytes(*bytes.get(16..)?.first_chunk()?);
        Some((topic, position))
    }

    /// Reads the frame at the begin of `bytes`; what follows it is left alone.
    #[inline(always)]
    pub fn read(bytes: &'a [u8]) -> Result<Frame<'a>> {
        let bytes = whole(bytes)?;
        match Frame::is_sound(bytes) {
            true => Frame::unchecked(bytes),
            false => Err(damaged("the checksum of a frame is wrong")),
        }
    }

    /// Whether the checksum of the frame that these bytes are is right.
    #[inline(always)]
    pub fn is_sound(bytes: &[u8]) -> bool {
        let said = bytes
            .get(4..FRAME_HEADER)
            .and_then(|rest| rest.first_chunk());
        said.is_some_and(|said| checksum(bytes) == u32::from_le_bytes(*said))
    }

    /// As [`Frame::read`], for one whose checksum, or that of what holds it, was looked at.
    #[inline(always)]
    pub fn unchecked(bytes: &'a [u8]) -> Result<Frame<'a>> {
        let bytes = whole(bytes)?;
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let kind = match bytes[8] {
            1 => FrameKind::Event,
            2 => FrameKind::Register,
            3 => FrameKind::Topic,
            other => {
                return Err(Error::new(
                    ErrorKind::NewerFormat,
                    format!("a frame is of kind {other}: use a newer foretell"),
                ));
            }
        };
        Ok(Frame {
            kind,
            last_of_commit: bytes[9] & LAST_OF_COMMIT != 0,
            topic: u32_at(12),
            position: u64_at(16),
            revision: Some(u64_at(24)).filter(|revision| *revision != NO_REVISION),
            recorded: u64_at(32) as i64,
            body: &bytes[FRAME_HEADER..],
            bytes,
        })
    }
}

/// Appends an unfinished register frame; no value removes the register.
pub(crate) fn encode_register(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    open_frame(out, FrameKind::Register);
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.push(u8::from(value.is_some()));
    out.push(0);
    out.extend_from_slice(key.as_bytes());
    super::event::put_masked(out, value.unwrap_or(&[]));
}

/// The key and value of a register's body.
pub(crate) fn register_parts(body: &[u8]) -> Option<(&str, Option<Vec<u8>>)> {
    let key_bytes = usize::from(u16::from_le_bytes(*body.first_chunk()?));
    let present = *body.get(2)? != 0;
    let key = std::str::from_utf8(body.get(4..4 + key_bytes)?).ok()?;
    let value = super::event::take_masked(body.get(4 + key_bytes..)?)?;
    Some((key, present.then_some(value)))
}

/// What is said of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TopicFlags {
    pub deleted: bool,
    /// It takes a known id with other content.
    pub reuse_ids: bool,
    /// The data of its events is encrypted under keys of their subjects.
    pub erasable: bool,
}

impl TopicFlags {
    pub fn to_byte(self) -> u8 {
        u8::from(self.deleted) | u8::from(self.reuse_ids) << 1 | u8::from(self.erasable) << 2
    }

    /// `None` if there are flags that only a newer foretell knows.
    pub fn from_byte(byte: u8) -> Option<TopicFlags> {
        (byte < 8).then_some(TopicFlags {
            deleted: byte & 1 != 0,
            reuse_ids: byte & 2 != 0,
            erasable: byte & 4 != 0,
        })
    }
}

/// Appends an unfinished topic frame: the topic's identity, its flags, its name.
pub(crate) fn encode_topic(out: &mut Vec<u8>, uuid: uuid::Uuid, flags: TopicFlags, name: &str) {
    open_frame(out, FrameKind::Topic);
    out.extend_from_slice(uuid.as_bytes());
    out.push(flags.to_byte());
    out.extend_from_slice(name.as_bytes());
}

/// The parts of a topic frame's body, in the order of [`encode_topic`].
pub(crate) fn topic_parts(body: &[u8]) -> Option<(uuid::Uuid, TopicFlags, &str)> {
    let uuid = uuid::Uuid::from_bytes(*body.first_chunk()?);
    let flags = TopicFlags::from_byte(*body.get(16)?)?;
    let name = std::str::from_utf8(body.get(17..)?).ok()?;
    Some((uuid, flags, name))
}
