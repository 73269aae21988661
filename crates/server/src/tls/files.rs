use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_types::{Error, Result};

/// Characters of a line of PEM.
const LINE: usize = 64;

/// Writes a file whole or not at all, readable by whom `mode` says.
pub fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    let at = |error| Error::io(format_args!("can't write {}", path.display()), error);
    let draft = path.with_extension("draft");
    // What a broken start left has other rights, perhaps.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(error)),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)
        .map_err(at)?;
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, path))
        .map_err(at)
}

/// DER as PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(LINE) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}
