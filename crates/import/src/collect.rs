//! Gathers what a reader finds: checks each event, counts, orders.

use std::cmp::Ordering;

use foretell_types::{Error, ErrorKind, Instant, NewEvent, Result, validate};

use crate::held::{Body, Compact, Held, Shared, set_known_time};
use crate::limits::{BAD_ROWS_REPORTED, HELD_BYTES};
use crate::mapping::{Mapping, OnBadRow};
use crate::plan::Draft;

/// A row that was skipped.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct BadRow {
    /// The line of the file, from 1; of several, the first.
    pub line: u64,
    /// What was wrong, and what was expected.
    pub message: String,
}

/// What a row gave.
#[derive(Debug)]
pub(crate) enum Found {
    Draft(Draft),
    CloudEvent(Box<NewEvent>),
}

#[derive(Debug)]
pub(crate) struct Collector {
    source: String,
    policy: OnBadRow,
    shared: Shared,
    pub held: Vec<Held>,
    held_bytes: usize,
    held_limit: usize,
    pub rows: u64,
    pub skipped: u64,
    pub duplicates: u64,
    pub bad_rows: Vec<BadRow>,
    /// The place of the row before, for events without a time.
    last: Instant,
}

impl Collector {
    pub fn new(mapping: &Mapping) -> Collector {
        Collector {
            source: mapping.source.clone().unwrap_or_default(),
            policy: mapping.on_bad_row,
            shared: Shared::default(),
            held: Vec::new(),
            held_bytes: 0,
            held_limit: HELD_BYTES,
            rows: 0,
            skipped: 0,
            duplicates: 0,
            bad_rows: Vec::new(),
            last: Instant::MIN,
        }
    }

    #[cfg(test)]
    pub fn with_limit(mut self, bytes: usize) -> Collector {
        self.held_limit = bytes;
        self
    }

    /// From here on events without a time have nothing before them (a new trace).
    pub fn begin_again(&mut self) {
        self.last = Instant::MIN;
    }

    /// Takes a row, or what was wrong with it. Fails if the import is to fail.
    pub fn take(&mut self, line: u64, found: Result<Found>) -> Result<()> {
        self.rows += 1;
        match found.and_then(|found| self.hold(line, found)) {
            Ok(held) => {
                self.held_bytes = self.held_bytes.saturating_add(held.size());
                self.held.push(held);
                if self.held_bytes > self.held_limit {
                    return Err(Error::new(
                        ErrorKind::TooLarge,
                        format!(
                            "line {line}: the events up to here take more than {} bytes of memory: split the file",
                            self.held_limit
                        ),
                    ));
                }
                Ok(())
            }
            Err(error) => self.bad(line, error),
        }
    }

    fn bad(&mut self, line: u64, error: Error) -> Result<()> {
        if self.policy == OnBadRow::Fail {
            return Err(error.context(format_args!("line {line}")));
        }
        self.skipped += 1;
        if self.bad_rows.len() < BAD_ROWS_REPORTED {
            self.bad_rows.push(BadRow {
                line,
                message: error.message().to_owned(),
            });
        }
        Ok(())
    }

    fn hold(&mut self, line: u64, found: Found) -> Result<Held> {
        let (body, time, known) = match found {
            Found::Draft(draft) => {
                let row = Compact::new(draft, &mut self.shared);
                // An id that is made of file and row is always valid.
                validate(&row.to_event(&self.source, || "0".to_owned()))?;
                let times = (row.time, row.known);
                (Body::Row(row), times.0, times.1)
            }
            Found::CloudEvent(mut event) => {
                let known = match event.extension_str(foretell_types::KNOWN_TIME) {
                    Some(text) => Some(text.parse()?),
                    None => None,
                };
                set_known_time(&mut event, known);
                validate(&event)?;
                let time = event.time;
                (Body::CloudEvent(event), time, known)
            }
        };
        let at = time.map_or(self.last, |time| time.instant());
        self.last = at;
        Ok(Held {
            known: known.map_or(at, |known| known.instant()),
            at,
            row: self.rows,
            line,
            body,
        })
    }

    /// Settles rows of the same id, then orders.
    pub fn finish(&mut self) -> Result<()> {
        self.settle_identities()?;
        self.held
            .sort_unstable_by_key(|held| (held.known, held.at, held.row));
        Ok(())
    }

    /// Of rows with the same id and the same content one is kept; other content is an error.
    fn settle_identities(&mut self) -> Result<()> {
        let held = &self.held;
        let mut order: Vec<usize> = (0..held.len())
            .filter(|index| held[*index].identity().is_some())
            .collect();
        order.sort_unstable_by(|a, b| {
            let ids = held[*a].identity().cmp(&held[*b].identity());
            ids.then(held[*a].row.cmp(&held[*b].row))
        });
        let (mut same, mut other) = (Vec::new(), Vec::new());
        let mut first = None;
        for index in order {
            match first {
                Some(kept) if identity_order(held, kept, index) == Ordering::Equal => {
                    if held[kept].body == held[index].body {
                        same.push(index);
                    } else {
                        other.push((index, held[kept].line));
                    }
                }
                _ => first = Some(index),
            }
        }
        other.sort_unstable();
        let mut gone = same;
        self.duplicates = gone.len() as u64;
        for (index, first_line) in other {
            let held = &self.held[index];
            let (_, id) = held.identity().unwrap_or_default();
            let error = Error::new(
                ErrorKind::Conflict,
                format!(
                    "the id {} stands at line {first_line} too, with other content: expected ids that occur once",
                    crate::typed::shown(id)
                ),
            );
            let line = held.line;
            self.bad(line, error)?;
            gone.push(index);
        }
        self.remove(gone);
        Ok(())
    }

    fn remove(&mut self, mut gone: Vec<usize>) {
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        let mut index = 0;
        self.held.retain(|_| {
            let keep = gone.binary_search(&index).is_err();
            index += 1;
            keep
        });
    }
}

fn identity_order(held: &[Held], a: usize, b: usize) -> Ordering {
    held[a].identity().cmp(&held[b].identity())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Result<Found> {
        Ok(Found::Draft(Draft {
            id: None,
            subject: None,
            event_type: "t".into(),
            time: None,
            known: None,
            tags: String::new(),
            data: text.into(),
        }))
    }

    #[test]
    fn memory_is_bounded() {
        let mapping = Mapping {
            source: Some("/s".into()),
            ..Mapping::default()
        };
        let mut collector = Collector::new(&mapping).with_limit(10_000);
        let taken = (1..1_000).map(|line| collector.take(line, draft("{}")));
        let error = taken.filter_map(Result::err).next().unwrap();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(collector.held.len() < 100);
    }

    #[test]
    fn reports_are_bounded() {
        let mapping = Mapping {
            source: Some("/s".into()),
            on_bad_row: OnBadRow::Skip,
            ..Mapping::default()
        };
        let mut collector = Collector::new(&mapping);
        for line in 0..100 {
            collector.take(line, Err(Error::invalid("bad"))).unwrap();
        }
        assert_eq!(
            (collector.skipped, collector.bad_rows.len()),
            (100, BAD_ROWS_REPORTED)
        );
    }
}
