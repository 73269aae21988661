use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use foretell_types::{Error, ErrorKind, Instant, Result, Timestamp};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::table::Table;

const FORMAT: u32 = 1;
/// How a Parquet file begins.
const PARQUET: &[u8] = b"PAR1";
/// So much of a file is hashed at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// What a dataset was built of: enough to build the same bytes again. It stands in the footer of
/// the dataset's file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub dataset: Text,
    pub projection: Text,
    pub topics: Vec<TopicHead>,
    /// The log when the dataset was first built.
    pub log: Chain,
    /// How far time was known to have gone.
    pub as_of: String,
    /// BLAKE3 of the label table, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    pub counts: Counts,
}

/// What a dataset out of tables was built of: enough to build the same bytes again. It stands where
/// a [`Manifest`] does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TablesManifest {
    pub format: u32,
    pub projection: Text,
    pub events: Vec<TableFile>,
    pub key: String,
    pub time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_time: Option<String>,
    pub labels: TableFile,
    pub label_key: String,
    pub label_time: String,
    pub counts: TableCounts,
}

/// A file as it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableFile {
    /// As it was named, from the folder where the dataset was built.
    pub path: PathBuf,
    pub bytes: u64,
    /// BLAKE3, in hexadecimal digits.
    pub hash: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct TableCounts {
    pub rows: u64,
    pub events: u64,
}

/// What a dataset was built of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    Log(Manifest),
    Tables(TablesManifest),
}

/// A definition as it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Text {
    pub name: String,
    pub text: String,
}

/// A topic, and the last event of it that was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicHead {
    pub name: String,
    /// Differs from that of an earlier topic of the same name.
    pub id: String,
    /// 0 if it was empty.
    pub head: u64,
    /// Hash of that event in the log's hash tree; empty if there is none.
    pub hash: String,
}

/// The log's hash tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chain {
    pub leaves: u64,
    pub root: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    pub rows: u64,
    /// Rows whose horizon wasn't over.
    pub incomplete: u64,
    pub events: u64,
    /// Events that had been erased.
    pub erased: u64,
}

impl Manifest {
    /// A manifest whose counts aren't known yet.
    pub fn new(
        dataset: Text,
        projection: Text,
        topics: Vec<TopicHead>,
        log: Chain,
        as_of: i64,
        labels: Option<String>,
    ) -> Manifest {
        Manifest {
            format: FORMAT,
            dataset,
            projection,
            topics,
            log,
            as_of: Timestamp::from_instant(Instant::from_nanos(as_of)).to_string(),
            labels,
            counts: Counts::default(),
        }
    }

    pub fn parse(text: &str) -> Result<Manifest> {
        let manifest: Manifest = read(text)?;
        manifest.as_of_nanos()?;
        Ok(manifest)
    }

    /// The manifest in the footer of a dataset's file.
    pub fn of_file(path: &Path) -> Result<Manifest> {
        match Origin::of_file(path)? {
            Origin::Log(manifest) => Ok(manifest),
            Origin::Tables(_) => Err(Error::invalid(format!(
                "{} wasn't built of a log",
                path.display()
            ))),
        }
    }

    pub fn as_of_nanos(&self) -> Result<i64> {
        let time: Timestamp = self
            .as_of
            .parse()
            .map_err(|error: Error| error.context("as_of in the manifest"))?;
        Ok(time.instant().as_nanos())
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A manifest, whose format must be known.
fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let wrong = |error| Error::invalid(format!("this is no manifest of a dataset: {error}"));
    let Format { format } = serde_json::from_str(text).map_err(wrong)?;
    if format > FORMAT {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "the manifest has format {format}, this program knows {FORMAT}: use a newer foretell"
            ),
        ));
    }
    serde_json::from_str(text).map_err(wrong)
}

impl Origin {
    /// A manifest, or that of a dataset's file.
    pub fn read(path: &Path) -> Result<Origin> {
        let failed = |error| Error::io(format_args!("can't read {}", path.display()), error);
        let mut file = File::open(path).map_err(failed)?;
        let mut text = Vec::new();
        let mut start = (&file).take(PARQUET.len() as u64);
        start.read_to_end(&mut text).map_err(failed)?;
        if text == PARQUET {
            return Origin::of_file(path);
        }
        file.read_to_end(&mut text).map_err(failed)?;
        let text = String::from_utf8_lossy(&text);
        Origin::parse(&text).map_err(|error| error.context(path.display()))
    }

    fn of_file(path: &Path) -> Result<Origin> {
        match Table::open(path)?.note() {
            Some(note) => Origin::parse(note).map_err(|error| error.context(path.display())),
            None => Err(Error::invalid(format!(
                "{} has no manifest: foretell didn't build it",
                path.display()
            ))),
        }
    }

    fn parse(text: &str) -> Result<Origin> {
        #[derive(Deserialize)]
        struct Kind {
            dataset: Option<IgnoredAny>,
        }
        let kind: Kind = read(text)?;
        match kind.dataset {
            Some(_) => Manifest::parse(text).map(Origin::Log),
            None => read(text).map(Origin::Tables),
        }
    }
}

impl TablesManifest {
    pub(crate) fn new(
        projection: Text,
        (key, time, known_time): (&str, &str, Option<&str>),
        (label_key, label_time): (&str, &str),
        events: Vec<TableFile>,
        labels: TableFile,
    ) -> TablesManifest {
        TablesManifest {
            format: FORMAT,
            projection,
            events,
            key: key.to_owned(),
            time: time.to_owned(),
            known_time: known_time.map(str::to_owned),
            labels,
            label_key: label_key.to_owned(),
            label_time: label_time.to_owned(),
            counts: TableCounts::default(),
        }
    }

    fn files(&self) -> impl Iterator<Item = &TableFile> {
        self.events.iter().chain([&self.labels])
    }

    /// Fails if a file isn't the one of another manifest.
    pub(crate) fn check(&self, other: &TablesManifest) -> Result<()> {
        let mut pairs = self.files().zip(other.files());
        match pairs.find(|(file, other)| file.hash != other.hash) {
            Some((file, _)) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{} isn't the file that the dataset was built of: its BLAKE3 is another",
                    file.path.display()
                ),
            )),
            None => Ok(()),
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl TableFile {
    /// Reads a file whole, unless what it is read for has ended.
    pub(crate) fn of(path: &Path, ended: &AtomicBool) -> Result<TableFile> {
        let failed = |error| Error::io(format_args!("can't read {}", path.display()), error);
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            if ended.load(Ordering::Relaxed) {
                return Err(Error::unavailable("the build was broken off"));
            }
            match file.read(&mut piece).map_err(failed)? {
                0 => break,
                read => hasher.update(&piece[..read]),
            };
        }
        Ok(TableFile {
            path: path.to_owned(),
            bytes,
            hash: hasher.finalize().to_hex().to_string(),
        })
    }
}
