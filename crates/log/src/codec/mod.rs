//! Frames: the records of a commit. Byte layout: docs/format.md, "Frame".

mod event;
mod frame;

pub use event::EventRef;
pub(crate) use event::encode_event;
pub(crate) use frame::{
    FRAME_HEADER, Frame, FrameKind, encode_register, encode_topic, finish_frame, leaf,
    register_parts, topic_parts,
};
