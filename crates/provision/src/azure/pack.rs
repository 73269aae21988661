//! Folders, assets and archives of a program as the zip that Azure gets of them.

use std::io::{Cursor, Write};
use std::path::Path;

use foretell_types::limits::{PACKAGE_FILES, PACKAGE_UNPACKED_BYTES};
use foretell_types::{Error, ErrorKind, Result};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::{Archive, ArchiveSource, Asset, AssetSource, Value};

/// What Python leaves behind while a program runs is no content.
const LEFT_OUT: [&str; 1] = ["__pycache__"];

/// A zip in the making: always the same for the same content.
pub struct Zip {
    writer: ZipWriter<Cursor<Vec<u8>>>,
    bytes: usize,
    files: usize,
}

/// A file's content.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::io(format_args!("can't read {}", path.display()), error))
}

/// The content of an asset, or of an archive as a zip.
pub fn content(value: &Value) -> Result<Vec<u8>> {
    match value.plain() {
        Value::Asset(asset) => asset_content(asset),
        Value::Archive(Archive {
            source: ArchiveSource::Path(path),
            ..
        }) if !Path::new(path).is_dir() => {
            let bytes = read(Path::new(path))?;
            match bytes.starts_with(b"PK") {
                true => Ok(bytes),
                false => Err(Error::invalid(format!(
                    "{path} is no zip: expected a folder or a zip"
                ))),
            }
        }
        Value::Archive(archive) => {
            let mut zip = Zip::new();
            zip.archive("", archive)?;
            zip.finish()
        }
        other => Err(Error::invalid(format!(
            "expected an asset or an archive, found {}",
            other.kind()
        ))),
    }
}

fn asset_content(asset: &Asset) -> Result<Vec<u8>> {
    match &asset.source {
        AssetSource::Text(text) => Ok(text.clone().into_bytes()),
        AssetSource::Path(path) => read(Path::new(path)),
        AssetSource::Uri(uri) => Err(not_fetched(uri)),
    }
}

/// What is elsewhere stays there.
pub fn not_fetched(uri: &str) -> Error {
    Error::invalid(format!(
        "{uri:?} isn't fetched: take a FileAsset, StringAsset, FileArchive or AssetArchive"
    ))
}

impl Zip {
    pub fn new() -> Zip {
        Zip {
            writer: ZipWriter::new(Cursor::new(Vec::new())),
            bytes: 0,
            files: 0,
        }
    }

    pub fn finish(self) -> Result<Vec<u8>> {
        Ok(self.writer.finish().map_err(wrong)?.into_inner())
    }

    fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.bytes += content.len();
        self.files += 1;
        if self.bytes > PACKAGE_UNPACKED_BYTES || self.files > PACKAGE_FILES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "with {name} it is more than {PACKAGE_FILES} files or {PACKAGE_UNPACKED_BYTES} bytes"
                ),
            ));
        }
        // Not compressed: another release of the program must give the same bytes.
        let options =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        self.writer.start_file(name, options).map_err(wrong)?;
        let written = self.writer.write_all(content);
        written.map_err(|error| Error::io(format_args!("can't pack {name}"), error))
    }

    /// All files of a folder, in order of their names, below `prefix`.
    pub fn folder(&mut self, prefix: &str, root: &Path, left_out: &[&str]) -> Result<()> {
        for name in files(root, left_out)? {
            let content = read(&root.join(&name))?;
            self.file(&join(prefix, &name), &content)?;
        }
        Ok(())
    }

    fn archive(&mut self, prefix: &str, archive: &Archive) -> Result<()> {
        match &archive.source {
            ArchiveSource::Uri(uri) => Err(not_fetched(uri)),
            ArchiveSource::Path(path) if Path::new(path).is_dir() => {
                self.folder(prefix, Path::new(path), &LEFT_OUT)
            }
            ArchiveSource::Path(path) => Err(Error::invalid(format!(
                "{path} is no folder: an archive within another is one"
            ))),
            ArchiveSource::Parts(parts) => parts.iter().try_for_each(|(name, part)| {
                let name = join(prefix, name);
                match part.plain() {
                    Value::Asset(asset) => self.file(&name, &asset_content(asset)?),
                    Value::Archive(archive) => self.archive(&name, archive),
                    other => Err(Error::invalid(format!(
                        "{name:?} is neither an asset nor an archive, but {}",
                        other.kind()
                    ))),
                }
            }),
        }
    }
}

/// A path in a zip, where `.` is its root.
fn join(prefix: &str, name: &str) -> String {
    let parts = prefix.split('/').chain(name.split('/'));
    let parts: Vec<&str> = parts.filter(|part| !matches!(*part, "" | ".")).collect();
    parts.join("/")
}

fn wrong(error: zip::result::ZipError) -> Error {
    Error::invalid(format!("it can't be packed: {error}"))
}

/// The files of a folder.
fn files(root: &Path, left_out: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let at = |error| Error::io(format_args!("can't read {}", folder.display()), error);
        for entry in std::fs::read_dir(&folder).map_err(at)? {
            let entry = entry.map_err(at)?;
            if left_out.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            found.push(name_of(root, &path)?);
            if found.len() > PACKAGE_FILES {
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!("{} has more than {PACKAGE_FILES} files", root.display()),
                ));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(root: &Path, path: &Path) -> Result<String> {
    let name = path.strip_prefix(root).unwrap_or(path).to_str();
    name.map(str::to_owned)
        .ok_or_else(|| Error::invalid(format!("the name of {} is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn archive(source: ArchiveSource) -> Value {
        Value::Archive(Archive { source, hash: None })
    }

    fn text(text: &str) -> Value {
        Value::Asset(Asset {
            source: AssetSource::Text(text.to_owned()),
            hash: None,
        })
    }

    #[test]
    fn archives_of_all_kinds_are_packed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("lib/__pycache__")).unwrap();
        std::fs::write(dir.path().join("lib/__pycache__/x.pyc"), "0").unwrap();
        std::fs::write(dir.path().join("lib/x.py"), "1").unwrap();
        std::fs::write(dir.path().join("y.py"), "2").unwrap();
        let folder = archive(ArchiveSource::Path(dir.path().display().to_string()));
        let parts = archive(ArchiveSource::Parts(crate::Properties::from([
            (".".to_owned(), folder.clone()),
            ("deep/more".to_owned(), folder),
            ("host.json".to_owned(), text("{}")),
        ])));
        let bytes = content(&parts).unwrap();
        assert_eq!(bytes, content(&parts).unwrap());
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes.clone())).unwrap();
        let mut names: Vec<_> = zip
            .file_names()
            .flatten()
            .map(|name| name.into_owned())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "deep/more/lib/x.py",
                "deep/more/y.py",
                "host.json",
                "lib/x.py",
                "y.py"
            ]
        );
        let mut found = String::new();
        zip.by_name("lib/x.py")
            .unwrap()
            .read_to_string(&mut found)
            .unwrap();
        assert_eq!(found, "1");
        // A zip is as it is, and nothing else is one.
        let place = dir.path().join("app.zip");
        std::fs::write(&place, &bytes).unwrap();
        let path = || ArchiveSource::Path(place.display().to_string());
        assert_eq!(content(&archive(path())).unwrap(), bytes);
        std::fs::write(&place, "other").unwrap();
        let error = content(&archive(path())).unwrap_err();
        assert!(error.message().contains("app.zip is no zip"), "{error}");
        let error = content(&archive(ArchiveSource::Uri("https://x".to_owned()))).unwrap_err();
        assert!(error.message().contains("isn't fetched"), "{error}");
        assert_eq!(content(&text("plain")).unwrap(), b"plain");
    }
}
