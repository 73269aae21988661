use clap::Args;
use foretell_state::Moment;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, line, pretty};

#[derive(Args, Debug)]
pub struct State {
    topic: String,
    subject: String,
    /// What was true at this time (RFC 3339, or a date), or as known at this position.
    #[arg(long, value_name = "TIME|POSITION")]
    at: Option<String>,
    /// As it was known at this position or time.
    #[arg(long, value_name = "TIME|POSITION")]
    known_at: Option<String>,
    /// The projection that folds the events.
    #[arg(long, default_value = "merge", value_name = "NAME")]
    projection: String,
}

/// The part of the answer whose numbers keep their digits.
#[derive(serde::Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    state: &'a RawValue,
}

impl State {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        Moment::parse(self.at.as_deref(), self.known_at.as_deref())
            .map_err(|error| Failure::Usage(error.message().to_owned()))?;
        let client = Client::connect(globals, false).await?;
        let answer = client.send(Request::get(self.path())).await;
        let text = match answer {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        };
        client.close().await;
        let text = String::from_utf8_lossy(&text?).into_owned();
        if globals.json {
            // As it came: numbers keep their digits.
            return line(&text);
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let state = serde_json::from_str::<Shown<'_>>(&text).map_or_else(
            |_| answer["state"].to_string(),
            |shown| shown.state.get().to_owned(),
        );
        let or_dash = |value: &Value| match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        line(&format!(
            "{} in {}, at {}, known at {}: position {}, revision {}",
            self.subject,
            self.topic,
            answer["at"].as_str().unwrap_or("any time"),
            or_dash(&answer["known_at"]),
            or_dash(&answer["position"]),
            or_dash(&answer["revision"]),
        ))?;
        line(&pretty(&state))
    }

    fn path(&self) -> String {
        let mut path = format!(
            "/topics/{}/state?subject={}&projection={}",
            encode(&self.topic),
            encode(&self.subject),
            encode(&self.projection)
        );
        for (name, value) in [("at", &self.at), ("known_at", &self.known_at)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        path
    }
}
