use axum::extract::{Path, Request, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_log::{Hash, Proof, Proven};
use foretell_protocol::Permission;
use foretell_types::{Error, ErrorKind, Position, Result};
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json};
use super::parameters::Parameters;
use super::verify::{ROOT_AT, earlier_root};
use super::{Server, require};
use crate::node::blocking;

const VERSION: u64 = 1;

/// `GET /topics/{topic}/proofs/{position}?leaves=&root=`: by the root that the log has, or had.
pub async fn prove(
    State(node): Server,
    Path((topic, position)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Read, Some(&topic))?;
    let position = position.parse().ok().and_then(Position::new);
    let position = position
        .ok_or_else(|| Error::invalid("a position is a whole number, the first one is 1"))?;
    let earlier = earlier_root(&Parameters::parse(request.uri(), &ROOT_AT)?)?;
    let proof = blocking(move || {
        let proof = match earlier {
            Some(earlier) => node.log.prove_by(&topic, position, earlier)?,
            None => node.log.prove(&topic, position)?,
        };
        proof_to_json(&topic, &proof)
    })
    .await?;
    answer_json(&proof)
}

/// A proof as JSON; what the event says stands in it for people, what counts is its frame.
pub fn proof_to_json(topic: &str, proof: &Proof) -> Result<Value> {
    let proven = proof.check()?;
    let hashes = |hashes: &[Hash]| -> Vec<String> { hashes.iter().map(Hash::to_string).collect() };
    Ok(json!({
        "version": VERSION,
        "topic": topic,
        "position": proven.event.position.get(),
        "root": proven.root.to_string(),
        "leaves": proof.leaves,
        "leaf": proof.leaf,
        "frame": STANDARD.encode(&proof.frame),
        "path": hashes(&proof.path),
        "peaks": hashes(&proof.peaks),
    }))
}

/// Reads what [`proof_to_json`] wrote, and checks it: what it says of the event and its root must be
/// what it shows. It can't show the name of a topic, only its number in the log.
pub fn check_proof(value: &Value) -> Result<Proven> {
    let proven = proof_from_json(value)?.check()?;
    let shown = json!({
        "position": proven.event.position.get(),
        "root": proven.root.to_string(),
    });
    for (name, shown) in shown.as_object().into_iter().flatten() {
        if value[name] != *shown {
            let message = format!(
                "the proof is void: it says {name} {}, and shows {shown}",
                value[name]
            );
            return Err(Error::new(ErrorKind::Damaged, message));
        }
    }
    Ok(proven)
}

fn proof_from_json(value: &Value) -> Result<Proof> {
    let number = |name: &str| {
        let number = value[name].as_u64();
        number.ok_or_else(|| Error::invalid(format!("the proof has no number {name:?}")))
    };
    let hashes = |name: &str| -> Result<Vec<Hash>> {
        let list = value[name].as_array();
        let list = list.ok_or_else(|| Error::invalid(format!("the proof has no list {name:?}")))?;
        list.iter()
            .map(|hash| hash.as_str().unwrap_or("").parse())
            .collect()
    };
    if number("version")? != VERSION {
        return Err(Error::invalid(
            "the proof has another version: use a newer foretell",
        ));
    }
    let frame = value["frame"]
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok());
    Ok(Proof {
        frame: frame.ok_or_else(|| Error::invalid("the proof has no frame in base64"))?,
        leaf: number("leaf")?,
        leaves: number("leaves")?,
        path: hashes("path")?,
        peaks: hashes("peaks")?,
    })
}
