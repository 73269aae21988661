use std::collections::HashSet;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use foretell_types::limits::{PACKAGE_BYTES, PACKAGE_FILES, PACKAGE_UNPACKED_BYTES};
use foretell_types::{Error, ErrorKind, Result};
use zip::ZipArchive;
use zip::read::ZipFile;

use super::definitions::Code;

const DRAFT: &str = ".draft";
/// What the code of an app begins with.
const ENTRY: &str = "function_app.py";

/// The code of function apps in the data directory: `HASH.zip` as it was sent, and `HASH/`, which
/// it is unpacked to and can be again.
#[derive(Clone, Debug)]
pub struct Packages {
    folder: PathBuf,
}

impl Packages {
    pub fn new(data: &Path) -> Packages {
        Packages {
            folder: data.join("packages"),
        }
    }

    /// Keeps a zip and unpacks it; it is durable when this returns.
    pub fn put(&self, zip: &Bytes) -> Result<Code> {
        if zip.len() > PACKAGE_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the code is larger than {PACKAGE_BYTES} bytes"),
            ));
        }
        fs::create_dir_all(&self.folder).map_err(|error| io(&self.folder, error))?;
        let hash = blake3::hash(zip).to_hex().to_string();
        let files = self.unpack(&hash, zip.clone())?;
        let path = self.folder.join(format!("{hash}.zip"));
        let draft = self.folder.join(format!("{hash}.zip{DRAFT}"));
        let write = || {
            let mut file = fs::File::create(&draft)?;
            file.write_all(zip)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| io(&path, error))?;
        Ok(Code {
            hash,
            bytes: zip.len() as u64,
            files,
            blob: None,
        })
    }

    /// The folder of an app's code, unpacked anew if it isn't there.
    pub fn folder(&self, code: &Code) -> Result<PathBuf> {
        let folder = self.folder.join(&code.hash);
        if !folder.is_dir() {
            let path = self.folder.join(format!("{}.zip", code.hash));
            let zip = fs::read(&path).map_err(|error| io(&path, error))?;
            if blake3::hash(&zip).to_hex().as_str() != code.hash {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    format!("{} is damaged: put the code again", path.display()),
                ));
            }
            self.unpack(&code.hash, zip.into())?;
        }
        Ok(folder)
    }

    /// Removes all but these.
    pub fn keep_only(&self, hashes: &HashSet<String>) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if hashes.contains(name.strip_suffix(".zip").unwrap_or(&name)) {
                continue;
            }
            let path = entry.path();
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.map_err(|error| io(&path, error))?;
        }
        Ok(())
    }

    /// Unpacks beside the folder, which takes its name when it is whole. Gives the number of files.
    fn unpack(&self, hash: &str, zip: Bytes) -> Result<u64> {
        let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|error| {
            Error::invalid(format!("the code is no zip that can be read: {error}"))
        })?;
        check_entries(&archive)?;
        let draft = self.folder.join(format!("{hash}{DRAFT}"));
        clear(&draft)?;
        fs::create_dir_all(&draft).map_err(|error| io(&draft, error))?;
        let files = extract(&mut archive, &draft).inspect_err(|_| drop(clear(&draft)))?;
        let folder = self.folder.join(hash);
        clear(&folder)?;
        let place = || {
            // One sync for all its files.
            rustix::fs::syncfs(fs::File::open(&draft)?)?;
            fs::rename(&draft, &folder)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        place().map_err(|error| io(&folder, error))?;
        Ok(files)
    }
}

fn check_entries(archive: &ZipArchive<Cursor<Bytes>>) -> Result<()> {
    if archive.len() > PACKAGE_FILES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the code has {} files: at most {PACKAGE_FILES} are allowed",
                archive.len()
            ),
        ));
    }
    if archive.index_for_name(ENTRY).is_some() {
        return Ok(());
    }
    let suffix = format!("/{ENTRY}");
    let mut names = archive.file_names().flatten();
    let deeper = names.find(|name| name.ends_with(&suffix));
    Err(Error::invalid(match deeper {
        Some(name) => format!(
            "the code has {name}, and no {ENTRY} at its root: pack the content of the folder, not the folder"
        ),
        None => format!(
            "the code has no {ENTRY} at its root: an Azure Functions app in Python, of the v2 programming model, is expected"
        ),
    }))
}

fn extract(archive: &mut ZipArchive<Cursor<Bytes>>, folder: &Path) -> Result<u64> {
    let mut left = PACKAGE_UNPACKED_BYTES as u64;
    let mut files = 0;
    for index in 0..archive.len() {
        let entry = archive
            .by_index(index)
            .map_err(|error| Error::invalid(format!("the code can't be unpacked: {error}")))?;
        let path = folder.join(inside(&entry)?);
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(|error| wrong(&entry, &error))?;
            continue;
        }
        files += 1;
        left = write(entry, &path, left)?;
    }
    Ok(files)
}

