//! What `foretell topic update` and `foretell subscription update` change: merge patches.

use clap::Args;
use foretell_protocol::{DeliverySchema, Filter, Target, ordering};
use foretell_types::Timestamp;
use serde_json::{Map, Value, json};

use super::subscription::{dead_letter, parse_filter, target, usage, whole_seconds};
use crate::output::Failure;

/// What takes a property back.
const NONE: &str = "none";

#[derive(Args, Debug)]
pub struct TopicUpdate {
    pub name: String,
    #[command(flatten)]
    pub tags: TopicTags,
    #[command(flatten)]
    pub quota: TopicQuota,
}

#[derive(Args, Debug)]
pub struct TopicTags {
    /// A tag, NAME=VALUE; without a value the tag is removed. Can be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

#[derive(Args, Debug)]
pub struct TopicQuota {
    /// Events that it takes each second, or none for no such quota.
    #[arg(long, value_name = "N")]
    events_per_second: Option<String>,
    /// Bytes that it takes each second, or none.
    #[arg(long, value_name = "N")]
    bytes_per_second: Option<String>,
}

impl TopicTags {
    /// Puts the tags into the body of a request.
    pub fn put(&self, body: &mut Value) {
        for tag in &self.tags {
            let (name, value) = match tag.split_once('=') {
                Some((name, value)) => (name, value.into()),
                None => (tag.as_str(), Value::Null),
            };
            body["tags"][name] = value;
        }
    }
}

impl TopicQuota {
    /// Puts the quota into the body of a request.
    pub fn put(&self, body: &mut Value) -> Result<(), Failure> {
        for (flag, name, given) in [
            (
                "--events-per-second",
                "eventsPerSecond",
                &self.events_per_second,
            ),
            (
                "--bytes-per-second",
                "bytesPerSecond",
                &self.bytes_per_second,
            ),
        ] {
            let Some(text) = given else { continue };
            body["properties"]["quota"][name] = match text.as_str() {
                NONE => Value::Null,
                text => text.parse::<u32>().map(Value::from).map_err(|_| {
                    Failure::Usage(format!("{flag} is {text:?}: expected a number or {NONE}"))
                })?,
            };
        }
        Ok(())
    }
}

impl TopicUpdate {
    pub fn body(&self) -> Result<Value, Failure> {
        let mut body = json!({});
        self.tags.put(&mut body);
        self.quota.put(&mut body)?;
        something(body)
    }
}

/// How often, how long and how many at a time.
#[derive(Args, Debug)]
pub struct Numbers {
    /// Attempts, or deliveries by pull, before an event is dead-lettered.
    #[arg(long, value_name = "N")]
    pub max_delivery_attempts: Option<u32>,
    /// Minutes before an undelivered event is dead-lettered.
    #[arg(long, value_name = "N")]
    pub event_ttl_minutes: Option<u32>,
    /// Events of one request to a webhook, at most.
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// The size that such a request should have.
    #[arg(long, value_name = "N")]
    pub batch_kilobytes: Option<u32>,
}

#[derive(Args, Debug)]
pub struct SubscriptionUpdate {
    pub topic: String,
    pub name: String,
    /// Where events go: webhook:URL or function:APP/FUNCTION.
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Only events of these types, separated by commas; none for all.
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    event_types: Vec<String>,
    /// Only events whose subject begins with this; "" for all.
    #[arg(long, value_name = "TEXT")]
    subject_begins_with: Option<String>,
    /// Only events whose subject ends with this; "" for all.
    #[arg(long, value_name = "TEXT")]
    subject_ends_with: Option<String>,
    /// Event Grid's filter object, in place of the whole filter; none for all events.
    #[arg(
        long,
        value_name = "JSON",
        conflicts_with_all = ["event_types", "subject_begins_with", "subject_ends_with"]
    )]
    filter: Option<String>,
    /// Labels, separated by commas, in place of those that are there; none for no label.
    #[arg(long, value_delimiter = ',', value_name = "LABELS")]
    labels: Vec<String>,
    /// When it stops delivering, RFC 3339; none for never.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    numbers: Numbers,
    /// The container for dead letters; none for the one that all share.
    #[arg(long, value_name = "CONTAINER")]
    dead_letter: Option<String>,
    /// What its events are delivered as: eventgrid, cloudevents or custom.
    #[arg(long, value_name = "SCHEMA")]
    schema: Option<DeliverySchema>,
    /// By pull: how long a received event is locked, 60s to 5m.
    #[arg(long, value_name = "TIME")]
    lock: Option<humantime::Duration>,
    /// Whether an event waits while another of its subject is under way: none or subject.
    #[arg(long, value_name = "ORDERING")]
    ordering: Option<String>,
}

impl SubscriptionUpdate {
    /// The update of a subscription that pulls its events, or pushes them.
    pub fn body(&self, is_pulled: bool) -> Result<Value, Failure> {
        let mut properties = Map::new();
        if let Some(filter) = self.filter()? {
            properties.insert("filter".to_owned(), filter);
        }
        if !self.labels.is_empty() {
            let none = self.labels == [NONE];
            let labels = if none { json!([]) } else { json!(self.labels) };
            properties.insert("labels".to_owned(), labels);
        }
        if let Some(schema) = self.schema {
            properties.insert("eventDeliverySchema".to_owned(), schema.arm().into());
        }
        if let Some(text) = &self.expires {
            let expires = match text.as_str() {
                NONE => Value::Null,
                text => expiration(text)?.into(),
            };
            properties.insert("expirationTimeUtc".to_owned(), expires);
        }
        let more = match is_pulled && self.to.is_none() {
            true => self.queue()?,
            false => self.push()?,
        };
        properties.extend(more);
        something(Value::Object(properties)).map(|properties| json!({ "properties": properties }))
    }

