//! What an app's virtual environment must hold.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use foretell_types::{Error, Result};

const FILE: &str = "requirements.txt";
/// What every app needs.
pub(crate) const LIBRARY: &str = "azure-functions";

/// The requirements of an app.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Requirements {
    /// Arguments of `pip install`.
    pub arguments: Vec<String>,
    /// All that the result depends on: the text of every file named.
    pub text: String,
}

/// Reads `requirements.txt`, which may be missing; the library is added if it isn't named.
pub(crate) fn read(dir: &Path, library: &str) -> Result<Requirements> {
    let mut found = Requirements::default();
    let path = dir.join(FILE);
    if path.exists() {
        collect(&path, &mut found.text, &mut HashSet::new())?;
        found.arguments.extend(["-r".to_owned(), FILE.to_owned()]);
    }
    if !found.text.lines().any(|line| package(line) == library) {
        found.arguments.push(library.to_owned());
        found.text.push_str(library);
    }
    Ok(found)
}

/// Appends a file and those that it includes.
fn collect(path: &Path, text: &mut String, seen: &mut HashSet<PathBuf>) -> Result<()> {
    if !seen.insert(path.to_owned()) {
        return Ok(());
    }
    let content =
        std::fs::read_to_string(path).map_err(|error| Error::io(path.display(), error))?;
    for line in content.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        text.push_str(line);
        text.push('\n');
        let include = ["-r", "--requirement", "-c", "--constraint"]
            .iter()
            .find_map(|option| line.strip_prefix(option))
            .map(|rest| rest.trim_start_matches(['=', ' ', '\t']));
        if let (Some(name), Some(folder)) = (include, path.parent()) {
            collect(&folder.join(name), text, seen)?;
        }
    }
    Ok(())
}

/// The name of the package on a line, as package indexes normalise it (PEP 503).
fn package(line: &str) -> String {
    let end = line
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
        .unwrap_or(line.len());
    line[..end].to_ascii_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_added_where_it_is_not_named() {
        for (text, added) in [
            ("", true),
            ("# azure-functions\nrequests", true),
            ("azure-functions-durable", true),
            ("azure-functions", false),
            ("Azure_Functions>=1.20 ; python_version > '3.9'", false),
            ("requests\n  azure.functions[x]==1.2", false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(FILE), text).unwrap();
            let found = read(dir.path(), LIBRARY).unwrap();
            assert_eq!(
                found.arguments.contains(&LIBRARY.to_owned()),
                added,
                "{text}"
            );
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), LIBRARY).unwrap().arguments, [LIBRARY]);
    }

    #[test]
    fn included_files_count() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "-r more.txt\n-r requirements.txt").unwrap();
        assert!(
            read(dir.path(), LIBRARY)
                .unwrap_err()
                .message()
                .contains("more.txt")
        );
        std::fs::write(dir.path().join("more.txt"), "azure-functions==1.20.0").unwrap();
        let first = read(dir.path(), LIBRARY).unwrap();
        assert_eq!(first.arguments, ["-r", FILE]);
        std::fs::write(dir.path().join("more.txt"), "azure-functions==1.21.0").unwrap();
        assert_ne!(read(dir.path(), LIBRARY).unwrap().text, first.text);
    }
}
