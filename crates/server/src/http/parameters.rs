use std::str::FromStr;

use axum::extract::Path;
use foretell_log::ReadOptions;
use foretell_types::limits::READ_PAGE_EVENTS;
use foretell_types::{Error, Instant, Position, Query, QueryItem, Result, Timestamp};

/// The parameters of a query string; an unknown one is an error.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn parse(uri: &http::Uri, allowed: &[&str]) -> Result<Parameters> {
        Parameters::parse_repeated(uri, allowed, &[])
    }

    /// Of a read: some may stand several times.
    pub fn parse_read(uri: &http::Uri) -> Result<Parameters> {
        Parameters::parse_repeated(uri, &READ, &["subject", "type", "tag"])
    }

    fn parse_repeated(uri: &http::Uri, allowed: &[&str], repeated: &[&str]) -> Result<Parameters> {
        let query = uri.query().unwrap_or("");
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(&text.replace('+', " "))
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| Error::invalid(format!("query parameter {text:?} is not UTF-8")))
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?.to_lowercase();
            if !allowed.contains(&&*name) && !matches!(&*name, "api-version" | "aeg-sas-key") {
                return Err(Error::invalid(format!(
                    "there is no query parameter {name:?} here; there are: {}",
                    allowed.join(", ")
                )));
            }
            let again = pairs.iter().any(|(other, _)| *other == name);
            if again && !repeated.contains(&&*name) {
                return Err(Error::invalid(format!(
                    "query parameter {name} is there more than once: send one"
                )));
            }
            pairs.push((name, decode(value)?));
        }
        Ok(Parameters(pairs))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Error::invalid(format!(
                        "query parameter {name} is {text:?}: a number is expected"
                    ))
                })
            })
            .transpose()
    }

    pub fn position(&self, name: &str) -> Result<Option<Position>> {
        self.get(name)
            .map(|text| text.parse().map_err(|error: Error| error.context(name)))
            .transpose()
    }

    /// RFC 3339, or a date: its midnight in UTC.
    pub fn time(&self, name: &str) -> Result<Option<Instant>> {
        self.get(name)
            .map(|text| Timestamp::from_text_or_date(text).map(|time| time.instant()))
            .transpose()
            .map_err(|error| error.context(name))
    }

    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(other) => Err(Error::invalid(format!(
                "query parameter {name} is {other:?}: true or false is expected"
            ))),
        }
    }
}

/// The topic that a path names.
pub fn topic_of(path: &[(String, String)]) -> Option<&str> {
    let topic = path.iter().find(|(name, _)| name == "topic");
    topic.map(|(_, topic)| topic.as_str())
}

/// The parts of a path with a topic and a subject; the subject may stand in `?subject=` instead.
pub fn topic_and_subject(
    Path(parts): Path<Vec<(String, String)>>,
    parameters: &Parameters,
) -> Result<(String, String)> {
    if parameters.all("subject").len() > 1 {
        return Err(Error::invalid(
            "query parameter subject is there more than once: send one",
        ));
    }
    let mut parts = parts.into_iter().map(|(_, value)| value);
    let topic = parts
        .next()
        .ok_or_else(|| Error::invalid("no topic is given"))?;
    match (parts.next(), parameters.get("subject")) {
        (Some(one), Some(other)) if one != other => Err(Error::invalid(format!(
            "the path says subject {one:?}, ?subject= says {other:?}: send one"
        ))),
        (Some(subject), _) => Ok((topic, subject)),
        (None, Some(subject)) if !subject.is_empty() => Ok((topic, subject.to_owned())),
        (None, _) => Err(Error::invalid(
            "no subject is given: put it into the path, percent-encoded, or into ?subject=",
        )),
    }
}

/// The parameters of a read.
const READ: [&str; 12] = [
    "from",
    "after",
    "until",
    "limit",
    "type",
    "subject",
    "subject_prefix",
    "tag",
    "since",
    "at",
    "backward",
    "follow",
];

/// What to read, from the parameters in [`READ`].
pub fn read_options(parameters: &Parameters, subject: Option<String>) -> Result<ReadOptions> {
    let after = parameters
        .number::<u64>("after")?
        .map(|after| after.saturating_add(1));
    let from = match (parameters.position("from")?, after.and_then(Position::new)) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("from and after are both there: send one"));
        }
        (from, after) => from.or(after),
    };
    let subjects = match subject {
        Some(subject) => vec![subject],
        None => parameters.all("subject"),
    };
    let item = QueryItem {
        types: parameters.all("type"),
        subjects,
        subject_prefix: parameters.get("subject_prefix").map(str::to_owned),
        tags: parameters.all("tag"),
    };
    let query = if item == QueryItem::default() {
        Query::all()
    } else {
        Query { items: vec![item] }
    };
    let (time_from, time_until) = (parameters.time("since")?, parameters.time("at")?);
    let backward = parameters.flag("backward")?;
    let until = parameters.position("until")?;
    let (from, until) = if backward {
        (until, from)
    } else {
        (from, until)
    };
    Ok(ReadOptions {
        from,
        until,
        backward,
        limit: parameters.number("limit")?,
        query,
        time_from,
        time_until,
    })
}

/// The number of events on one page.
pub fn page(limit: Option<u64>) -> u64 {
    limit
        .unwrap_or(READ_PAGE_EVENTS as u64)
        .min(READ_PAGE_EVENTS as u64)
}
