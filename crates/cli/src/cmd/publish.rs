use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use foretell_types::limits::{PUBLISH_BODY_BYTES, STORE_BODY_BYTES};
use foretell_types::{Error, ErrorKind, RESERVED_ATTRIBUTES};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, amount, bar, count, line, note};

const BATCH_EVENTS: usize = 1_000;
/// Room is left for brackets and commas.
/// Between attempts to publish what is beyond the quota of the topic.
const QUOTA_WAIT: Duration = Duration::from_secs(1);
const BATCH_BYTES: usize = PUBLISH_BODY_BYTES - 64 * 1024;

#[derive(Args, Debug)]
pub struct Publish {
    topic: String,
    /// A file with events (CloudEvents or Event Grid schema), as JSON lines or one JSON array, may
    /// be compressed (.gz); - for the standard input.
    file: PathBuf,
}

impl Publish {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let (client, input) = match Client::running(globals).await? {
            Some(client) => (client, open(&self.file)?),
            // Without a server the directory is held while this works: first take the input, whose
            // writer may be a command that holds the directory now.
            None => {
                let input = spool(open(&self.file)?, &self.file)?;
                (Client::connect(globals, false).await?, input)
            }
        };
        let done = self.publish(&client, input).await;
        client.close().await;
        let done = done?;
        if done.stripped > 0 {
            note(&format!(
                "{} events had attributes that are added when reading ({}): they were left out",
                count(done.stripped),
                RESERVED_ATTRIBUTES.join(", ")
            ));
        }
        if globals.json {
            return line(&json!({ "topic": self.topic, "published": done.published, "stripped": done.stripped }).to_string());
        }
        line(&format!(
            "published {} to {}",
            amount(done.published, "event"),
            self.topic
        ))
    }

    async fn publish(&self, client: &Client, (input, size): (Input, u64)) -> Result<Done, Failure> {
        let progress = bar(size, "publishing");
        let mut done = Done::default();
        let mut batch = Batch::default();
        let send = async |batch: &mut Batch, done: &mut Done| -> Result<(), Failure> {
            let count = batch.events as u64;
            batch
                .send(client, &self.topic)
                .await
                .map_err(|error| done.stopped(error))?;
            done.published += count;
            Ok(())
        };
        for event in Events::new(input)? {
            let (place, text) = event.map_err(|error| done.stopped(error))?;
            let (text, stripped) = strip(text, &place).map_err(|error| done.stopped(error))?;
            done.stripped += u64::from(stripped);
            if batch.is_full(text.len()) || batch.is_other_schema(&text) {
                send(&mut batch, &mut done).await?;
            }
            progress.inc(text.len() as u64 + 1);
            batch.push(&text, place);
        }
        send(&mut batch, &mut done).await?;
        progress.finish_and_clear();
        Ok(done)
    }
}

#[derive(Default)]
struct Done {
    published: u64,
    stripped: u64,
}

impl Done {
    /// An error, with what was done before it.
    fn stopped(&self, error: Error) -> Failure {
        if self.published == 0 {
            return error.into();
        }
        let message = format!(
            "{error} ({} events before it are published; after mending, publish the file again: what is there already is recognised)",
            count(self.published)
        );
        Error::new(error.kind(), message).into()
    }
}

type Input = Box<dyn BufRead>;

fn open(path: &Path) -> Result<(Input, u64), Failure> {
    let at = |error| Error::io(format_args!("can't read {}", path.display()), error);
    if path.as_os_str() == "-" {
        return Ok((Box::new(BufReader::new(std::io::stdin())), 0));
    }
    let file = std::fs::File::open(path).map_err(at)?;
    let size = file.metadata().map_err(at)?.len();
    let mut input = BufReader::with_capacity(256 * 1024, file);
    let compressed = input.fill_buf().map_err(at)?.starts_with(&[0x1f, 0x8b]);
    Ok(if compressed {
        (
            Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(input))),
            0,
        )
    } else {
        (Box::new(input), size)
    })
}

/// The standard input in a temporary file; another input as it is.
fn spool((mut input, size): (Input, u64), path: &Path) -> Result<(Input, u64), Failure> {
    if path.as_os_str() != "-" {
        return Ok((input, size));
    }
    let at = |error| Error::io("can't take the standard input into a temporary file", error);
    let mut file = tempfile::tempfile().map_err(at)?;
    let size = std::io::copy(&mut input, &mut file).map_err(at)?;
    file.rewind().map_err(at)?;
    Ok((Box::new(BufReader::new(file)), size))
}

/// The events of the input, each with its place in words.
enum Events {
    Lines { input: Input, line: u64 },
    Array(std::iter::Enumerate<std::vec::IntoIter<Box<RawValue>>>),
}

