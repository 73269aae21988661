//! The purchases as Event Grid events.

use std::collections::HashMap;
use std::io::Write;

use foretell_import::{Delimiter, Mapping, read};
use foretell_types::{Error, NewEvent, Result, eventgrid};
use serde_json::{Value, json};

use super::files::PURCHASES;

/// A request's worth of events.
pub struct Batch {
    pub body: String,
    pub events: u64,
}

/// The purchases in order of their dates, and one that the shop hears of last.
pub struct Purchases {
    pub events: Vec<NewEvent>,
    pub late: NewEvent,
}

/// The customer whose states are shown; the shop hears late of one of this customer's purchases.
pub const CUSTOMER: &str = "customer/00082";
/// Which of that customer's purchases is late, counted from 0.
const LATE: usize = 2;

/// Reads the purchases.
pub fn purchases() -> Result<Purchases> {
    let mut file = tempfile::Builder::new()
        .suffix(".txt.gz")
        .tempfile()
        .map_err(|error| Error::io("can't make a temporary file", error))?;
    file.write_all(PURCHASES)
        .map_err(|error| Error::io("can't write a temporary file", error))?;
    let mapping = Mapping {
        delimiter: Some(Delimiter::Whitespace),
        subject: vec!["customer_id".into()],
        subject_prefix: Some("customer/".into()),
        type_value: Some("purchase".into()),
        time: Some("date".into()),
        time_format: Some("%Y%m%d".into()),
        data: vec![
            "customer_id".into(),
            "number_of_cds".into(),
            "dollar_value".into(),
        ],
        ..Mapping::default()
    };
    let import = read(file.path(), &mapping, &mut |_, _| {})?;
    let mut orders: HashMap<String, usize> = HashMap::new();
    let (mut events, mut late) = (Vec::with_capacity(import.events.len()), None);
    for (row, event) in import.events.enumerate() {
        let subject = event.subject.clone().unwrap_or_default();
        let order = orders.entry(subject.clone()).or_default();
        let made = purchase(&event, &subject, *order, row)?;
        if subject == CUSTOMER && *order == LATE {
            late = Some(made);
        } else {
            events.push(made);
        }
        *order += 1;
    }
    let late =
        late.ok_or_else(|| Error::unavailable(format!("{CUSTOMER} has too few purchases")))?;
    Ok(Purchases { events, late })
}

/// A purchase as the shop would publish it: what changed about the customer.
fn purchase(row: &NewEvent, subject: &str, order: usize, number: usize) -> Result<NewEvent> {
    let malformed = || Error::unavailable(format!("purchase {number} is malformed"));
    let foretell_types::Data::Json(text) = &row.data else {
        return Err(malformed());
    };
    let fields: Value = serde_json::from_str(text).map_err(|_| malformed())?;
    let date = row.time.map(|time| time.to_string()).unwrap_or_default();
    let date = date.get(..10).unwrap_or("");
    let key = format!("{date}#{}", order + 1);
    let data = json!({
        "customer_id": subject.strip_prefix("customer/").unwrap_or(subject),
        "order": key,
        "date": date,
        "cds": fields["number_of_cds"],
        "dollars": fields["dollar_value"],
        "orders": { key: { "cds": fields["number_of_cds"], "dollars": fields["dollar_value"] } },
    });
    Ok(NewEvent {
        id: format!("cdnow-{number}"),
        data: foretell_types::Data::Json(data.to_string()),
        ..row.clone()
    })
}

/// Events in the Event Grid schema, so many to a request.
pub fn batches(events: &[NewEvent], size: usize) -> Vec<Batch> {
    events
        .chunks(size)
        .map(|chunk| {
            let events: Vec<String> = chunk.iter().map(event_grid).collect();
            Batch {
                body: format!("[{}]", events.join(",")),
                events: chunk.len() as u64,
            }
        })
        .collect()
}

/// As a publisher sends it: without `topic` and `metadataVersion`.
fn event_grid(event: &NewEvent) -> String {
    let plain = NewEvent {
        source: String::new(),
        extensions: Vec::new(),
        ..event.clone()
    };
    eventgrid::to_json(&plain, None)
}
