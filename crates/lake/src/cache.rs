//! Columns of logs, kept in files: for each topic and extraction one a range of positions. They
//! never change, and can be dropped and made again.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use foretell_state::Dataset;
use foretell_types::limits::COLUMN_EVENTS;
use foretell_types::{Error, Result};

use crate::extract::{Extraction, Range};
use crate::fold::Progress;
use crate::partial::Partial;
use crate::table::Table;
use crate::threads::spread;
use crate::topic::Topic;
use crate::write::{Style, TableWriter, schema};

const EXTENSION: &str = "parquet";

/// The folder of the columns.
#[derive(Debug)]
pub struct ColumnCache {
    folder: PathBuf,
    /// Events whose columns are one file.
    range: u64,
    /// Held while files are made or dropped.
    files: Mutex<()>,
    drops: AtomicU64,
}

/// What the columns of a topic up to a position are.
#[derive(Debug)]
pub(crate) struct TopicColumns {
    pub(crate) tables: Vec<Table>,
    pub(crate) range: Range,
}

impl ColumnCache {
    /// Nothing is made before it is asked for.
    pub fn new(folder: PathBuf) -> ColumnCache {
        ColumnCache {
            folder,
            range: COLUMN_EVENTS as u64,
            files: Mutex::new(()),
            drops: AtomicU64::new(0),
        }
    }

    /// With files of so many events. All who share a folder must agree.
    #[must_use]
    pub fn with_range(self, events: NonZeroU64) -> ColumnCache {
        ColumnCache {
            range: events.get(),
            ..self
        }
    }

    /// Changes when columns are dropped for what was erased: who works with them must end.
    pub(crate) fn drops(&self) -> u64 {
        self.drops.load(Ordering::Acquire)
    }

    /// Fails if columns were dropped since there were so many drops.
    pub(crate) fn check(&self, drops: u64) -> Result<()> {
        if self.drops() == drops {
            return Ok(());
        }
        Err(
            Error::unavailable("data was erased while the dataset was built: build it again")
                .with_retry_after(1),
        )
    }

    /// The columns of a topic up to a position; makes those that aren't there.
    pub(crate) fn columns(
        &self,
        topic: &dyn Topic,
        head: u64,
        extraction: &Extraction<'_>,
        threads: usize,
        progress: &Progress<'_>,
    ) -> Result<TopicColumns> {
        let folder = self.folder.join(topic.identity()).join(extraction.id());
        let _files = self.lock();
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::io(format_args!("can't make {}", folder.display()), error))?;
        let ranges: Vec<(u64, u64)> = (0..head.div_ceil(self.range))
            .map(|index| (index * self.range + 1, ((index + 1) * self.range).min(head)))
            .collect();
        let done = AtomicU64::new(0);
        let opened = spread(threads, ranges.len(), |index| {
            let (from, until) = ranges[index];
            let path = folder.join(format!("{from}-{until}.{EXTENSION}"));
            let step = format!("extracting columns of {}", topic.name());
            let found = match open(&path) {
                Some(found) => found,
                None => {
                    make(&path, topic, (from, until), extraction)?;
                    open(&path).ok_or_else(|| {
                        Error::unavailable(format!("{} can't be read", path.display()))
                    })?
                }
            };
            let count = until - from + 1;
            let done = done.fetch_add(count, Ordering::Relaxed) + count;
            progress(&step, done, head)?;
            Ok(found)
        })?;
        drop_outgrown(&folder, head, self.range);
        let range = opened
            .iter()
            .fold(Range::default(), |range, (_, next)| range.then(*next));
        Ok(TopicColumns {
            tables: opened.into_iter().map(|(table, _)| table).collect(),
            range,
        })
    }

    /// Where the columns of a dataset lie, below the folder of a topic.
    pub fn folder_of(dataset: &Dataset) -> String {
        Extraction::of(dataset).id()
    }

    /// Drops the columns of all but these: topics by their identity, and folders of datasets.
    pub fn retain(&self, topics: &BTreeSet<String>, datasets: &BTreeSet<String>) -> Result<()> {
        let _files = self.lock();
        for topic in entries(&self.folder) {
            if !topics.contains(&name(&topic)) {
                remove(&topic)?;
                continue;
            }
            for of in entries(&topic) {
                if !datasets.contains(&name(&of)) {
                    remove(&of)?;
                }
            }
        }
        Ok(())
    }

    /// Drops the columns of topics that have another identity now, since some of them was erased,
    /// and ends the work that may still hold what they were.
    pub fn forget(&self, topics: &BTreeSet<String>) -> Result<()> {
        self.drops.fetch_add(1, Ordering::AcqRel);
        let _files = self.lock();
        entries(&self.folder)
            .into_iter()
            .filter(|topic| !topics.contains(&name(topic)))
            .try_for_each(|topic| remove(&topic))
    }

    /// Bytes on disk.
    pub fn disk_bytes(&self) -> u64 {
        let folders = entries(&self.folder)
            .into_iter()
            .flat_map(|topic| entries(&topic));
        let files = folders.flat_map(|folder| entries(&folder));
        files
            .filter_map(|file| std::fs::metadata(file).ok())
            .map(|found| found.len())
            .sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        // What a thread that failed left half done isn't named yet.
        self.files
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What lies in a file, if it is whole.
fn open(path: &Path) -> Option<(Table, Range)> {
    let table = Table::open(path).ok()?;
    let range = serde_json::from_str(table.note()?).ok()?;
    Some((table, range))
}

fn make(
    path: &Path,
    topic: &dyn Topic,
    (from, until): (u64, u64),
    extraction: &Extraction<'_>,
) -> Result<()> {
    let found = extraction.read(topic, from, until)?;
    let partial = Partial::create(path)?;
    let rows = found.columns.first().map_or(0, arrow_array::Array::len);
    let mut writer = TableWriter::create(
        partial.file()?,
        path,
        schema(found.fields),
        1,
        Style::Columns,
    )?;
    writer.write(rows, |column| Ok(found.columns[column].clone()))?;
    let note = serde_json::to_string(&found.range)
        .map_err(|error| Error::invalid(format!("a range can't be described: {error}")))?;
    writer.finish(Some(note))?;
    partial.sync()?;
    partial.name().map(drop)
}

/// Drops ranges that end neither at their last position nor at the head: they were the last ones
/// once. Who has opened them still reads them.
fn drop_outgrown(folder: &Path, head: u64, range: u64) {
    for path in entries(folder) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let until = stem
            .split_once('-')
            .and_then(|(_, until)| until.parse::<u64>().ok());
        if until.is_some_and(|until| !until.is_multiple_of(range) && until != head) {
            // One that can't be removed is looked at again by the next.
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(
            format_args!("can't remove {}", folder.display()),
            error,
        )),
        _ => Ok(()),
    }
}
