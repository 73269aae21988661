use clap::Args;
use foretell_state::{Field, Moment};
use futures::StreamExt;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::explained;
use crate::output::{Failure, line, or_dash, pretty};

#[derive(Args, Debug)]
pub struct State {
    topic: String,
    /// The subject, or the key of the projection; left out with --all.
    #[arg(required_unless_present = "all")]
    subject: Option<String>,
    /// What was true at this time (RFC 3339, or a date), or as known at this position.
    #[arg(long, value_name = "TIME|POSITION")]
    at: Option<String>,
    /// As it was known at this position or time.
    #[arg(long, value_name = "TIME|POSITION")]
    known_at: Option<String>,
    /// The projection that folds the events.
    #[arg(long, default_value = "merge", value_name = "NAME")]
    projection: String,
    /// The instant that windows end at, if no time is asked for.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// The states of all keys of a projection, one JSON object a line.
    #[arg(long, conflicts_with = "subject")]
    all: bool,
    /// What differs in the state between two times, or between what was known at two positions.
    #[arg(
        long,
        num_args = 2,
        value_names = ["TIME|POSITION", "TIME|POSITION"],
        conflicts_with = "all"
    )]
    diff: Option<Vec<String>>,
    /// The events that a field comes from, or with --diff those that make its difference: a
    /// column of a projection, or a field of merged data, as in address.city.
    #[arg(long, value_name = "FIELD", conflicts_with = "all")]
    why: Option<String>,
}

/// The part of the answer whose numbers keep their digits.
#[derive(serde::Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    state: &'a RawValue,
}

impl State {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        // topic=position is for the server to read: it knows the projection's topics.
        let known_at = self.known_at.as_deref().filter(|text| !text.contains('='));
        let at = self.at.as_deref();
        let moment = match self.diff.as_deref() {
            Some([one, other]) => Moment::parse_pair((one, other), at, known_at).map(drop),
            _ => Moment::parse(at, known_at).map(drop),
        };
        let field = self.why.as_deref().map(Field::parse).transpose();
        moment
            .and(field.map(drop))
            .map_err(|error| Failure::Usage(error.message().to_owned()))?;
        if self.all && self.projection == "merge" {
            let message = "--all takes the keys of a projection: name one with --projection";
            return Err(Failure::Usage(message.to_owned()));
        }
        let client = Client::connect(globals, false).await?;
        if self.all {
            let listed = self.list(&client).await;
            client.close().await;
            return listed;
        }
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
        if self.diff.is_some() {
            return explained::difference(&self.topic, &text);
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let state = serde_json::from_str::<Shown<'_>>(&text).map_or_else(
            |_| answer["state"].to_string(),
            |shown| shown.state.get().to_owned(),
        );
        line(&format!(
            "{} in {}, at {}, known at {}: position {}, revision {}",
            self.subject.as_deref().unwrap_or(""),
            self.topic,
            answer["at"].as_str().unwrap_or("any time"),
            or_dash(&answer["known_at"]),
            or_dash(&answer["position"]),
            or_dash(&answer["revision"]),
        ))?;
        line(&pretty(&state))?;
        explained::why(&text)
    }

    async fn list(&self, client: &Client) -> Result<(), Failure> {
        let mut path = format!("/projections/{}/state?", encode(&self.projection));
        self.add_moment(&mut path);
        let mut lines = client.send(Request::get(path)).await?.lines();
        while let Some(text) = lines.next().await {
            line(&text?)?;
        }
        Ok(())
    }

    fn path(&self) -> String {
        let mut path = format!(
            "/topics/{}/state?subject={}&projection={}",
            encode(&self.topic),
            encode(self.subject.as_deref().unwrap_or("")),
            encode(&self.projection)
        );
        self.add_moment(&mut path);
        path
    }

    fn add_moment(&self, path: &mut String) {
        let moment = [
            ("at", &self.at),
            ("known_at", &self.known_at),
            ("as_of", &self.as_of),
            ("diff", &self.diff.as_ref().map(|pair| pair.join(","))),
            ("why", &self.why),
        ];
        for (name, value) in moment {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
    }
}
