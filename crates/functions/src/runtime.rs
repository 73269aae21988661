//! The Python side, carried in the binary and written beside the app's logs.

use std::path::{Path, PathBuf};

use foretell_types::{Error, Result};

macro_rules! python_files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("python/", $name)))),*]
    };
}

const FILES: [(&str, &str); 9] = python_files![
    "main.py",
    "foretell_worker/__init__.py",
    "foretell_worker/binding.py",
    "foretell_worker/context.py",
    "foretell_worker/index.py",
    "foretell_worker/logs.py",
    "foretell_worker/pool.py",
    "foretell_worker/protocol.py",
    "foretell_worker/worker.py",
];

/// Writes the files and returns the script to run.
pub(crate) fn write(work_dir: &Path) -> Result<PathBuf> {
    let root = work_dir.join("runtime");
    for (name, text) in FILES {
        let path = root.join(name);
        let at = |error| Error::io(path.display(), error);
        if std::fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(at)?;
        }
        std::fs::write(&path, text).map_err(at)?;
    }
    Ok(root.join("main.py"))
}
