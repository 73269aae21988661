use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use foretell_types::Error;
use serde_json::Value;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, line, table};

#[derive(Args, Debug)]
pub struct Function {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List the functions that the server runs.
    List,
    /// Call a function with an event and show what it returns; nothing of it is applied.
    Invoke {
        /// APP/FUNCTION
        function: String,
        /// A file with one event, in either schema; - for the standard input.
        #[arg(default_value = "-")]
        event: PathBuf,
    },
    /// The last log lines of an app or of one function.
    Logs {
        /// APP or APP/FUNCTION
        name: String,
        #[arg(long, default_value_t = 100, value_name = "N")]
        last: usize,
    },
}

impl Function {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = Client::connect(globals, false).await?;
        let done = self.act(&client, globals.json).await;
        client.close().await;
        done
    }

    async fn act(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        match self.action {
            Action::List => {
                let answer = client
                    .send(Request::get("/functions"))
                    .await?
                    .json()
                    .await?;
                if as_json {
                    return line(&answer.to_string());
                }
                list(&answer)
            }
            Action::Invoke { function, event } => {
                let (app, function) = function
                    .split_once('/')
                    .ok_or_else(|| Failure::Usage(format!("{function:?} is not APP/FUNCTION")))?;
                let body = read_input(&event)?;
                let path = format!("/functions/{}/{}/invoke", encode(app), encode(function));
                let answer = client
                    .send(Request::post(path).body("application/json", body))
                    .await?;
                let answer = answer.json().await?;
                line(&if as_json {
                    answer.to_string()
                } else {
                    serde_json::to_string_pretty(&answer).unwrap_or_default()
                })
            }
            Action::Logs { name, last } => {
                let (app, function) = name
                    .split_once('/')
                    .map_or((&*name, None), |(a, f)| (a, Some(f)));
                let mut path = format!("/functions/{}/logs?last={last}", encode(app));
                if let Some(function) = function {
                    path.push_str(&format!("&function={}", encode(function)));
                }
                let answer = client.send(Request::get(path)).await?.json().await?;
                for entry in answer.as_array().into_iter().flatten() {
                    if as_json {
                        line(&entry.to_string())?;
                    } else {
                        let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
                        line(&format!(
                            "{}  {:<7} {}  {}",
                            text("time"),
                            text("level"),
                            text("function"),
                            text("message")
                        ))?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn list(apps: &Value) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for app in apps.as_array().into_iter().flatten() {
        let name = app["name"].as_str().unwrap_or("");
        let state = |value: &Value| match (value["status"].as_str(), value["reason"].as_str()) {
            (Some(status), Some(reason)) => {
                format!("{status}: {}", reason.trim().lines().last().unwrap_or(""))
            }
            (status, _) => status.unwrap_or("").to_owned(),
        };
        let functions = app["functions"].as_array();
        for function in functions.into_iter().flatten() {
            let path = format!("{name}/{}", function["name"].as_str().unwrap_or(""));
            rows.push(vec![
                path,
                function["trigger"].as_str().unwrap_or("").to_owned(),
                state(function),
            ]);
        }
        if functions.is_none_or(Vec::is_empty) {
            rows.push(vec![name.to_owned(), "-".to_owned(), state(&app["state"])]);
        }
    }
    table(&["FUNCTION", "TRIGGER", "STATE"], &rows)
}

fn read_input(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| Error::io(format_args!("can't read {}", path.display()), error))?;
    Ok(bytes)
}
