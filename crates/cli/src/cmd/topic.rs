use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::update::{TopicQuota, TopicTags, TopicUpdate};
use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, count, line, table};

#[derive(Args, Debug)]
pub struct Topic {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a topic.
    Create {
        name: String,
        /// What it takes: `any` tells the schemas apart by content type and shape.
        #[arg(long, default_value = "any", value_parser = ["any", "eventgrid", "cloudevents", "custom"])]
        input_schema: String,
        /// For custom events: Event Grid's inputSchemaMapping, as JSON.
        #[arg(long, value_name = "JSON")]
        input_mapping: Option<String>,
        /// Encrypt the data of its events under keys of their subjects: `foretell erase` can
        /// destroy these. Every event then needs a subject.
        #[arg(long)]
        erasable: bool,
        #[command(flatten)]
        tags: TopicTags,
        #[command(flatten)]
        quota: TopicQuota,
    },
    /// Change some of a topic: what isn't named stays.
    Update(TopicUpdate),
    /// List the topics.
    List {
        /// The product's own as well.
        #[arg(long)]
        system: bool,
    },
    /// Show a topic.
    Show { name: String },
    /// Delete a topic with all its events and subscriptions, for good.
    Delete {
        name: String,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
    /// Show a topic's keys, or make one anew.
    Keys {
        name: String,
        #[arg(long, value_name = "KEY", value_parser = ["key1", "key2"])]
        regenerate: Option<String>,
    },
}

impl Topic {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        if let Action::Delete { name, yes: false } = &self.action {
            return Err(Failure::Usage(format!(
                "deleting topic {name:?} is final, its events are gone: say --yes if that is meant"
            )));
        }
        let create = matches!(self.action, Action::Create { .. });
        let client = Client::connect(globals, create).await?;
        let done = self.act(&client, globals.json).await;
        client.close().await;
        done
    }

    async fn act(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        match self.action {
            Action::Create {
                name,
                input_schema,
                input_mapping,
                erasable,
                tags,
                quota,
            } => {
                let mut body = definition(&input_schema, input_mapping.as_deref())?;
                if erasable {
                    body["properties"]["erasable"] = true.into();
                }
                tags.put(&mut body);
                quota.put(&mut body)?;
                let request =
                    Request::new(Method::PUT, format!("/topics/{}", encode(&name))).json(&body);
                show(&client.send(request).await?.json().await?, as_json)
            }
            Action::Update(update) => {
                let path = format!("/topics/{}", encode(&update.name));
                let request = Request::new(Method::PATCH, path).json(&update.body()?);
                show(&client.send(request).await?.json().await?, as_json)
            }
            Action::List { system } => {
                let answer = client
                    .send(Request::get(format!("/topics?system={system}")))
                    .await?
                    .json()
                    .await?;
                if as_json {
                    return line(&answer.to_string());
                }
                let rows: Vec<_> = answer.as_array().into_iter().flatten().map(row).collect();
                table(&["TOPIC", "EVENTS", "STREAMS", "SCHEMA", "CREATED"], &rows)
            }
            Action::Show { name } => show(
                &client
                    .send(Request::get(format!("/topics/{}", encode(&name))))
                    .await?
                    .json()
                    .await?,
                as_json,
            ),
            Action::Delete { name, .. } => {
                let request = Request::new(Method::DELETE, format!("/topics/{}", encode(&name)));
                let answer = client.send(request).await?.json().await?;
                line(&if as_json {
                    answer.to_string()
                } else {
                    format!("topic {name} is deleted")
                })
            }
            Action::Keys { name, regenerate } => {
                let path = format!("/topics/{}", encode(&name));
                let request = match regenerate {
                    Some(key) => Request::post(format!("{path}/regenerateKey"))
                        .json(&json!({ "keyName": key })),
                    None => Request::post(format!("{path}/listKeys")),
                };
                let answer = client.send(request).await?.json().await?;
                if as_json {
                    return line(&answer.to_string());
                }
                for key in ["key1", "key2"] {
                    line(&format!("{key}  {}", answer[key].as_str().unwrap_or("")))?;
                }
                Ok(())
            }
        }
    }
}

/// The topic in the JSON of Event Grid's resource model.
fn definition(schema: &str, mapping: Option<&str>) -> Result<Value, Failure> {
    let schema = match schema {
        "eventgrid" => "EventGridSchema",
        "cloudevents" => "CloudEventSchemaV1_0",
        "custom" => "CustomEventSchema",
        _ => "Any",
    };
    let mut body = json!({ "properties": { "inputSchema": schema } });
    if let Some(text) = mapping {
        let mapping: Value = serde_json::from_str(text)
            .map_err(|error| Failure::Usage(format!("--input-mapping is not JSON: {error}")))?;
        body["properties"]["inputSchemaMapping"] = mapping;
    }
    Ok(body)
}

fn row(topic: &Value) -> Vec<String> {
    vec![
        topic["name"].as_str().unwrap_or("").to_owned(),
        count(topic["head"].as_u64().unwrap_or(0)),
        count(topic["streams"].as_u64().unwrap_or(0)),
        topic["properties"]["inputSchema"]
            .as_str()
            .unwrap_or("")
            .to_owned(),
        topic["created"].as_str().unwrap_or("").to_owned(),
    ]
}

fn show(topic: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return line(&topic.to_string());
    }
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    line(&format!("topic     {}", text(&topic["name"])))?;
    line(&format!(
        "endpoint  {}",
        text(&topic["properties"]["endpoint"])
    ))?;
    line(&format!(
        "schema    {}",
        text(&topic["properties"]["inputSchema"])
    ))?;
    if topic["properties"]["erasable"] == true {
        line("erasable  yes")?;
    }
    for (name, value) in topic["tags"].as_object().into_iter().flatten() {
        line(&format!("tag       {name}={}", text(value)))?;
    }
    if topic["properties"]["quota"].is_object() {
        line(&format!("quota     {}", topic["properties"]["quota"]))?;
    }
    line(&format!(
        "events    {}",
        count(topic["head"].as_u64().unwrap_or(0))
    ))?;
    line(&format!(
        "streams   {}",
        count(topic["streams"].as_u64().unwrap_or(0))
    ))?;
    line(&format!("id        {}", text(&topic["id"])))
}
