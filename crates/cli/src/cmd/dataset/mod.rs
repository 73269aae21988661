mod build;
mod describe;
mod files;
mod form;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use foretell_types::Error;
use http::Method;
use serde_json::Value;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, line, table};

/// Training sets that are correct at every instant.
#[derive(Args, Debug)]
pub struct Dataset {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Build a dataset of the application, or add the columns of a projection to a table of
    /// instants without any log: each row sees what was known then.
    Build(Box<build::Build>),
    /// List the datasets.
    List,
    /// A dataset: its definition, the types of its columns.
    Show { name: String },
    /// Define a dataset by a file with CREATE DATASET, or change it.
    Create { name: String, file: PathBuf },
    /// Delete the definition of a dataset.
    Delete { name: String },
    /// Shows the columns of a Parquet file: types, nulls, distributions.
    Describe(describe::Describe),
}

impl Dataset {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let json = globals.json;
        match self.action {
            Action::Build(build) => build.run(globals).await,
            Action::Describe(command) => blocking(move || command.run(json)).await,
            action => {
                let client = Client::connect(globals, false).await?;
                let done = act(action, &client, json).await;
                client.close().await;
                done
            }
        }
    }
}

async fn blocking<T: Send + 'static, E: From<Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let message = format!("the work was broken off: {error}");
        Err(Error::unavailable(message).into())
    })
}

async fn act(action: Action, client: &Client, as_json: bool) -> Result<(), Failure> {
    let path = |name: &str| format!("/datasets/{}", encode(name));
    let request = match &action {
        Action::Show { name } => Request::get(path(name)),
        Action::Delete { name } => Request::new(Method::DELETE, path(name)),
        Action::Create { name, file } => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Error::io(format_args!("can't read {}", file.display()), error))?;
            Request::new(Method::PUT, path(name)).body("application/sql", text)
        }
        _ => Request::get("/datasets"),
    };
    let answer = client.send(request).await?.json().await?;
    if as_json {
        return line(&answer.to_string());
    }
    const HEADER: [&str; 4] = ["NAME", "PROJECTION", "AT", "STATE"];
    match action {
        Action::Delete { name } => line(&format!("deleted dataset {name}")),
        Action::Show { .. } | Action::Create { .. } => {
            table(&HEADER, &[row(&answer)])?;
            line("")?;
            if let Some(columns) = answer["columns"].as_array() {
                let columns: Vec<_> = columns
                    .iter()
                    .map(|column| vec![text(&column["name"]), text(&column["type"])])
                    .collect();
                table(&["COLUMN", "TYPE"], &columns)?;
                line("")?;
            }
            line(answer["definition"].as_str().unwrap_or("").trim_end())
        }
        _ => {
            let rows: Vec<Vec<String>> = answer.as_array().into_iter().flatten().map(row).collect();
            table(&HEADER, &rows)
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn row(dataset: &Value) -> Vec<String> {
    let state = match dataset["trouble"].as_str() {
        Some(trouble) => format!("can't be built: {trouble}"),
        None => "ready".to_owned(),
    };
    vec![
        text(&dataset["name"]),
        text(&dataset["projection"]),
        text(&dataset["instants"]),
        state,
    ]
}
