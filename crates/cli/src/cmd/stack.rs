use clap::{Args, Subcommand};
use foretell_provision::{Properties, StackStore, Value, outputs};
use foretell_types::Error;
use serde_json::json;

use crate::Globals;
use crate::client::Client;
use crate::output::{Failure, line, table};
use crate::provision::{Program, Server, outputs_json, outputs_text};

#[derive(Args, Debug)]
pub struct Stack {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show what a stack exports, or one output of it.
    Output {
        #[command(flatten)]
        program: Program,
        /// This output alone.
        name: Option<String>,
        /// Show secret values.
        #[arg(long)]
        show_secrets: bool,
    },
    /// List the stacks of all projects.
    Ls,
}

impl Stack {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let server = Server::new(Client::connect(globals, false).await?);
        let done = self.act(&server, globals).await;
        server.close().await;
        done
    }

    async fn act(self, server: &Server, globals: &Globals) -> Result<(), Failure> {
        match self.action {
            Action::Ls => {
                let names = server.list().await?;
                if globals.json {
                    let names: Vec<_> = names
                        .iter()
                        .map(|name| json!({ "project": name.project, "stack": name.stack }))
                        .collect();
                    return line(&json!(names).to_string());
                }
                let rows: Vec<_> = names
                    .into_iter()
                    .map(|name| vec![name.project, name.stack])
                    .collect();
                table(&["PROJECT", "STACK"], &rows)
            }
            Action::Output {
                program,
                name,
                show_secrets,
            } => {
                let (_, stack) = program.find()?;
                let all = outputs(server, &stack).await?;
                match name {
                    Some(name) => one(&all, &name, show_secrets, globals.json),
                    None if globals.json => line(&outputs_json(&all, show_secrets).to_string()),
                    None => outputs_text(&all, show_secrets)
                        .iter()
                        .try_for_each(|text| line(text)),
                }
            }
        }
    }
}

fn one(all: &Properties, name: &str, show_secrets: bool, as_json: bool) -> Result<(), Failure> {
    if !all.contains_key(name) {
        let has = all.keys().cloned().collect::<Vec<_>>().join(", ");
        let message = format!("the stack has no output {name:?}; it has {has}");
        return Err(Error::not_found(message).into());
    }
    let shown = outputs_json(all, show_secrets);
    match (&shown[name], all[name].plain()) {
        (serde_json::Value::String(text), Value::String(_)) if !as_json => line(text),
        (value, _) => line(&value.to_string()),
    }
}
