use std::path::PathBuf;

use clap::Args;
use foretell_types::Error;
use serde_json::{Value, json};

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, count, line};

/// Erase the data of subjects, for good: the keys that it is encrypted under are destroyed.
#[derive(Args, Debug)]
#[command(after_help = "The topic must have been made with --erasable.

Examples:
  foretell topic create people --erasable
  foretell erase people person/17 --yes
  foretell erase people person/17 --yes --out certificate.json")]
pub struct Erase {
    topic: String,
    #[arg(required = true)]
    subjects: Vec<String>,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
    /// Write the certificates to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Erase {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        if !self.yes {
            return Err(Failure::Usage(
                "erasing is final, nothing brings the data back: say --yes if that is meant".into(),
            ));
        }
        let client = Client::connect(globals, false).await?;
        let path = format!("/topics/{}/erasures", encode(&self.topic));
        let request = Request::post(path).json(&json!({ "subjects": self.subjects }));
        let answer = match client.send(request).await {
            Ok(answer) => answer.json().await,
            Err(error) => Err(error),
        };
        client.close().await;
        let certificates = answer?;
        if let Some(file) = &self.out {
            std::fs::write(file, format!("{certificates:#}\n")).map_err(|error| {
                Error::io(format_args!("can't write {}", file.display()), error)
            })?;
        }
        if globals.json {
            return line(&certificates.to_string());
        }
        certificates
            .as_array()
            .into_iter()
            .flatten()
            .try_for_each(show)
    }
}

/// A certificate for people.
fn show(certificate: &Value) -> Result<(), Failure> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let number = |value: &Value| count(value.as_u64().unwrap_or(0));
    line(&format!(
        "erased    subject {} of topic {}",
        text(&certificate["subject"]),
        text(&certificate["topic"])
    ))?;
    line(&format!(
        "events    {}, without data now",
        number(&certificate["events"])
    ))?;
    line(&format!("time      {}", text(&certificate["time"])))?;
    line(&format!(
        "key       generation {} in key store {}, destroyed",
        certificate["generation"],
        text(&certificate["keyStore"])
    ))?;
    line(&format!(
        "record    position {} of topic {}",
        certificate["record"]["position"],
        text(&certificate["record"]["topic"])
    ))?;
    line(&format!(
        "log       root {} over {} frames, signed",
        text(&certificate["log"]["root"]),
        number(&certificate["log"]["leaves"])
    ))?;
    for (title, list) in [
        ("What stays readable:", "readable"),
        ("What this does not reach:", "outOfReach"),
    ] {
        line(title)?;
        for item in certificate[list].as_array().into_iter().flatten() {
            line(&format!("  - {}", text(item)))?;
        }
    }
    Ok(())
}
