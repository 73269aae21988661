//! Files that have their name once they are whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use foretell_types::{Error, Result};

/// A file in the making, `NAME.partial`. It is removed unless it gets its name.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    /// `None` once it has its name.
    partial: Option<PathBuf>,
    file: File,
}

impl Partial {
    pub fn create(path: &Path) -> Result<Partial> {
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let file = File::create(&partial)
            .map_err(|error| Error::io(format_args!("can't write {}", path.display()), error))?;
        Ok(Partial {
            path: path.to_owned(),
            partial: Some(partial),
            file,
        })
    }

    /// Where it is as long as it has no name.
    pub fn path(&self) -> &Path {
        self.partial.as_deref().unwrap_or(&self.path)
    }

    /// The file, to be written.
    pub fn file(&self) -> Result<File> {
        self.file.try_clone().map_err(|error| self.failed(error))
    }

    /// Makes its bytes durable.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.failed(error))
    }

    /// Gives it its name, in place of one that has it; tells how many bytes it has.
    pub fn name(mut self) -> Result<u64> {
        let bytes = self.file.metadata().map_err(|error| self.failed(error))?;
        if let Some(partial) = &self.partial {
            std::fs::rename(partial, &self.path).map_err(|error| self.failed(error))?;
        }
        self.partial = None;
        Ok(bytes.len())
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(format_args!("can't write {}", self.path.display()), error)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.partial.take() {
            // What is left over is written anew by the next try.
            let _ = std::fs::remove_file(path);
        }
    }
}
