//! The code of a function app: where the program says that it is, packed.

use std::path::{Path, PathBuf};

use foretell_types::{Error, Result};

use super::pack;
use super::resource::Checked;
use super::schema::failure;
use crate::{CheckFailure, Properties, Value};

/// The input that is put among those of an app: `{source, hash}`. So other code is a difference.
pub const INPUT: &str = "foretellCode";
/// The path of its source, which is none.
pub const SOURCE: &str = "foretellCode.source";
/// The app setting that names a package.
pub const SETTING: &str = "WEBSITE_RUN_FROM_PACKAGE";
/// The entry of the configuration.
const CONFIG: &str = "foretell:code";

/// What lies beside the code and isn't part of it.
const LEFT_OUT: [&str; 9] = [
    "__pycache__",
    ".git",
    ".gitignore",
    ".venv",
    "venv",
    ".vscode",
    ".funcignore",
    ".pytest_cache",
    "local.settings.json",
];

/// Where the code of an app is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A folder or a zip of this machine.
    Path(PathBuf),
    /// A blob of an account of this server: `ACCOUNT:CONTAINER/NAME`.
    Blob(String),
}

impl Source {
    /// As it is kept among the inputs.
    pub fn parse(text: &str) -> Source {
        match text.strip_prefix("blob:") {
            Some(blob) => Source::Blob(blob.to_owned()),
            None => Source::Path(text.into()),
        }
    }

    fn text(&self) -> String {
        match self {
            Source::Path(path) => path.display().to_string(),
            Source::Blob(blob) => format!("blob:{blob}"),
        }
    }
}

/// Finds the code of an app, and puts it among its inputs.
pub fn check(of: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
    inputs.remove(INPUT);
    let (place, found) = match from_setting(of, inputs) {
        Some((place, found)) => (place, found),
        None => (CONFIG.to_owned(), from_config(of)),
    };
    let described = found.and_then(|source| {
        source
            .map(|source| {
                let hash = match &source {
                    Source::Path(path) => blake3::hash(&read(path)?).to_hex().to_string(),
                    // Where another is put there, the server gives it to the app.
                    Source::Blob(_) => String::new(),
                };
                Ok(Value::from([
                    ("source", source.text().into()),
                    ("hash", hash.into()),
                ]))
            })
            .transpose()
    });
    match described {
        Ok(Some(value)) => drop(inputs.insert(INPUT.to_owned(), value)),
        Ok(None) => {}
        Err(error) => failures.push(failure(&place, error.message())),
    }
}

/// The place of the app setting, and the source that it names; `None` if it names none.
fn from_setting(of: Checked<'_>, inputs: &Properties) -> Option<(String, Result<Option<Source>>)> {
    let settings = inputs.get("siteConfig")?.get("appSettings")?.as_list()?;
    let at = settings.iter().position(|setting| {
        let name = setting.get("name").and_then(Value::as_str);
        name.is_some_and(|name| name.eq_ignore_ascii_case(SETTING))
    })?;
    let value = settings[at].get("value")?.as_str()?;
    // The package is one that was deployed.
    if matches!(value, "" | "0" | "1") {
        return None;
    }
    let place = format!("siteConfig.appSettings[{at}].value");
    Some((place, source(of, value).map(Some)))
}

fn source(of: Checked<'_>, text: &str) -> Result<Source> {
    if let Some(path) = text.strip_prefix("file://") {
        return Ok(Source::Path(of.options.root.join(path)));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(Source::Path(of.options.root.join(text)));
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.split('?').next().unwrap_or("");
    match host.strip_suffix(".blob.core.windows.net") {
        Some(account) if scheme == "https" && path.contains('/') => {
            Ok(Source::Blob(format!("{account}:{path}")))
        }
        // What follows may be a signature.
        _ => Err(Error::invalid(format!(
            "{:?} isn't fetched: expected a path, a file:// URL, or the URL of a blob of this program",
            text.split('?').next().unwrap_or("")
        ))),
    }
}

fn from_config(of: Checked<'_>) -> Result<Option<Source>> {
    let Some(text) = &of.options.code else {
        return Ok(None);
    };
    let by_name: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(text).ok();
    let path = match &by_name {
        None => Some(&**text),
        Some(paths) => paths.get(of.urn.name()).and_then(serde_json::Value::as_str),
    };
    Ok(path.map(|path| Source::Path(of.options.root.join(path))))
}

/// The zip at a path, or what its folder holds as one: always the same for the same content.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let packed = match path.is_dir() {
        false => pack::read(path),
        true => {
            let mut zip = pack::Zip::new();
            zip.folder("", path, &LEFT_OUT).and_then(|()| zip.finish())
        }
    };
    packed.map_err(|error| error.context("the code"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_folder_is_packed_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("function_app.py", "1");
        write("lib/b.py", "2");
        let first = read(dir.path()).unwrap();
        write(".venv/x", "3");
        write("lib/__pycache__/b.pyc", "3");
        write("local.settings.json", "{}");
        assert_eq!(read(dir.path()).unwrap(), first);
        let mut zip = zip::ZipArchive::new(Cursor::new(first.clone())).unwrap();
        assert_eq!(zip.len(), 2);
        assert!(zip.by_name("lib/b.py").is_ok());
        write("lib/b.py", "4");
        assert_ne!(read(dir.path()).unwrap(), first);
        assert!(
            read(&dir.path().join("none"))
                .unwrap_err()
                .message()
                .contains("none")
        );
    }
}
