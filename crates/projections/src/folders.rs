//! Where projections keep what they keep: `NAME/HASH.N` for the text with this hash, built the
//! N-th time. The last is the one in force; others are what is left behind.

use std::path::{Path, PathBuf};

use foretell_state::Definition;
use foretell_types::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

use crate::store::Store;

/// The form of what is kept: another one is built anew.
const FORMAT: u64 = 2;
/// The text that a folder was built for.
const TEXT: &str = "projection.sql";
const STORE: &str = "store";

#[derive(Debug)]
pub(crate) struct Folders(pub(crate) PathBuf);

impl Folders {
    /// The folder that a definition was built in last, or is to be built in.
    pub(crate) fn of(&self, definition: &Definition) -> PathBuf {
        self.numbered(definition, self.last(definition).unwrap_or(0))
    }

    /// A folder that a definition was never built in.
    pub(crate) fn anew(&self, definition: &Definition) -> PathBuf {
        let next = self.last(definition).map_or(0, |last| last + 1);
        self.numbered(definition, next)
    }

    fn numbered(&self, definition: &Definition, number: u64) -> PathBuf {
        let name = format!("{}.{number}", hash(definition));
        self.0.join(&definition.name).join(name)
    }

    fn last(&self, definition: &Definition) -> Option<u64> {
        let hash = hash(definition);
        let folders = self.named(&definition.name);
        let numbers = folders.iter().filter_map(|folder| {
            let (of, number) = folder.file_name()?.to_str()?.split_once('.')?;
            (of == hash).then(|| number.parse::<u64>().ok())?
        });
        numbers.max()
    }

    /// All folders of a projection.
    pub(crate) fn named(&self, name: &str) -> Vec<PathBuf> {
        children(&self.0.join(name))
    }

    /// All folders of all projections.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        let names = children(&self.0);
        names.iter().flat_map(|name| children(name)).collect()
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn hash(definition: &Definition) -> String {
    format!("{:016x}", xxh3_64(definition.text.as_bytes()) ^ FORMAT)
}

/// Makes a folder for a definition; gives where its store lies.
pub(crate) fn make(folder: &Path, definition: &Definition) -> Result<PathBuf> {
    let here = |error| Error::io(format_args!("writing {}", folder.display()), error);
    std::fs::create_dir_all(folder).map_err(here)?;
    std::fs::write(folder.join(TEXT), &definition.text).map_err(here)?;
    Ok(folder.join(STORE))
}

/// What a folder was built for, if that can still be read.
pub(crate) fn definition(folder: &Path) -> Option<Definition> {
    let text = std::fs::read_to_string(folder.join(TEXT)).ok()?;
    Definition::parse(&text, TEXT).ok()
}

/// Whether what a folder keeps has been up to date once.
pub(crate) fn is_complete(folder: &Path) -> bool {
    let store = folder.join(STORE);
    // To open is to make.
    store.exists()
        && matches!(Store::open(&store).and_then(|store| store.meta()), Ok(Some(meta)) if meta.complete)
}

/// Removes a folder. It stays removed if the power fails: it may hold what was erased.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    let removed = match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other,
    };
    let parent = folder.parent().unwrap_or(folder);
    removed
        .and_then(|()| std::fs::File::open(parent)?.sync_all())
        .map_err(|error| Error::io(format_args!("removing {}", folder.display()), error))
}
