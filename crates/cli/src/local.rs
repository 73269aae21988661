//! Blobs that are files of this machine; their names are paths.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use foretell_log::Blobs;
use foretell_types::{Error, Result};

/// The end of the name of a file that isn't whole yet.
const PART: &str = ".part";

#[derive(Debug)]
pub struct LocalFiles;

/// The name of a folder.
pub fn name(folder: &Path) -> Result<String> {
    let plain: PathBuf = folder.components().collect();
    let name = plain.to_str().map(str::to_owned);
    name.ok_or_else(|| Error::invalid(format!("{} is not UTF-8", folder.display())))
}

fn at(doing: &str, name: &str) -> impl Fn(std::io::Error) -> Error + use<> {
    let what = format!("can't {doing} {name}");
    move |error| Error::io(&what, error)
}

impl Blobs for LocalFiles {
    /// Under another name until it is durable.
    fn put(&self, name: &str, content: Vec<u8>) -> Result<()> {
        let path = Path::new(name);
        let part = PathBuf::from(format!("{name}{PART}"));
        let folder = path.parent().unwrap_or(Path::new("."));
        let write = || {
            fs::create_dir_all(folder)?;
            let mut file = File::create(&part)?;
            file.write_all(&content)?;
            file.sync_all()?;
            fs::rename(&part, path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(at("write", name))
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<Option<usize>> {
        let at = at("read", name);
        let file = match File::open(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(&at)?,
        };
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(at(error)),
            }
        }
        Ok(Some(done))
    }

    fn bytes(&self, name: &str) -> Result<Option<u64>> {
        match fs::metadata(name) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at("read", name)(error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let at = at("list", folder);
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.map_err(&at)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(&at)?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let metadata = entry.metadata().map_err(&at)?;
            if metadata.is_dir() {
                found.extend(self.list(&name)?);
            } else if !name.ends_with(PART) {
                found.push((name, metadata.len()));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(at("remove", name)),
        }
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }
}
