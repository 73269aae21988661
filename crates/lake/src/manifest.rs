use std::path::Path;

use foretell_types::{Error, ErrorKind, Instant, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::table::Table;

const FORMAT: u32 = 1;

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
        let manifest: Manifest = serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!("this is no manifest of a dataset: {error}"))
        })?;
        if manifest.format > FORMAT {
            return Err(Error::new(
                ErrorKind::NewerFormat,
                format!(
                    "the manifest has format {}, this program knows {FORMAT}: use a newer foretell",
                    manifest.format
                ),
            ));
        }
        manifest.as_of_nanos()?;
        Ok(manifest)
    }

    /// The manifest in the footer of a dataset's file.
    pub fn of_file(path: &Path) -> Result<Manifest> {
        match Table::open(path)?.note() {
            Some(note) => Manifest::parse(note),
            None => Err(Error::invalid(format!(
                "{} has no manifest: it wasn't built of a log",
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
