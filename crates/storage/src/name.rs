use foretell_types::limits::BLOB_NAME_BYTES;
use foretell_types::{Error, Result};

/// Checks a container name by Azure's rules: 3 to 63 lower-case letters, digits and single
/// hyphens, beginning and ending with a letter or digit.
pub fn check_container(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (3..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if good {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name:?} is not the name of a container: 3 to 63 lower-case letters, digits and single hyphens"
    )))
}

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
