use std::fmt;
use std::str::FromStr;

use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which column is what, and how the file is written. Plain data: `foretell import` makes it from
/// flags, a file can hold it, and its JSON is part of the import's identity.
///
/// A *column* is a column of a CSV file; a key of a JSON object, where `a.b` is the key `b` within
/// `a`; the key of an attribute of an XES event, where `case:KEY` is the attribute of its trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// Guessed from the file's extension if not given: `.csv .tsv .txt .jsonl .ndjson .json .xes`,
    /// each also with `.gz`.
    pub format: Option<Format>,
    /// The events' source; `/import/FILENAME` if not given. Lines that are CloudEvents keep theirs.
    pub source: Option<String>,
    /// The column that holds the events' ids; without it an id is made of file and row.
    pub id: Option<String>,
    /// Columns whose values, joined by `/`, are the subject. An entry with braces is a template:
    /// `store/{store}/till/{till}`. Empty: no subject; for XES the name of the case.
    pub subject: Vec<String>,
    /// Put before the subject.
    pub subject_prefix: Option<String>,
    /// Columns whose values, joined by `+`, are the type; empty values are left out. Empty for
    /// XES: `concept:name`.
    #[serde(rename = "type")]
    pub event_type: Vec<String>,
    /// One type for all events, in place of columns.
    pub type_value: Option<String>,
    /// The column of the event time; for XES `time:timestamp` if not given.
    pub time: Option<String>,
    /// How times are written: a format of `strptime` (`%Y%m%d`), `epoch` (seconds) or `epoch_ms`.
    /// If not given: RFC 3339, a bare date, or date and time without an offset.
    pub time_format: Option<String>,
    /// The zone of times that are written without an offset: `UTC` (the default), `+02:00`, or a
    /// name such as `Europe/Berlin`. Where clocks are set back the earlier time is meant, where
    /// they are set forward the time is moved by the gap.
    pub time_zone: Option<String>,
    /// The column of the time when each event became known; its default is the event time.
    pub known_time: Option<String>,
    /// Take events whose time is empty; they keep their place in the file (see [`crate::read`]).
    pub allow_missing_time: bool,
    /// Columns (or templates such as `customer:{customer}`) that give tags, separated by spaces.
    pub tags: Vec<String>,
    /// Columns kept as data. Empty: for CSV all that have no other part; else all.
    pub data: Vec<String>,
    /// CSV and XES: keep every value a string.
    pub strings: bool,
    /// CSV: what becomes of an empty field.
    pub empty: Empty,
    /// What becomes of a row that can't be read.
    pub on_bad_row: OnBadRow,
    /// CSV: what stands between fields; a comma, for `.tsv` a tab, if not given.
    pub delimiter: Option<Delimiter>,
    /// CSV: whether the first row holds the names of the columns.
    pub header: bool,
    /// CSV: the names of the columns, where there is no header or in place of it.
    pub columns: Vec<String>,
    /// XES: the type is `concept:name+lifecycle:transition`.
    pub lifecycle: bool,
    /// XES: whether the attributes of the trace go into the events' data, as `case:KEY`.
    pub trace_data: TraceData,
}

impl Default for Mapping {
    fn default() -> Mapping {
        Mapping {
            format: None,
            source: None,
            id: None,
            subject: Vec::new(),
            subject_prefix: None,
            event_type: Vec::new(),
            type_value: None,
            time: None,
            time_format: None,
            time_zone: None,
            known_time: None,
            allow_missing_time: false,
            tags: Vec::new(),
            data: Vec::new(),
            strings: false,
            empty: Empty::Omit,
            on_bad_row: OnBadRow::Fail,
            delimiter: None,
            header: true,
            columns: Vec::new(),
            lifecycle: false,
            trace_data: TraceData::None,
        }
    }
}

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident, $what:literal, $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<$name> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err(Error::invalid(format!(
                        "{text:?} is not {}: expected one of {}", $what, [$($word),+].join(", ")
                    ))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $word,)+
                })
            }
        }
    };
}

word_enum! {
    /// How the file is written.
    Format, "a format of event logs",
    /// Records of fields, one a line unless quoted (RFC 4180), or separated by blanks.
    Csv = "csv",
    /// A JSON object a line.
    Jsonl = "jsonl",
    /// The eXtensible Event Stream of process mining (IEEE 1849).
    Xes = "xes",
}

word_enum! {
    /// What becomes of an empty field of a CSV file.
    Empty, "what an empty field can become",
    /// It is left out of the data.
    Omit = "omit",
    /// It becomes null.
    Null = "null",
}

word_enum! {
    /// What becomes of a row that can't be read.
    OnBadRow, "what a bad row can lead to",
    /// The import fails, and the error names the row.
    Fail = "fail",
    /// The row is left out, counted and reported.
    Skip = "skip",
}

word_enum! {
    /// Which events of a trace bear the attributes of the trace.
    TraceData, "a choice of events",
    /// None.
    None = "none",
    /// The first one in the file.
    First = "first",
    /// All.
    All = "all",
}

/// What stands between the fields of a CSV file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Delimiter {
    /// One ASCII character. Fields may be quoted by `"`.
    Char(u8),
    /// Runs of blanks and tabs; blanks at both ends of a line don't count, and nothing is quoted.
    Whitespace,
}

impl FromStr for Delimiter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Delimiter> {
        match text.as_bytes() {
            b"whitespace" => Ok(Delimiter::Whitespace),
            b"tab" | b"\\t" => Ok(Delimiter::Char(b'\t')),
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => {
                Ok(Delimiter::Char(*byte))
            }
            _ => Err(Error::invalid(format!(
                "{text:?} is not a delimiter: expected one ASCII character other than a quote, 'tab' or 'whitespace'"
            ))),
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delimiter::Char(b'\t') => f.write_str("tab"),
            Delimiter::Char(byte) => write!(f, "{}", char::from(*byte)),
            Delimiter::Whitespace => f.write_str("whitespace"),
        }
    }
}

impl TryFrom<String> for Delimiter {
    type Error = Error;

    fn try_from(text: String) -> Result<Delimiter> {
        text.parse()
    }
}

impl From<Delimiter> for String {
    fn from(delimiter: Delimiter) -> String {
        delimiter.to_string()
    }
}
