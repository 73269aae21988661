use std::path::PathBuf;

use clap::Args;
use foretell_import::{Delimiter, Empty, Format, Mapping, OnBadRow, TraceData};
use foretell_types::{Error, NewEvent, cloudevents};
use serde_json::json;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, amount, bar, line, note};

const BATCH_EVENTS: usize = 1_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

#[derive(Args, Debug)]
pub struct Import {
    topic: String,
    /// The log; compressed if it ends in .gz.
    file: PathBuf,
    /// csv, jsonl or xes; by default what the file's name says.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The events' source; by default /import/FILENAME.
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// The column with the events' ids; by default they derive from file and row.
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// The columns of the subject, joined by /, or a template such as store/{store}.
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    subject: Vec<String>,
    /// What goes before each subject.
    #[arg(long, value_name = "TEXT")]
    subject_prefix: Option<String>,
    /// The columns of the event type, joined by +.
    #[arg(long = "type", value_delimiter = ',', value_name = "COLUMNS")]
    event_type: Vec<String>,
    /// One type for all events.
    #[arg(long, value_name = "TYPE")]
    type_value: Option<String>,
    /// The column with the event time.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// How times are written: strptime (%Y%m%d), epoch or epoch_ms; by default RFC 3339 or a date.
    #[arg(long, value_name = "FORMAT")]
    time_format: Option<String>,
    /// The zone of times without one: UTC, +02:00, Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// The column with the time at which the event became known; by default the event time.
    #[arg(long, value_name = "COLUMN")]
    known_time: Option<String>,
    /// Take rows without a time.
    #[arg(long)]
    allow_missing_time: bool,
    /// The columns of the tags, or templates such as store:{store}.
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    tags: Vec<String>,
    /// The columns kept as data; by default what isn't used otherwise (CSV), or all.
    #[arg(long = "columns-kept", value_delimiter = ',', value_name = "COLUMNS")]
    kept: Vec<String>,
    /// Keep numbers and booleans as text.
    #[arg(long)]
    strings: bool,
    /// What becomes of empty fields: omit or null.
    #[arg(long, default_value = "omit", value_name = "HOW")]
    empty: Empty,
    /// What to do with a row that can't be read: fail or skip.
    #[arg(long, default_value = "fail", value_name = "HOW")]
    on_bad_row: OnBadRow,
    /// CSV: one character, tab, or whitespace (runs of blanks).
    #[arg(long, value_name = "WHAT")]
    delimiter: Option<Delimiter>,
    /// CSV: the first row is data.
    #[arg(long)]
    no_header: bool,
    /// CSV: the names of the columns.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    columns: Vec<String>,
    /// XES: the type is concept:name+lifecycle:transition.
    #[arg(long)]
    lifecycle: bool,
    /// XES: which events bear the attributes of their trace: none, first or all.
    #[arg(long, default_value = "none", value_name = "WHICH")]
    trace_data: TraceData,
}

impl Import {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = Client::connect(globals, false).await?;
        let done = self.import(&client).await;
        client.close().await;
        let done = done?;
        if globals.json {
            return line(&done.to_string());
        }
        let number = |name: &str| done[name].as_u64().unwrap_or(0);
        line(&format!(
            "imported {} into {}",
            amount(number("imported"), "event"),
            self.topic
        ))?;
        for (name, what) in [
            ("already", "already there"),
            ("duplicates", "twice in the file"),
            ("skipped", "skipped: could not be read"),
        ] {
            if number(name) > 0 {
                line(&format!("{} {what}", amount(number(name), "row")))?;
            }
        }
        Ok(())
    }

    async fn import(&self, client: &Client) -> Result<serde_json::Value, Failure> {
        // Ask before the file is read: a topic that isn't there shows at once.
        client
            .send(Request::get(format!("/topics/{}", encode(&self.topic))))
            .await?;
        let (file, mapping) = (self.file.clone(), self.mapping());
        if let Err(error) = std::fs::metadata(&file) {
            return Err(Error::io(format_args!("can't read {}", file.display()), error).into());
        }
        // What is wrong with the flags is wrong usage; what is wrong with the file is not.
        mapping.resolve(&file).map_err(|error| {
            let hint =
                "see the flags --type, --type-value, --subject, --time in `foretell import --help`";
            Failure::Usage(format!("{error} ({hint})"))
        })?;
        let progress = bar(0, "reading");
        let reading = progress.clone();
        let import = tokio::task::spawn_blocking(move || {
            foretell_import::read(&file, &mapping, &mut |done, total| {
                reading.set_length(total);
                reading.set_position(done);
            })
        })
        .await
        .map_err(|error| Error::unavailable(error.to_string()))??;
        progress.finish_and_clear();
        for row in &import.bad_rows {
            note(&format!("line {}: {}", row.line, row.message));
        }
        let path = format!(
            "/topics/{}/imports/{}",
            encode(&self.topic),
            import.import_id
        );
        let known = client
            .send(Request::get(path.clone()))
            .await?
            .json()
            .await?;
        let already = known["rows"].as_u64().unwrap_or(0);
        let total = import.events.len() as u64;
        let progress = bar(total, "importing");
        let mut batch = Batch {
            first_row: already,
            ..Batch::default()
        };
        for event in import.events.skip(already as usize) {
            batch.push(&event);
            if batch.count >= BATCH_EVENTS as u64 || batch.body.len() >= BATCH_BYTES {
                batch.send(client, &path).await?;
                progress.set_position(batch.first_row);
            }
        }
        batch.send(client, &path).await?;
        progress.finish_and_clear();
        Ok(json!({
            "topic": self.topic,
            "file": self.file,
            "import": import.import_id,
            "rows": import.rows,
            "imported": total - already.min(total),
            "already": already,
            "duplicates": import.duplicates,
            "skipped": import.skipped,
        }))
    }

    fn mapping(&self) -> Mapping {
        Mapping {
            format: self.format,
            source: self.source.clone(),
            id: self.id.clone(),
            subject: self.subject.clone(),
            subject_prefix: self.subject_prefix.clone(),
            event_type: self.event_type.clone(),
            type_value: self.type_value.clone(),
            time: self.time.clone(),
            time_format: self.time_format.clone(),
            time_zone: self.time_zone.clone(),
            known_time: self.known_time.clone(),
            allow_missing_time: self.allow_missing_time,
            tags: self.tags.clone(),
            data: self.kept.clone(),
            strings: self.strings,
            empty: self.empty,
            on_bad_row: self.on_bad_row,
            delimiter: self.delimiter,
            header: !self.no_header,
            columns: self.columns.clone(),
            lifecycle: self.lifecycle,
            trace_data: self.trace_data,
        }
    }
}

/// Rows that go in one request.
#[derive(Default)]
struct Batch {
    body: String,
    count: u64,
    first_row: u64,
}

impl Batch {
    fn push(&mut self, event: &NewEvent) {
        self.body.push(if self.count == 0 { '[' } else { ',' });
        self.body.push_str(&cloudevents::to_json(event));
        self.count += 1;
    }

    async fn send(&mut self, client: &Client, path: &str) -> Result<(), Failure> {
        if self.count == 0 {
            return Ok(());
        }
        self.body.push(']');
        let body = std::mem::take(&mut self.body);
        let path = format!("{path}?first_row={}", self.first_row);
        client
            .send(Request::post(path).body("application/cloudevents-batch+json", body))
            .await?;
        self.first_row += self.count;
        self.count = 0;
        Ok(())
    }
}
