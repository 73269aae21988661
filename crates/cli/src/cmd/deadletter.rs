use clap::{Args, Subcommand};
use serde_json::Value;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, line, table};

#[derive(Args, Debug)]
pub struct Deadletter {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List the dead letters that were not replayed.
    List(Filter),
    /// Send dead letters through their subscription again.
    Replay(Filter),
}

#[derive(Args, Debug)]
struct Filter {
    /// Of this topic.
    topic: Option<String>,
    /// Of this subscription.
    subscription: Option<String>,
    /// With this subject.
    #[arg(long, value_name = "S")]
    subject: Option<String>,
    /// At this position.
    #[arg(long, value_name = "P")]
    position: Option<u64>,
    /// Of events of this type.
    #[arg(long = "type", value_name = "T")]
    event_type: Option<String>,
    /// Given up for this reason: MaxDeliveryAttemptsExceeded, TimeToLiveExceeded, …
    #[arg(long, value_name = "R")]
    reason: Option<String>,
    /// Given up then or later: a date or RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Given up then or earlier.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Filter {
    fn query(&self) -> String {
        let mut query = String::from("?");
        for (name, value) in [
            ("topic", &self.topic),
            ("subscription", &self.subscription),
            ("subject", &self.subject),
            ("type", &self.event_type),
            ("reason", &self.reason),
            ("since", &self.since),
            ("until", &self.until),
        ] {
            if let Some(value) = value {
                query.push_str(&format!("{name}={}&", encode(value)));
            }
        }
        if let Some(position) = self.position {
            query.push_str(&format!("position={position}"));
        }
        query
    }
}

impl Deadletter {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = Client::connect(globals, false).await?;
        let done = self.act(&client, globals.json).await;
        client.close().await;
        done
    }

    async fn act(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        match self.action {
            Action::List(filter) => {
                let answer = client
                    .send(Request::get(format!("/deadletters{}", filter.query())))
                    .await?
                    .json()
                    .await?;
                if as_json {
                    return line(&answer.to_string());
                }
                let rows: Vec<_> = answer.as_array().into_iter().flatten().map(row).collect();
                table(
                    &[
                        "TOPIC",
                        "SUBSCRIPTION",
                        "POSITION",
                        "REASON",
                        "ATTEMPTS",
                        "OUTCOME",
                        "BLOB",
                    ],
                    &rows,
                )
            }
            Action::Replay(filter) => {
                let request = Request::post(format!("/deadletters/replay{}", filter.query()));
                let answer = client.send(request).await?.json().await?;
                line(&if as_json {
                    answer.to_string()
                } else {
                    format!("{} dead letters are sent again", answer["replayed"])
                })
            }
        }
    }
}

fn row(letter: &Value) -> Vec<String> {
    [
        "topic",
        "subscription",
        "position",
        "reason",
        "attempts",
        "last_outcome",
        "blob",
    ]
    .iter()
    .map(|name| match &letter[*name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
    .collect()
}