impl Events {
    fn new(mut input: Input) -> Result<Events, Error> {
        let at = |error| Error::io("can't read the events", error);
        let first = loop {
            let buffer = input.fill_buf().map_err(at)?;
            match buffer.iter().position(|byte| !byte.is_ascii_whitespace()) {
                Some(found) => break buffer.get(found).copied(),
                None if buffer.is_empty() => break None,
                None => {
                    let length = buffer.len();
                    input.consume(length);
                }
            }
        };
        if first != Some(b'[') {
            return Ok(Events::Lines { input, line: 0 });
        }
        let mut text = Vec::new();
        input.read_to_end(&mut text).map_err(at)?;
        let all: Vec<Box<RawValue>> = serde_json::from_slice(&text)
            .map_err(|error| Error::invalid(format!("malformed JSON: {error}")))?;
        Ok(Events::Array(all.into_iter().enumerate()))
    }
}

impl Iterator for Events {
    type Item = Result<(String, String), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Events::Array(all) => all.next().map(|(index, raw)| {
                Ok((format!("event {index} of the array"), raw.get().to_owned()))
            }),
            Events::Lines { input, line } => loop {
                let mut bytes = Vec::new();
                *line += 1;
                let read = input
                    .take(STORE_BODY_BYTES as u64)
                    .read_until(b'\n', &mut bytes);
                return match read {
                    Ok(0) => None,
                    Ok(_) if bytes.trim_ascii().is_empty() => continue,
                    Ok(_) => Some(
                        String::from_utf8(bytes)
                            .map(|text| (format!("line {line}"), text.trim().to_owned()))
                            .map_err(|_| Error::invalid(format!("line {line} is not UTF-8"))),
                    ),
                    Err(error) => Some(Err(Error::io(
                        format_args!("can't read line {line}"),
                        error,
                    ))),
                };
            },
        }
    }
}

/// Leaves out what is added when reading; gives whether there was any.
fn strip(text: String, place: &str) -> Result<(String, bool), Error> {
    let reserved = RESERVED_ATTRIBUTES
        .iter()
        .any(|name| text.contains(&format!("\"{name}\"")));
    if !reserved {
        serde_json::from_str::<&RawValue>(&text)
            .map_err(|error| Error::invalid(format!("{place}: malformed JSON: {error}")))?;
        return Ok((text, false));
    }
    let mut object: Map<String, Value> = Map::new();
    let members: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text)
        .map_err(|error| Error::invalid(format!("{place}: malformed JSON: {error}")))?;
    let before = members.len();
    let mut parts = Vec::with_capacity(before);
    for (name, value) in &members {
        if !RESERVED_ATTRIBUTES.contains(&name.as_str()) {
            object.clear();
            parts.push(format!("{}:{}", Value::from(name.as_str()), value.get()));
        }
    }
    Ok((format!("{{{}}}", parts.join(",")), parts.len() < before))
}

/// Events that go in one request.
#[derive(Default)]
struct Batch {
    body: String,
    events: usize,
    cloud_events: bool,
    places: Vec<String>,
}

impl Batch {
    fn is_full(&self, more: usize) -> bool {
        self.events == BATCH_EVENTS || (self.events > 0 && self.body.len() + more > BATCH_BYTES)
    }

    fn is_other_schema(&self, text: &str) -> bool {
        self.events > 0 && is_cloud_event(text) != self.cloud_events
    }

    fn push(&mut self, text: &str, place: String) {
        self.cloud_events = is_cloud_event(text);
        self.body.push(if self.events == 0 { '[' } else { ',' });
        self.body.push_str(text);
        self.events += 1;
        self.places.push(place);
    }

    async fn send(&mut self, client: &Client, topic: &str) -> Result<(), Error> {
        if self.events == 0 {
            return Ok(());
        }
        let mut batch = std::mem::take(self);
        batch.body.push(']');
        let content_type = if batch.cloud_events {
            "application/cloudevents-batch+json; charset=utf-8"
        } else {
            "application/json; charset=utf-8"
        };
        let path = format!(
            "/topics/{}/api/events?api-version=2018-01-01",
            encode(topic)
        );
        let body = Bytes::from(batch.body);
        let mut has_waited = false;
        loop {
            let request = Request::post(path.clone()).body(content_type, body.clone());
            match client.send(request).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::OverQuota => {
                    if !std::mem::replace(&mut has_waited, true) {
                        note(&format!("waiting: {}", error.message()));
                    }
                    tokio::time::sleep(QUOTA_WAIT).await;
                }
                Err(error) => return Err(located(&error, &batch.places)),
            }
        }
    }
}

fn is_cloud_event(text: &str) -> bool {
    text.contains("\"specversion\"")
}

/// Says the place in the file in place of that in the request.
fn located(error: &Error, places: &[String]) -> Error {
    let message = error.message();
    let found = message.find("event ").and_then(|start| {
        let rest = &message[start + 6..];
        let index: usize = rest.split(' ').next()?.parse().ok()?;
        let whole = format!("event {index} of the array");
        message[start..]
            .starts_with(&whole)
            .then(|| message.replacen(&whole, places.get(index)?, 1).into())?
    });
    let message: Option<String> = found;
    match (message, places) {
        (Some(message), _) => Error::new(error.kind(), message),
        (None, [first, .., last]) => Error::new(
            error.kind(),
            format!(
                "{message_all} ({first} to {last})",
                message_all = error.message()
            ),
        ),
        _ => error.clone(),
    }
}
