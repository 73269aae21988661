//! The physical limit: one thread that takes whatever waits, writes all of its bytes at once into
//! a file that is there already, syncs, and answers. It checks nothing and finds nothing again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::engine::{Condition, Engine, Kind, Pending};
use super::event::Event;
use super::group::GroupWriter;
use crate::Result;

pub const NAME: &str = "raw segment writer";
pub const KIND: Kind = Kind {
    name: NAME,
    open: |folder| Ok(Box::new(Raw::open(folder)?)),
};

const FILE_BYTES: usize = 64 * 1024 * 1024;

struct Request {
    events: u64,
    bytes: Vec<u8>,
}

pub struct Raw(GroupWriter<Request>);

impl Raw {
    pub fn open(folder: &Path) -> Result<Raw> {
        let file = File::create(folder.join("raw"))?;
        let zeros = vec![0; 1024 * 1024];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at as u64)?;
        }
        file.sync_all()?;
        let (mut bytes, mut at, mut position) = (Vec::new(), 0, 0);
        Ok(Raw(GroupWriter::start(move |group: &[Request]| {
            bytes.clear();
            for request in group {
                bytes.extend_from_slice(&request.bytes);
            }
            if at + bytes.len() > FILE_BYTES {
                at = 0;
            }
            file.write_all_at(&bytes, at as u64)?;
            file.sync_data()?;
            at += bytes.len();
            let answer = |request: &Request| {
                position += request.events;
                Ok(position)
            };
            Ok(group.iter().map(answer).collect())
        })))
    }
}

fn request(events: &[Event]) -> Request {
    let mut bytes = Vec::with_capacity(events.len() * 256);
    for event in events {
        event.write_json(&mut bytes);
    }
    Request {
        events: events.len() as u64,
        bytes,
    }
}

impl Engine for Raw {
    fn append(&self, events: &[Event], _: Condition) -> Result<u64> {
        self.0.append(request(events))
    }

    fn begin(&self, events: &[Event], _: Condition) -> Result<Pending> {
        self.0.begin(request(events))
    }
}
