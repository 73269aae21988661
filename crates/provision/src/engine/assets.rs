//! Files of the program: found from its folder, and told apart by what is in them.

use std::fs::File;
use std::path::{Path, PathBuf};

use foretell_types::{Error, ErrorKind, Result};

use crate::limits::{ARCHIVE_FILES, ASSET_BYTES};
use crate::{ArchiveSource, AssetSource, Properties, Value};

/// Makes every path of an asset absolute and puts in the hashes of what is there.
pub fn resolve(properties: &mut Properties, root: &Path) -> Result<()> {
    properties.iter_mut().try_for_each(|(name, value)| {
        resolve_value(value, root).map_err(|error| error.context(name))
    })
}

fn resolve_value(value: &mut Value, root: &Path) -> Result<()> {
    match value {
        Value::Secret(inner) => resolve_value(inner, root),
        Value::Map(map) => resolve(map, root),
        Value::List(items) => items
            .iter_mut()
            .try_for_each(|item| resolve_value(item, root)),
        Value::Asset(asset) => {
            asset.hash = match &mut asset.source {
                AssetSource::Text(text) => Some(hash_of(text.as_bytes())),
                AssetSource::Path(path) => {
                    let place = absolute(path, root);
                    let mut hasher = blake3::Hasher::new();
                    add_file(&mut hasher, &place, &mut 0)?;
                    Some(hasher.finalize().to_hex().to_string())
                }
                AssetSource::Uri(uri) => Some(hash_of(uri.as_bytes())),
            };
            Ok(())
        }
        Value::Archive(archive) => {
            archive.hash = match &mut archive.source {
                ArchiveSource::Parts(parts) => {
                    resolve(parts, root)?;
                    Some(hash_of_parts(parts))
                }
                ArchiveSource::Path(path) => {
                    let place = absolute(path, root);
                    Some(hash_of_tree(&place)?)
                }
                ArchiveSource::Uri(uri) => Some(hash_of(uri.as_bytes())),
            };
            Ok(())
        }
        _ => Ok(()),
    }
}

fn absolute(path: &mut String, root: &Path) -> PathBuf {
    let place = root.join(&*path);
    *path = place.to_string_lossy().into_owned();
    place
}

fn hash_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn hash_of_parts(parts: &Properties) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, part) in parts {
        let hash = match part.plain() {
            Value::Asset(asset) => asset.hash.clone(),
            Value::Archive(archive) => archive.hash.clone(),
            _ => None,
        };
        add(&mut hasher, name.as_bytes());
        add(&mut hasher, hash.unwrap_or_default().as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Of an archive file, or of all files of a folder by their names. What Python and editors
/// leave behind while a program runs is no content.
fn hash_of_tree(place: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    if !place.is_dir() {
        add_file(&mut hasher, place, &mut size)?;
        return Ok(hasher.finalize().to_hex().to_string());
    }
    let mut files = Vec::new();
    let mut folders = vec![place.to_owned()];
    while let Some(folder) = folders.pop() {
        let at = |error| Error::io(format_args!("can't read {}", folder.display()), error);
        for entry in std::fs::read_dir(&folder).map_err(at)? {
            let entry = entry.map_err(at)?;
            let path = entry.path();
            match path.is_dir() {
                true if entry.file_name() == "__pycache__" => {}
                true => folders.push(path),
                false => files.push(path),
            }
            if files.len() > ARCHIVE_FILES {
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!("{} has more than {ARCHIVE_FILES} files", place.display()),
                ));
            }
        }
    }
    files.sort();
    for file in files {
        let name = file
            .strip_prefix(place)
            .unwrap_or(&file)
            .to_string_lossy()
            .into_owned();
        add(&mut hasher, name.as_bytes());
        add_file(&mut hasher, &file, &mut size)?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn add(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn add_file(hasher: &mut blake3::Hasher, path: &Path, size: &mut u64) -> Result<()> {
    let at = |error| Error::io(format_args!("can't read {}", path.display()), error);
    let file = File::open(path).map_err(at)?;
    let length = file.metadata().map_err(at)?.len();
    *size += length;
    if *size > ASSET_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("{} makes it more than {ASSET_BYTES} bytes", path.display()),
        ));
    }
    hasher.update(&length.to_le_bytes());
    hasher.update_reader(file).map_err(at)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Archive, Asset};

    fn archive(path: &str) -> Value {
        Value::Archive(Archive {
            source: ArchiveSource::Path(path.to_owned()),
            hash: None,
        })
    }

    fn hash(root: &Path, value: Value) -> String {
        let mut properties = Properties::from([("code".to_owned(), value)]);
        resolve(&mut properties, root).unwrap();
        match &properties["code"] {
            Value::Archive(archive) => archive.hash.clone().unwrap(),
            Value::Asset(asset) => asset.hash.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_is_told_by_names_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app/sub");
        std::fs::create_dir_all(&app).unwrap();
        std::fs::write(app.join("a.py"), "1").unwrap();
        let first = hash(dir.path(), archive("app"));
        assert_eq!(first, hash(dir.path(), archive("./app")));
        std::fs::write(app.join("a.py"), "2").unwrap();
        let second = hash(dir.path(), archive("app"));
        assert_ne!(first, second);
        std::fs::rename(app.join("a.py"), app.join("b.py")).unwrap();
        assert_ne!(second, hash(dir.path(), archive("app")));
    }

    #[test]
    fn a_missing_file_is_named() {
        let asset = Value::Asset(Asset {
            source: AssetSource::Path("none.txt".to_owned()),
            hash: None,
        });
        let mut properties = Properties::from([("source".to_owned(), asset)]);
        let error = resolve(&mut properties, Path::new("/nowhere")).unwrap_err();
        assert!(
            error
                .message()
                .contains("source: can't read /nowhere/none.txt"),
            "{error}"
        );
    }
}
