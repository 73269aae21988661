use std::io::Write;

use clap::Args;
use foretell_types::{Error, Position, Timestamp};
use futures::StreamExt;
use serde_json::value::RawValue;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::Failure;

#[derive(Args, Debug)]
pub struct Read {
    topic: String,
    /// Only events with this subject (can be given several times).
    #[arg(long = "subject", value_name = "S")]
    subjects: Vec<String>,
    /// Only events whose subject begins with this.
    #[arg(long, value_name = "S")]
    subject_prefix: Option<String>,
    /// Only events of this type (can be given several times).
    #[arg(long = "type", value_name = "T")]
    types: Vec<String>,
    /// Only events with this tag (can be given several times: with all of them).
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// From this position on.
    #[arg(long, value_name = "P")]
    from: Option<Position>,
    /// Up to this position.
    #[arg(long, value_name = "P")]
    until: Option<Position>,
    /// Only events that happened at this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events that happened at this time or earlier.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// At most so many events.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// The last events first.
    #[arg(long, conflicts_with = "follow")]
    backward: bool,
    /// Go on with what is appended.
    #[arg(long)]
    follow: bool,
}

impl Read {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        for (name, time) in [("--since", &self.since), ("--at", &self.at)] {
            if let Some(time) = time {
                Timestamp::from_text_or_date(time)
                    .map_err(|error| Failure::Usage(error.context(name).message().to_owned()))?;
            }
        }
        let client = Client::connect(globals, false).await?;
        let done = self.print(&client, globals.json).await;
        client.close().await;
        done
    }

    async fn print(&self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let request = Request::get(self.path()).header("accept", "application/x-ndjson");
        let mut lines = client.send(request).await?.lines();
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        while let Some(line) = lines.next().await {
            let line = line?;
            if as_json {
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "{}", human(&line))?;
            }
            if self.follow {
                out.flush()?;
            }
        }
        out.flush()?;
        if self.follow && self.limit.is_none() && self.until.is_none() {
            let message = "the server stopped: go on after the last position with --from";
            return Err(Error::unavailable(message).into());
        }
        Ok(())
    }

    fn path(&self) -> String {
        let mut path = format!(
            "/topics/{}/events?follow={}",
            encode(&self.topic),
            self.follow
        );
        let mut add =
            |name: &str, value: &str| path.push_str(&format!("&{name}={}", encode(value)));
        for (name, value) in [
            ("subject_prefix", &self.subject_prefix),
            ("since", &self.since),
            ("at", &self.at),
        ] {
            if let Some(value) = value {
                add(name, value);
            }
        }
        self.subjects.iter().for_each(|value| add("subject", value));
        self.types.iter().for_each(|value| add("type", value));
        self.tags.iter().for_each(|value| add("tag", value));
        for (name, value) in [("from", self.from), ("until", self.until)] {
            if let Some(value) = value {
                add(name, &value.to_string());
            }
        }
        if let Some(limit) = self.limit {
            add("limit", &limit.to_string());
        }
        if self.backward {
            add("backward", "true");
        }
        path
    }
}

/// What the human form shows of an event.
#[derive(serde::Deserialize)]
struct Shown<'a> {
    position: u64,
    time: Option<String>,
    recordedtime: Option<String>,
    #[serde(rename = "type")]
    event_type: String,
    subject: Option<String>,
    /// As it stands: numbers keep their digits, members their order.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    #[serde(default)]
    erased: bool,
}

/// One event on one line: position, time, type, subject, data.
fn human(line: &str) -> String {
    let Ok(event) = serde_json::from_str::<Shown<'_>>(line) else {
        return line.to_owned();
    };
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let data = match (event.data, event.data_base64) {
        (Some(data), _) => data.get().to_owned(),
        (None, Some(base64)) => format!("base64:{base64}"),
        (None, None) if event.erased => "(erased)".to_owned(),
        (None, None) => String::new(),
    };
    format!(
        "{:>8}  {}  {}  {}  {data}",
        event.position,
        dash(event.time.or(event.recordedtime)),
        event.event_type,
        dash(event.subject)
    )
}
