//! Roots that a log had, as users keep them: signed, in files.

use std::path::Path;

use foretell_protocol::SignedRoot;
use foretell_types::{Error, Result};
use serde_json::Value;

use crate::client::encode;

/// The signed root in a file that `foretell verify --signed-root` or `foretell erase --out` wrote,
/// once its signature was checked.
pub fn signed(file: &Path, public_key: Option<&str>) -> Result<SignedRoot> {
    let value = json(file)?;
    // A certificate holds one, and so does each of several.
    let places = [&value["log"], &value[0]["log"]];
    let found = places.into_iter().find(|place| place.is_object());
    let found = found.unwrap_or(&value).clone();
    let signed: SignedRoot = serde_json::from_value(found).map_err(|error| {
        Error::invalid(format!("{} holds no signed root: {error}", file.display()))
    })?;
    signed.check(public_key)?;
    Ok(signed)
}

/// The parameters of a request that name this root.
pub fn parameters(root: &SignedRoot) -> String {
    format!("?leaves={}&root={}", root.leaves, encode(&root.root))
}

pub fn json(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::io(format_args!("can't read {}", file.display()), error))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::invalid(format!("{} holds no JSON: {error}", file.display())))
}
