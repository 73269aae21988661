use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, count, line, table};

#[derive(Args, Debug)]
pub struct Projection {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List the projections and how far they are.
    List,
    /// A projection: its definition, the types of its columns, how far it is.
    Show { name: String },
    /// Define a projection by a file with CREATE PROJECTION, or change it.
    Create { name: String, file: PathBuf },
    /// Build a projection anew, while the present one goes on answering.
    Rebuild { name: String },
    /// Delete a projection and what it keeps. Events stay.
    Delete { name: String },
}

impl Projection {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = Client::connect(globals, false).await?;
        let done = self.act(&client, globals.json).await;
        client.close().await;
        done
    }

    async fn act(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let path = |name: &str| format!("/projections/{}", encode(name));
        let request = match &self.action {
            Action::List => Request::get("/projections"),
            Action::Show { name } => Request::get(path(name)),
            Action::Rebuild { name } => Request::post(path(name) + "/rebuild"),
            Action::Delete { name } => Request::new(Method::DELETE, path(name)),
            Action::Create { name, file } => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    foretell_types::Error::io(format_args!("can't read {}", file.display()), error)
                })?;
                Request::new(Method::PUT, path(name)).body("application/sql", text)
            }
        };
        let answer = client.send(request).await?.json().await?;
        if as_json {
            return line(&answer.to_string());
        }
        match self.action {
            Action::List => {
                let rows: Vec<Vec<String>> =
                    answer.as_array().into_iter().flatten().map(row).collect();
                table(&["NAME", "FOLDED", "EVENTS", "STATE"], &rows)
            }
            Action::Delete { name } => line(&format!("deleted projection {name}")),
            _ => {
                table(&["NAME", "FOLDED", "EVENTS", "STATE"], &[row(&answer)])?;
                let columns = answer["columns"].as_array().into_iter().flatten();
                let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
                let columns: Vec<_> = columns
                    .map(|column| vec![text(&column["name"]), text(&column["type"])])
                    .collect();
                line("")?;
                table(&["COLUMN", "TYPE"], &columns)?;
                line("")?;
                line(answer["definition"].as_str().unwrap_or("").trim_end())
            }
        }
    }
}

fn row(projection: &Value) -> Vec<String> {
    let status = &projection["status"];
    let topics = status["topics"].as_array().into_iter().flatten();
    let folded: Vec<String> = topics
        .map(|topic| {
            format!(
                "{}: {} of {}",
                topic["name"].as_str().unwrap_or("-"),
                topic["position"],
                topic["head"]
            )
        })
        .collect();
    let state = match (status["trouble"].as_str(), status["complete"].as_bool()) {
        (Some(trouble), _) => format!("stopped: {trouble}"),
        (None, _) if !projection["rebuilding"].is_null() => {
            format!(
                "answers; {} events of the next one folded",
                projection["rebuilding"]["events"]
            )
        }
        (None, Some(true)) => "answers".to_owned(),
        _ => "being built".to_owned(),
    };
    vec![
        projection["name"].as_str().unwrap_or("-").to_owned(),
        folded.join(", "),
        count(status["events"].as_u64().unwrap_or(0)),
        state,
    ]
}
