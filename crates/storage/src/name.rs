use foretell_types::limits::BLOB_NAME_BYTES;
use foretell_types::{Error, Result};

/// Checks a blob name: what every store can hold, and nothing that could leave the container.
pub fn check_blob(name: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(Error::invalid(format!(
            "{name:?} is not the name of a blob: {why}"
        )))
    };
    if name.is_empty() || name.len() > BLOB_NAME_BYTES {
        return wrong(&format!("1 to {BLOB_NAME_BYTES} bytes are allowed"));
    }
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return wrong("control characters and backslashes are not allowed");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return wrong("a part between slashes is empty, '.' or '..'");
    }
    if name.split('/').any(|part| part.len() > 255) {
        return wrong("a part between slashes has more than 255 bytes");
    }
    Ok(())
}
