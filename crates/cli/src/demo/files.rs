//! The demo's application, carried in the binary: the files of `examples/shop`.

use std::path::Path;

use foretell_types::{Error, Result};

/// Purchases of the CD shop CDNOW; origin: examples/shop/ORIGIN.md.
pub const PURCHASES: &[u8] = include_bytes!("../../../../examples/shop/CDNOW_master.txt.gz");

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($path, include_str!(concat!("../../../../examples/shop/", $path)))),*];
    };
}

files!(
    "foretell.toml",
    "functions/segments/function_app.py",
    "functions/segments/host.json",
    "functions/segments/requirements.txt",
);

/// Writes the application directory.
pub fn write(folder: &Path) -> Result<()> {
    for (path, text) in FILES {
        let path = folder.join(path);
        let at = |error| Error::io(format_args!("can't write {}", path.display()), error);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(at)?;
        }
        std::fs::write(&path, text).map_err(at)?;
    }
    Ok(())
}
