//! The event log: topics over one durable [`Journal`].
//!
//! Appends of all topics are batched into groups, each made durable by one write and one sync
//! before anyone is told. Conditions and identities are checked against what is durable plus the
//! group being built. Readers see only what is durable.
//!
//! ```
//! use foretell_log::{Append, EventLog, Environment, MemoryJournal, ReadOptions};
//! use foretell_types::{Data, NewEvent};
//!
//! let environment = Environment::real();
//! let journal = Box::new(MemoryJournal::new());
//! let log = EventLog::open(journal, &environment, &mut |_, _| {})?;
//! let shop = Append::new().create_topic("shop".parse()?, environment.random.uuid(), false);
//! log.append_and_wait(shop)?;
//! let event = NewEvent {
//!     id: "1".into(),
//!     source: "/till".into(),
//!     event_type: "order.placed".into(),
//!     subject: Some("customer/7".into()),
//!     data: Data::json(r#"{"total":12.50}"#),
//!     ..NewEvent::default()
//! };
//! log.append_and_wait(Append::new().events("shop", [event]))?;
//! let events = log.read("shop", ReadOptions::stream("customer/7"))?.collect()?;
//! assert_eq!(events[0].position.get(), 1);
//! # Ok::<(), foretell_types::Error>(())
//! ```

mod ahead;
mod append;
mod backup;
mod blobs;
#[cfg(not(feature = "seeded-bugs"))]
mod bugs;
#[cfg(feature = "seeded-bugs")]
pub mod bugs;
mod codec;
pub mod conformance;
mod environment;
mod erasure;
mod files;
#[doc(hidden)]
pub mod fuzz;
mod hashes;
mod index;
mod journal;
mod lock;
mod log;
mod lookup;
mod merkle;
mod open;
mod proof;
mod prove;
mod read;
mod sealed;
mod verify;
mod window;
mod writer;

pub use append::{Append, Appended, AppendedEvent};
pub use backup::{
    BackedUp, BackupFile, BackupProgress, BackupSource, BackupStep, back_up, restore, verify_backup,
};
pub use blobs::Blobs;
pub use codec::{EventRef, Extensions};
pub use environment::{Clock, Environment, Random};
pub use erasure::{Erased, ErasedKey};
pub use files::{File, Files, OsFiles};
pub use journal::disk::CutTail;
pub use journal::{
    BlobJournal, Capabilities, DiskJournal, Group, GroupMeta, GroupVisitor, Journal, JournalReader,
    MemoryJournal, Place, Seq,
};
pub use lock::{DirectoryLock, Holder};
pub use log::{EventLog, LogOptions, Sealing, TopicInfo};
pub use merkle::{Hash, RootAt};
pub use proof::{Proof, Proven};
pub use read::{ReadOptions, Reader};
pub use sealed::{Archive, ArchiveRule, Piece, SegmentStore};
pub use verify::Verified;
pub use writer::Ticket;
