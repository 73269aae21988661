//! Our own definitions as they are kept in the journal: JSON with the version of their form,
//! `{"version": 1, "definition": {…}}`. A field that a later version of the same form adds has a
//! default; a form that older binaries must not read gets the next version.

use foretell_types::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    definition: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read<T> {
    definition: T,
}

/// A definition as it is journaled.
pub fn to_config<T: Serialize>(definition: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(&Written {
        version: VERSION,
        definition,
    })
    .map_err(|error| Error::invalid(format!("the definition can't be written: {error}")))
}

/// Reads what [`to_config`] wrote; fails with [`ErrorKind::NewerFormat`] if a newer one did, and
/// with [`ErrorKind::Damaged`] if none did.
pub fn from_config<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let damaged = |error: serde_json::Error| {
        Error::new(
            ErrorKind::Damaged,
            format!("the configuration in the journal can't be read: {error}"),
        )
    };
    let Version { version } = serde_json::from_slice(bytes).map_err(damaged)?;
    if version > VERSION {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "the configuration has version {version}, this program knows {VERSION}: use a newer foretell"
            ),
        ));
    }
    let Read { definition } = serde_json::from_slice(bytes).map_err(damaged)?;
    Ok(definition)
}