/// The path of an entry, which must lie within the folder.
fn inside(entry: &ZipFile<'_, Cursor<Bytes>>) -> Result<PathBuf> {
    let name = name_of(entry);
    if entry.is_symlink() {
        return Err(Error::invalid(format!(
            "the code holds a symbolic link, {name:?}: pack the file itself"
        )));
    }
    entry
        .enclosed_name()
        .filter(|path| !path.as_os_str().is_empty() && !name.contains('\\'))
        .ok_or_else(|| {
            Error::invalid(format!(
                "the code holds {name:?}, which would lie outside of its folder"
            ))
        })
}

/// For messages; one that isn't text has no name.
fn name_of(entry: &ZipFile<'_, Cursor<Bytes>>) -> String {
    entry
        .name()
        .map(|name| name.into_owned())
        .unwrap_or_default()
}

/// Writes a file of at most `left` bytes; gives what is left then.
fn write(mut entry: ZipFile<'_, Cursor<Bytes>>, path: &Path, left: u64) -> Result<u64> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| wrong(&entry, &error))?;
    }
    let executable = entry.unix_mode().is_some_and(|mode| mode & 0o100 != 0);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(if executable { 0o755 } else { 0o644 })
        .open(path)
        .map_err(|error| wrong(&entry, &error))?;
    let mut read = Read::by_ref(&mut entry).take(left + 1);
    let copied = std::io::copy(&mut read, &mut file).map_err(|error| wrong(&entry, &error))?;
    left.checked_sub(copied).ok_or_else(|| {
        Error::new(
            ErrorKind::TooLarge,
            format!("the code is larger than {PACKAGE_UNPACKED_BYTES} bytes when it is unpacked"),
        )
    })
}

fn wrong(entry: &ZipFile<'_, Cursor<Bytes>>, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => ErrorKind::Full,
        _ => ErrorKind::Invalid,
    };
    let name = name_of(entry);
    Error::new(
        kind,
        format!("{name:?} of the code can't be unpacked: {error}"),
    )
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(folder, error)),
        _ => Ok(()),
    }
}

fn io(path: &Path, error: std::io::Error) -> Error {
    Error::io(path.display(), error)
}

#[cfg(test)]
mod tests {
    use zip::write::SimpleFileOptions;

    use super::*;

    fn packed(files: &[(&str, &[u8])]) -> Bytes {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner().into()
    }

    #[test]
    fn code_is_kept_and_unpacked_again() {
        let data = tempfile::tempdir().unwrap();
        let packages = Packages::new(data.path());
        let zip = packed(&[(ENTRY, b"import x"), ("lib/x.py", b"1")]);
        let code = packages.put(&zip).unwrap();
        assert_eq!(code.files, 2);
        assert_eq!(packages.put(&zip).unwrap(), code);
        let folder = packages.folder(&code).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let folder = packages.folder(&code).unwrap();
        assert_eq!(fs::read(folder.join("lib/x.py")).unwrap(), b"1");
        packages
            .keep_only(&HashSet::from([code.hash.clone()]))
            .unwrap();
        assert!(folder.is_dir());
        fs::remove_dir_all(&folder).unwrap();
        let path = data.path().join(format!("packages/{}.zip", code.hash));
        fs::write(&path, packed(&[(ENTRY, b"other")])).unwrap();
        assert!(
            packages
                .folder(&code)
                .unwrap_err()
                .message()
                .contains("damaged")
        );
        packages.keep_only(&HashSet::new()).unwrap();
        assert_eq!(
            fs::read_dir(data.path().join("packages")).unwrap().count(),
            0
        );
    }

    #[test]
    fn what_is_no_code_is_refused_and_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let packages = Packages::new(data.path());
        let link = {
            let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
            zip.start_file(ENTRY, SimpleFileOptions::default()).unwrap();
            zip.add_symlink("passwd", "/etc/passwd", SimpleFileOptions::default())
                .unwrap();
            Bytes::from(zip.finish().unwrap().into_inner())
        };
        let bomb = packed(&[
            (ENTRY, b""),
            ("zeros", &vec![0; PACKAGE_UNPACKED_BYTES + 1]),
        ]);
        assert!(bomb.len() < 1024 * 1024);
        for (zip, word) in [
            (Bytes::from_static(b"hello"), "no zip"),
            (packed(&[("main.py", b"")]), "no function_app.py"),
            (packed(&[("app/function_app.py", b"")]), "pack the content"),
            (packed(&[(ENTRY, b""), ("../x", b"")]), "outside"),
            (packed(&[(ENTRY, b""), ("a/../../x", b"")]), "outside"),
            (packed(&[(ENTRY, b""), ("a\\..\\x", b"")]), "outside"),
            (
                packed(&[(ENTRY, b""), ("a", b""), ("a/b", b"")]),
                "can't be unpacked",
            ),
            (link, "symbolic link"),
            (bomb, "unpacked"),
        ] {
            let error = packages.put(&zip).unwrap_err();
            assert!(error.message().contains(word), "{word}: {error}");
        }
        assert_eq!(
            fs::read_dir(data.path().join("packages")).unwrap().count(),
            0
        );
        assert!(!data.path().join("x").exists());
    }
}
