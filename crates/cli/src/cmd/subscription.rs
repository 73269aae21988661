use clap::{Args, Subcommand};
use foretell_protocol::{
    DeliverySchema, Filter, InputSchema, Provisioning, SubscriptionDefinition, SubscriptionFacts,
    Target, Validation, ordering,
};
use http::Method;
use serde_json::Value;

use super::update::{Numbers, SubscriptionUpdate, expiration};
use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, count, line, note, table};

#[derive(Args, Debug)]
pub struct Subscription {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a subscription, or change one: its progress stays.
    Create(Box<Create>),
    /// Change some of a subscription: what isn't named stays, its progress too.
    Update(Box<SubscriptionUpdate>),
    /// List the subscriptions of a topic.
    List { topic: String },
    /// Show a subscription.
    Show { topic: String, name: String },
    /// Delete a subscription and its progress.
    Delete { topic: String, name: String },
    /// Deliver nothing until it is resumed. What receivers hold they can settle.
    Pause { topic: String, name: String },
    /// Go on where it was paused.
    Resume { topic: String, name: String },
    /// Deliver again, marked as replayed, what was delivered or is under way.
    Rewind {
        topic: String,
        name: String,
        /// The first to be delivered: beginning, a position, or a time (what was recorded then or
        /// later).
        #[arg(long, value_name = "PLACE")]
        to: String,
    },
}

#[derive(Args, Debug)]
struct Create {
    topic: String,
    name: String,
    /// Where events go: webhook:URL or function:APP/FUNCTION.
    #[arg(long, value_name = "TARGET", required_unless_present = "pull")]
    to: Option<String>,
    /// Events go nowhere: receivers ask for them (Event Grid's delivery mode Queue).
    #[arg(long, conflicts_with = "to")]
    pull: bool,
    /// How long a received event is locked for its receiver: 60s to 5m.
    #[arg(long, value_name = "TIME", requires = "pull")]
    lock: Option<humantime::Duration>,
    /// Whether an event waits while another of its subject is under way: subject (the default,
    /// but with --pull) or none.
    #[arg(long, value_name = "ORDERING")]
    ordering: Option<String>,
    /// Only events of these types, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    event_types: Vec<String>,
    /// Only events whose subject begins with this (without regard to case, as in Event Grid).
    #[arg(long, default_value = "", value_name = "TEXT")]
    subject_begins_with: String,
    /// Only events whose subject ends with this (likewise).
    #[arg(long, default_value = "", value_name = "TEXT")]
    subject_ends_with: String,
    /// Event Grid's filter object, in place of the three above:
    /// '{"advancedFilters":[{"operatorType":"NumberGreaterThan","key":"data.total","value":100}]}'.
    #[arg(
        long,
        value_name = "JSON",
        conflicts_with_all = ["event_types", "subject_begins_with", "subject_ends_with"]
    )]
    filter: Option<String>,
    #[command(flatten)]
    numbers: Numbers,
    /// The container for dead letters.
    #[arg(long, value_name = "CONTAINER")]
    dead_letter: Option<String>,
    /// Whether the endpoint of a webhook is asked first: auto (unless it is on this machine),
    /// always or never.
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    validation: Validation,
    /// What its events are delivered as: eventgrid, cloudevents or custom; unless it is given, as
    /// they came in.
    #[arg(long, value_name = "SCHEMA")]
    schema: Option<DeliverySchema>,
    /// Labels, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "LABELS")]
    labels: Vec<String>,
    /// When it stops delivering, RFC 3339.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Where a new subscription begins: now, beginning, a position, or a time (with what was
    /// recorded then or later).
    #[arg(long, default_value = "now", value_name = "PLACE")]
    from: String,
}

