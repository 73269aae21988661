//! Frames: the records of a commit. Byte layout: docs/format.md, "Frame".

mod bytes;
mod event;
mod frame;

pub(crate) use bytes::{Take, put_bytes, put_varint};
pub use event::{EventRef, Extensions};
pub(crate) use event::{SealedData, data_parts, encode_event, is_sealed};
pub(crate) use frame::{
    FRAME_HEADER, Frame, FrameKind, TopicFlags, close_frame, encode_register, encode_topic,
    fill_frame, register_parts, topic_parts,
};
