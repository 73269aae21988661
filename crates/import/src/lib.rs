//! Readers that turn real event logs into events: CSV (and its kin), JSON lines, XES.
//!
//! A [`Mapping`] says which column is which; [`read`] parses the whole file, orders the events by
//! (known time, event time, row) and hands them out. Reading the same file by the same mapping
//! gives the same events with the same ids in the same order, and the same
//! [`Import::import_id`], so that an import can be broken off and taken up again.
//!
//! ```
//! use foretell_import::{Mapping, read};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("orders.csv");
//! std::fs::write(&path, "customer,day,total\n7,2024-05-02,12.50\n8,2024-05-01,3\n").unwrap();
//! let mapping = Mapping {
//!     subject: vec!["customer".into()],
//!     subject_prefix: Some("customer/".into()),
//!     type_value: Some("order.placed".into()),
//!     time: Some("day".into()),
//!     ..Mapping::default()
//! };
//! let import = read(&path, &mapping, &mut |_read, _total| {}).unwrap();
//! let events: Vec<_> = import.events.collect();
//! assert_eq!(events[0].subject.as_deref(), Some("customer/8"));
//! assert_eq!(events[1].time.unwrap().to_string(), "2024-05-02T00:00:00Z");
//! assert_eq!(events[1].data, foretell_types::Data::json(r#"{"total":12.50}"#));
//! ```

mod clock;
mod collect;
mod csv;
#[cfg(test)]
mod fuzz_tests;
mod held;
mod import;
mod input;
mod jsonl;
pub mod limits;
mod lines;
mod mapping;
mod plan;
mod record;
mod resolve;
mod template;
mod typed;
mod xes;

pub use collect::BadRow;
pub use held::Events;
pub use import::{Import, read};
pub use mapping::{Delimiter, Empty, Format, Mapping, OnBadRow, TraceData};
