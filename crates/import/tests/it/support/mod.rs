//! Writes a file and reads it as an import.

use std::path::{Path, PathBuf};

use foretell_import::{Import, Mapping, read};
use foretell_types::{Data, NewEvent, Result};

pub fn import(name: &str, bytes: &[u8], mapping: &Mapping) -> Result<Import> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read(&path, mapping, &mut |_, _| {})
}

pub fn events(name: &str, text: impl AsRef<[u8]>, mapping: &Mapping) -> Vec<NewEvent> {
    import(name, text.as_ref(), mapping)
        .unwrap()
        .events
        .collect()
}

pub fn error(name: &str, text: impl AsRef<[u8]>, mapping: &Mapping) -> String {
    import(name, text.as_ref(), mapping)
        .expect_err("an error")
        .message()
        .to_owned()
}

pub fn data(event: &NewEvent) -> &str {
    match &event.data {
        Data::Json(text) => text,
        other => panic!("{other:?} is not JSON"),
    }
}

pub fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// A real log, if it is here.
pub fn real_log(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("FORETELL_TEST_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/logs"),
    };
    let path = folder.join(name);
    if !path.exists() {
        println!(
            "skipped: {} is not here (FORETELL_TEST_DATA names the folder)",
            path.display()
        );
        return None;
    }
    Some(path)
}