impl Subscription {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = Client::connect(globals, false).await?;
        let done = self.act(&client, globals.json).await;
        client.close().await;
        done
    }

    async fn act(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let path = |topic: &str, name: &str| {
            format!(
                "/topics/{}/eventSubscriptions/{}",
                encode(topic),
                encode(name)
            )
        };
        match self.action {
            Action::Create(create) => {
                let body = create.body()?;
                let path = format!(
                    "{}?from={}",
                    path(&create.topic, &create.name),
                    encode(&create.from)
                );
                let request = Request::new(Method::PUT, path).json(&body);
                let answer = client.send(request).await?.json().await?;
                if let Some(why) = answer["validation"]["message"].as_str() {
                    note(&format!("nothing is delivered yet: {why}"));
                }
                if let Some(url) = answer["validation"]["url"].as_str() {
                    note(&format!(
                        "to confirm it by hand, open within 10 minutes: {url}"
                    ));
                }
                show(&answer, as_json)
            }
            Action::Update(update) => {
                let path = path(&update.topic, &update.name);
                let known = client.send(Request::get(path.clone())).await?;
                let is_pulled = known.json().await?["to"] == "pull";
                let body = update.body(is_pulled)?;
                let request = Request::new(Method::PATCH, path).json(&body);
                show(&client.send(request).await?.json().await?, as_json)
            }
            Action::List { topic } => {
                let request =
                    Request::get(format!("/topics/{}/eventSubscriptions", encode(&topic)));
                let answer = client.send(request).await?.json().await?;
                if as_json {
                    return line(&answer["value"].to_string());
                }
                let rows: Vec<_> = answer["value"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(row)
                    .collect();
                table(&["SUBSCRIPTION", "TO", "LAG", "BEHIND", "RUNNING"], &rows)
            }
            Action::Show { topic, name } => show(
                &client
                    .send(Request::get(path(&topic, &name)))
                    .await?
                    .json()
                    .await?,
                as_json,
            ),
            Action::Pause { topic, name } => {
                post(client, format!("{}/pause", path(&topic, &name)), as_json).await
            }
            Action::Resume { topic, name } => {
                post(client, format!("{}/resume", path(&topic, &name)), as_json).await
            }
            Action::Rewind { topic, name, to } => {
                let path = format!("{}/rewind?to={}", path(&topic, &name), encode(&to));
                post(client, path, as_json).await
            }
            Action::Delete { topic, name } => {
                let request = Request::new(Method::DELETE, path(&topic, &name));
                let answer = client.send(request).await?.json().await?;
                line(&if as_json {
                    answer.to_string()
                } else {
                    format!("subscription {name} is deleted")
                })
            }
        }
    }
}

async fn post(client: &Client, path: String, as_json: bool) -> Result<(), Failure> {
    let answer = client.send(Request::post(path)).await?.json().await?;
    show(&answer, as_json)
}

impl Create {
    /// The subscription in the JSON of Event Grid's resource model.
    fn body(&self) -> Result<Value, Failure> {
        let mut definition = SubscriptionDefinition::new(match &self.to {
            Some(to) => to.parse().map_err(usage)?,
            None => Target::Pull,
        });
        definition.filter = match &self.filter {
            Some(text) => parse_filter(text)?,
            None => Filter {
                included_event_types: self.event_types.clone(),
                subject_begins_with: self.subject_begins_with.clone(),
                subject_ends_with: self.subject_ends_with.clone(),
                ..Filter::default()
            },
        };
        if let Some(attempts) = self.numbers.max_delivery_attempts {
            definition.max_delivery_attempts = attempts;
        }
        if let Some(minutes) = self.numbers.event_ttl_minutes {
            definition.event_ttl_minutes = minutes;
        }
        if let Some(lock) = self.lock {
            definition.lock_seconds = Some(whole_seconds(*lock)?);
        }
        if let Some(text) = &self.ordering {
            definition.ordered = Some(ordering(text).map_err(usage)?);
        }
        definition.dead_letter.clone_from(&self.dead_letter);
        definition.validation = self.validation;
        if let Some(events) = self.numbers.batch {
            definition.max_events_per_batch = events;
        }
        if let Some(size) = self.numbers.batch_kilobytes {
            definition.preferred_batch_kilobytes = size;
        }
        definition.labels.clone_from(&self.labels);
        definition.check(InputSchema::Any).map_err(usage)?;
        definition.schema = self.schema;
        let mut body = resource(&definition);
        if let Some(text) = &self.expires {
            body["properties"]["expirationTimeUtc"] = expiration(text)?.into();
        }
        // The server knows the topic's schema, and so the default.
        if let Some(properties) = body["properties"].as_object_mut()
            && self.schema.is_none()
        {
            properties.remove("eventDeliverySchema");
        }
        Ok(serde_json::json!({ "properties": body["properties"] }))
    }
}

