use std::path::{Path, PathBuf};

use clap::Args;
use foretell_log::Hash;
use foretell_protocol::SignedRoot;
use foretell_server::proof_from_json;
use foretell_types::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, line, note};

/// Prove that an event is in the log, or check such a proof without the log.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  foretell prove shop 4711 --out proof.json
  foretell verify --signed-root root.json
  foretell prove --check proof.json --root root.json")]
pub struct Prove {
    /// The topic.
    #[arg(required_unless_present = "check")]
    topic: Option<String>,
    /// The event's position.
    #[arg(required_unless_present = "check")]
    position: Option<u64>,
    /// Write the proof to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Check the proof in this file; needs no log and no server.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "position"])]
    check: Option<PathBuf>,
    /// The root to check it by: 64 hexadecimal digits, or a file with a signed root.
    #[arg(long, value_name = "ROOT|FILE", requires = "check")]
    root: Option<String>,
    /// The public key that the signed root must be signed with.
    #[arg(long, value_name = "KEY", requires = "root")]
    public_key: Option<String>,
}

impl Prove {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        if let Some(file) = &self.check {
            return self.check(file, globals);
        }
        let (topic, position) = (self.topic.unwrap_or_default(), self.position.unwrap_or(0));
        let client = Client::connect(globals, false).await?;
        let path = format!("/topics/{}/proofs/{position}", encode(&topic));
        let proof = match client.send(Request::get(path)).await {
            Ok(answer) => answer.json().await,
            Err(error) => Err(error),
        };
        client.close().await;
        let proof = proof?;
        let root = proof["root"].as_str().unwrap_or("").to_owned();
        match &self.out {
            Some(file) => {
                std::fs::write(file, format!("{proof:#}\n")).map_err(|error| {
                    Error::io(format_args!("can't write {}", file.display()), error)
                })?;
                if globals.json {
                    return line(&json!({ "out": file, "root": root }).to_string());
                }
                line(&format!(
                    "position {position} of {topic} is proven by root {root}"
                ))?;
                note(&format!(
                    "check it with: foretell prove --check {} --root {root}",
                    file.display()
                ));
                Ok(())
            }
            None => line(&proof.to_string()),
        }
    }

    fn check(&self, file: &Path, globals: &Globals) -> Result<(), Failure> {
        let proven = proof_from_json(&read(file)?)?.check()?;
        let trusted = self.trusted_root()?;
        if let Some((root, _)) = &trusted
            && *root != proven.root
        {
            let message = format!(
                "the proof leads to root {}, which is not the given one, {root}: the log went on, or it is another",
                proven.root
            );
            return Err(Error::new(ErrorKind::Damaged, message).into());
        }
        let event = &proven.event;
        if globals.json {
            return line(
                &json!({
                    "position": event.position.get(),
                    "id": event.event.id,
                    "source": event.event.source,
                    "type": event.event.event_type,
                    "subject": event.event.subject,
                    "root": proven.root.to_string(),
                    "trusted": trusted.is_some(),
                    "signed": trusted.and_then(|(_, time)| time),
                })
                .to_string(),
            );
        }
        line(&format!(
            "position {}: {} {} of {}, id {}",
            event.position,
            event.event.event_type,
            event.event.subject.as_deref().unwrap_or("(no subject)"),
            event.event.source,
            event.event.id
        ))?;
        match trusted {
            Some((root, Some(time))) => {
                line(&format!("is in the log with root {root}, signed at {time}"))
            }
            Some((root, None)) => line(&format!("is in the log with root {root}")),
            None => line(&format!(
                "is in a log with root {}; compare it with one that you trust (--root)",
                proven.root
            )),
        }
    }

    /// The root that is given, and when it was signed if it is a signed one.
    fn trusted_root(&self) -> Result<Option<(Hash, Option<String>)>> {
        let Some(given) = &self.root else {
            return Ok(None);
        };
        if let Ok(root) = given.parse() {
            return Ok(Some((root, None)));
        }
        let signed: SignedRoot = serde_json::from_value(read(Path::new(given))?)
            .map_err(|error| Error::invalid(format!("{given} holds no signed root: {error}")))?;
        signed.check(self.public_key.as_deref())?;
        Ok(Some((signed.root.parse()?, Some(signed.time))))
    }
}

fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::io(format_args!("can't read {}", file.display()), error))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::invalid(format!("{} holds no JSON: {error}", file.display())))
}