    fn filter(&self) -> Result<Option<Value>, Failure> {
        if let Some(text) = &self.filter {
            let filter = match text.as_str() {
                NONE => Filter::default(),
                text => parse_filter(text)?,
            };
            let mut filter = filter.to_json();
            // What the update leaves out would stay.
            for name in ["advancedFilters", "enableAdvancedFilteringOnArrays"] {
                if filter.get(name).is_none() {
                    filter[name] = Value::Null;
                }
            }
            return Ok(Some(filter));
        }
        let mut filter = Map::new();
        match &self.event_types[..] {
            [] => {}
            [none] if none == NONE => {
                filter.insert("includedEventTypes".to_owned(), Value::Null);
            }
            types => {
                filter.insert("includedEventTypes".to_owned(), json!(types));
            }
        }
        for (name, given) in [
            ("subjectBeginsWith", &self.subject_begins_with),
            ("subjectEndsWith", &self.subject_ends_with),
        ] {
            if let Some(text) = given {
                filter.insert(name.to_owned(), text.as_str().into());
            }
        }
        Ok((!filter.is_empty()).then_some(Value::Object(filter)))
    }

    fn push(&self) -> Result<Map<String, Value>, Failure> {
        if self.lock.is_some() {
            return Err(Failure::Usage(
                "--lock is for subscriptions that are pulled".to_owned(),
            ));
        }
        let mut body = json!({});
        if let Some(to) = &self.to {
            let to: Target = to.parse().map_err(usage)?;
            if to == Target::Pull {
                return Err(Failure::Usage(
                    "--to pull: make the subscription anew with `foretell subscription create --pull`, its progress stays".to_owned(),
                ));
            }
            body["destination"] = target(&to);
        }
        for (name, given) in [
            ("maxEventsPerBatch", self.numbers.batch),
            (
                "preferredBatchSizeInKilobytes",
                self.numbers.batch_kilobytes,
            ),
        ] {
            if let Some(given) = given {
                body["destination"]["properties"][name] = given.into();
            }
        }
        if let Some(text) = &self.ordering {
            let subject = ordering(text).map_err(usage)?;
            let text = if subject { "subject" } else { NONE };
            body["destination"]["properties"]["ordering"] = text.into();
        }
        for (name, given) in [
            ("maxDeliveryAttempts", self.numbers.max_delivery_attempts),
            ("eventTimeToLiveInMinutes", self.numbers.event_ttl_minutes),
        ] {
            if let Some(given) = given {
                body["retryPolicy"][name] = given.into();
            }
        }
        if let Some(container) = &self.dead_letter {
            body["deadLetterDestination"] = container_or_none(container);
        }
        Ok(members(body))
    }

    fn queue(&self) -> Result<Map<String, Value>, Failure> {
        if self.numbers.batch.is_some() || self.numbers.batch_kilobytes.is_some() {
            return Err(Failure::Usage(
                "--batch and --batch-kilobytes are for webhooks, and the subscription is pulled"
                    .to_owned(),
            ));
        }
        let mut queue = Map::new();
        if let Some(lock) = self.lock {
            let seconds = whole_seconds(*lock)?;
            queue.insert("receiveLockDurationInSeconds".to_owned(), seconds.into());
        }
        if let Some(text) = &self.ordering {
            let subject = ordering(text).map_err(usage)?;
            let text = if subject { "subject" } else { NONE };
            queue.insert("ordering".to_owned(), text.into());
        }
        if let Some(count) = self.numbers.max_delivery_attempts {
            queue.insert("maxDeliveryCount".to_owned(), count.into());
        }
        if let Some(minutes) = self.numbers.event_ttl_minutes {
            queue.insert("eventTimeToLive".to_owned(), format!("PT{minutes}M").into());
        }
        if let Some(container) = &self.dead_letter {
            let letters = json!({ "deadLetterDestination": container_or_none(container) });
            let name = "deadLetterDestinationWithResourceIdentity";
            queue.insert(name.to_owned(), letters);
        }
        Ok(match queue.is_empty() {
            true => queue,
            false => members(json!({ "deliveryConfiguration": { "queue": queue } })),
        })
    }
}

/// A time of expiration as the resource has it.
pub fn expiration(text: &str) -> Result<String, Failure> {
    let time = Timestamp::from_text_or_utc(text);
    let time = time.map_err(|error| Failure::Usage(format!("--expires: {error}")))?;
    Ok(time.to_string())
}

fn container_or_none(container: &str) -> Value {
    match container {
        NONE => Value::Null,
        container => dead_letter(container),
    }
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn something(body: Value) -> Result<Value, Failure> {
    match body.as_object().is_some_and(Map::is_empty) {
        true => Err(Failure::Usage(
            "nothing is to be changed: say what, see --help".to_owned(),
        )),
        false => Ok(body),
    }
}
