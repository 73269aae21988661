use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use foretell_protocol::MasterKey;
use foretell_types::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::keys::write_private;

const FOLDER: &str = "secrets";

/// Secrets of definitions and of stacks, each in a file of its own beside the keys, encrypted under
/// a key that derives from the master key. They are outside the log, which only names them, and
/// outside its backups.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
    master: MasterKey,
}

/// Names a secret in a definition: a changed one has another generation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SecretRef {
    pub name: String,
    pub generation: u32,
}

impl SecretRef {
    /// What it is kept by.
    pub fn file(&self) -> String {
        format!("{}.{}", self.name, self.generation)
    }
}

impl Secrets {
    /// Those of a data directory; `keys` is the folder of its keys.
    pub fn new(keys: &Path, master: MasterKey) -> Secrets {
        Secrets {
            folder: keys.join(FOLDER),
            master,
        }
    }

    /// Keeps a secret; it is durable when this returns. The name is that of a file.
    pub fn put(&self, name: &str, secret: &str) -> Result<()> {
        let text = self.master.seal(secret)?;
        write_private(&self.folder, name, &text).inspect_err(|_| {
            // What is there is durable.
            drop(fs::remove_file(self.folder.join(name)));
        })
    }

    pub fn contains(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// A secret; none if it isn't there.
    pub fn find(&self, name: &str) -> Result<Option<String>> {
        let path = self.folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => self.master.unseal(text.trim()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(
                format_args!("can't read {}", path.display()),
                error,
            )),
        }
    }

    /// A secret that must be there.
    pub fn get(&self, name: &str) -> Result<String> {
        self.find(name)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Damaged,
                format!(
                    "the secret {} is not there: restore the folder of the keys, or put what has it again",
                    self.folder.join(name).display()
                ),
            )
        })
    }

    /// Removes all that begin with `prefix` but for these: what was replaced, and what a change
    /// that was cut off left behind.
    pub fn keep_only(&self, prefix: &str, names: &HashSet<String>) -> Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io(self.folder.display(), error)),
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(prefix) && !names.contains(&*name) {
                fs::remove_file(entry.path())
                    .map_err(|error| Error::io(entry.path().display(), error))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_come_back_and_are_not_readable() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path(), MasterKey::new([7; 32]));
        let first = SecretRef {
            name: "function.shop".to_owned(),
            generation: 1,
        }
        .file();
        let second = "function.shop.2";
        secrets.put(&first, "AccountKey=abc").unwrap();
        secrets.put(second, "other").unwrap();
        secrets.put("stack.shop", "swordfish").unwrap();
        assert_eq!(secrets.get(&first).unwrap(), "AccountKey=abc");
        let path = folder.path().join("secrets/function.shop.1");
        let stored = fs::read_to_string(&path).unwrap();
        assert!(!stored.contains("abc"));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let kept = HashSet::from([second.to_owned()]);
        secrets.keep_only("function.", &kept).unwrap();
        assert!(!secrets.contains(&first));
        let error = secrets.get(&first).unwrap_err();
        assert!(error.message().contains("function.shop.1"), "{error}");
        assert_eq!(secrets.get(second).unwrap(), "other");
        assert_eq!(secrets.get("stack.shop").unwrap(), "swordfish");
        let other = Secrets::new(folder.path(), MasterKey::new([8; 32]));
        assert!(other.get(second).is_err());
    }
}