/// The subscription in the JSON of Event Grid's resource model.
fn resource(definition: &SubscriptionDefinition) -> Value {
    definition.to_json(&SubscriptionFacts {
        name: "",
        topic_resource_id: "",
        topic_schema: InputSchema::Any,
        provisioning: &Provisioning::Succeeded,
    })
}

/// The `destination` of a target.
pub fn target(target: &Target) -> Value {
    let definition = SubscriptionDefinition::new(target.clone());
    let mut body = resource(&definition);
    let destination = body["properties"]["destination"].take();
    let mut short = serde_json::json!({ "endpointType": destination["endpointType"] });
    for name in ["endpointUrl", "resourceId"] {
        if let Some(value) = destination["properties"].get(name) {
            short["properties"][name] = value.clone();
        }
    }
    short
}

/// The `deadLetterDestination` of a container.
pub fn dead_letter(container: &str) -> Value {
    serde_json::json!({
        "endpointType": "StorageBlob",
        "properties": { "blobContainerName": container },
    })
}

pub fn usage(error: foretell_types::Error) -> Failure {
    Failure::Usage(error.message().to_owned())
}

pub fn parse_filter(text: &str) -> Result<Filter, Failure> {
    let json: Value = serde_json::from_str(text)
        .map_err(|error| Failure::Usage(format!("--filter is not JSON: {error}")))?;
    Filter::from_json(Some(&json)).map_err(usage)
}

pub fn whole_seconds(time: std::time::Duration) -> Result<u32, Failure> {
    let seconds = u32::try_from(time.as_secs()).ok();
    seconds.filter(|_| time.subsec_nanos() == 0).ok_or_else(|| {
        let time = humantime::format_duration(time);
        Failure::Usage(format!(
            "--lock is {time}: expected whole seconds, 60s to 5m"
        ))
    })
}

fn row(subscription: &Value) -> Vec<String> {
    vec![
        subscription["name"].as_str().unwrap_or("").to_owned(),
        subscription["to"].as_str().unwrap_or("").to_owned(),
        subscription["lag"].as_u64().map_or_else(String::new, count),
        behind(&subscription["behindSeconds"]),
        match subscription["paused"] == true {
            true => "paused".to_owned(),
            false => subscription["running"].to_string(),
        },
    ]
}

/// How long the first event that waits has waited.
fn behind(seconds: &Value) -> String {
    let seconds = seconds.as_f64().map(|s| s.max(0.0) as u64);
    seconds.map_or_else(String::new, |seconds| {
        humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
    })
}

fn show(subscription: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return line(&subscription.to_string());
    }
    let cells = row(subscription);
    for (name, cell) in ["subscription", "to", "lag", "behind", "running"]
        .iter()
        .zip(cells)
    {
        line(&format!("{name:<13} {cell}"))?;
    }
    let properties = &subscription["properties"];
    let state = match subscription["expired"].as_bool() {
        Some(true) => "Expired",
        _ => properties["provisioningState"].as_str().unwrap_or(""),
    };
    line(&format!("{:<13} {state}", "state"))?;
    let probation = &subscription["probation"];
    if let (Some(outcome), Some(until)) =
        (probation["outcome"].as_str(), probation["until"].as_str())
    {
        line(&format!(
            "{:<13} {outcome}: its endpoint is called again at {until}",
            "probation"
        ))?;
    }
    if let Some(rate) = subscription["rate"].as_u64() {
        line(&format!("{:<13} {} requests a minute", "rate", count(rate)))?;
    }
    if let Some(expires) = properties["expirationTimeUtc"].as_str() {
        line(&format!("{:<13} {expires}", "expires"))?;
    }
    let labels = properties["labels"].as_array().into_iter().flatten();
    let labels: Vec<&str> = labels.filter_map(Value::as_str).collect();
    if !labels.is_empty() {
        line(&format!("{:<13} {}", "labels", labels.join(", ")))?;
    }
    let queue = &properties["deliveryConfiguration"]["queue"];
    line(&format!("{:<13} {}", "filter", properties["filter"]))?;
    if queue.is_object() {
        return line(&format!("{:<13} {queue}", "queue"));
    }
    line(&format!("{:<13} {}", "retry", properties["retryPolicy"]))
}
