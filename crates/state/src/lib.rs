//! State at any time: events folded into the state of a subject, as it was at one time and as it
//! was known at another.
//!
//! ```
//! use foretell_state::{Moment, fold};
//! use foretell_types::{Data, Instant, NewEvent, Position, RecordedEvent, Revision};
//!
//! let event = |position: u64, time: &str, data: &str| RecordedEvent {
//!     event: NewEvent {
//!         event_type: "customer.changed".into(),
//!         time: Some(time.parse().unwrap()),
//!         data: Data::json(data),
//!         ..NewEvent::default()
//!     },
//!     position: Position::new(position).unwrap(),
//!     revision: Some(Revision::new(position - 1)),
//!     recorded_time: Instant::from_nanos(0),
//!     erased: false,
//! };
//! let log = [
//!     event(1, "2024-01-01T00:00:00Z", r#"{"name":"Ada","city":"London"}"#),
//!     event(2, "2024-03-01T00:00:00Z", r#"{"city":"Turin"}"#),
//!     // It happened in February, and became known last.
//!     event(3, "2024-02-01T00:00:00Z", r#"{"city":"Paris","name":null}"#),
//! ];
//! let state = |at, known_at| {
//!     let moment = Moment::parse(at, known_at).unwrap();
//!     let state = fold(log.iter().cloned().map(Ok), moment).unwrap();
//!     state.value.get().to_owned()
//! };
//! assert_eq!(state(None, None), r#"{"city":"Turin"}"#);
//! assert_eq!(state(Some("2024-02-15"), None), r#"{"city":"Paris"}"#);
//! assert_eq!(state(Some("2024-02-15"), Some("2")), r#"{"city":"London","name":"Ada"}"#);
//! ```

mod dataset;
mod definition;
mod difference;
mod expr;
mod extract;
mod fold;
mod function;
mod input;
pub mod kernel;
mod key_state;
mod merge;
mod moment;
mod patch;
mod program;
mod projection;
mod scalar;
mod sql;
mod value_type;
mod why;

pub use dataset::{Dataset, Instants, Labels, Split};
pub use definition::{Aggregate, Definition, Output};
pub use difference::{Change, Field, at_field, difference};
pub use expr::{Expr, Operator};
pub use extract::{Extractor, at_steps};
pub use fold::{Fold, State, fold};
pub use function::Scalars;
pub use input::{Input, Source, Step};
pub use key_state::{KeyState, Keys, Row, RowBase, Stamp, decode_rows, encode_row};
pub use merge::Merge;
pub use moment::{KnownAt, Moment};
pub use program::{Fault, Place, Program};
pub use projection::Projection;
pub use scalar::{Number, Scalar};
pub use value_type::ValueType;
pub use why::Touch;
