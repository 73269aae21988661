use std::path::{Path, PathBuf};

use clap::Args;
use foretell_log::Hash;
use foretell_protocol::SignedRoot;
use foretell_server::check_proof;
use foretell_types::{Error, ErrorKind, Position, Result};
use serde_json::json;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, line, note};
use crate::root;

/// Prove that an event is in the log, or check such a proof without the log.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  foretell verify --signed-root root.json
  foretell prove shop 4711 --root root.json --out proof.json
  foretell prove --check proof.json --root root.json --public-key KEY")]
pub struct Prove {
    /// The topic.
    #[arg(required_unless_present = "check")]
    topic: Option<String>,
    /// The event's position.
    #[arg(required_unless_present = "check")]
    position: Option<Position>,
    /// Write the proof to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Check the proof in this file; needs no log and no server.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "position"])]
    check: Option<PathBuf>,
    /// A file with a signed root: the proof is made, or checked, by it. A proof can also be checked by
    /// the root itself, 64 hexadecimal digits.
    #[arg(long, value_name = "ROOT|FILE")]
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
        let earlier = self.root.as_deref().map(Path::new);
        let earlier = earlier.map(|file| root::signed(file, self.public_key.as_deref()));
        let earlier = earlier.transpose()?;
        let by = earlier.as_ref().map_or(String::new(), root::parameters);
        let topic = self.topic.unwrap_or_default();
        let position = self.position.unwrap_or(Position::FIRST);
        let client = Client::connect(globals, false).await?;
        let path = format!("/topics/{}/proofs/{position}{by}", encode(&topic));
        let proof = match client.send(Request::get(path)).await {
            Ok(answer) => answer.json().await,
            Err(error) => Err(error),
        };
        client.close().await;
        let proof = proof?;
        let root = proof["root"].as_str().unwrap_or("").to_owned();
        if let Some(earlier) = &earlier
            && earlier.root != root
        {
            let message = "the server is older and proves by its last root alone: use a newer one";
            return Err(Error::new(ErrorKind::NewerFormat, message).into());
        }
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
        let proven = check_proof(&root::json(file)?)?;
        let given = self.given_root()?;
        if let Some(given) = &given
            && given.root != proven.root
        {
            let message = format!(
                "the proof leads to root {}, which is not the given one, {}: it was made when the log had another root, or is of another log; `foretell prove TOPIC POSITION --root FILE` makes one by a signed root",
                proven.root, given.root
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
                    "topic_number": proven.topic,
                    "root": proven.root.to_string(),
                    "trusted": given.as_ref().is_some_and(|given| given.is_trusted),
                    "signed": given.as_ref().and_then(|given| Some(&given.signed.as_ref()?.time)),
                })
                .to_string(),
            );
        }
        line(&format!(
            "position {} of topic number {}: {} {} of {}, id {}",
            event.position,
            proven.topic,
            event.event.event_type,
            event.event.subject.as_deref().unwrap_or("(no subject)"),
            event.event.source,
            event.event.id
        ))?;
        match given {
            Some(Given {
                root,
                signed: Some(signed),
                is_trusted,
            }) => {
                let time = &signed.time;
                line(&format!("is in the log with root {root}, signed at {time}"))?;
                if !is_trusted {
                    note(&format!(
                        "the root names its own key, {}: whether that is your log's is checked with --public-key",
                        signed.public_key
                    ));
                }
                Ok(())
            }
            Some(Given { root, .. }) => line(&format!("is in the log with root {root}")),
            None => line(&format!(
                "is in a log with root {}; compare it with one that you trust (--root)",
                proven.root
            )),
        }
    }

    fn given_root(&self) -> Result<Option<Given>> {
        let Some(given) = &self.root else {
            return Ok(None);
        };
        if let Ok(root) = given.parse() {
            return Ok(Some(Given {
                root,
                signed: None,
                is_trusted: true,
            }));
        }
        let signed = root::signed(Path::new(given), self.public_key.as_deref())?;
        Ok(Some(Given {
            root: signed.root.parse()?,
            signed: Some(signed),
            is_trusted: self.public_key.is_some(),
        }))
    }
}

/// The root that a proof is checked by.
struct Given {
    root: Hash,
    /// As it was signed.
    signed: Option<SignedRoot>,
    /// It was given itself, or signed with a key that was.
    is_trusted: bool,
}
