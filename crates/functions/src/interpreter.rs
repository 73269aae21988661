//! Finds a Python that is recent enough.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use foretell_types::{Error, Result};
use tokio::process::Command;

/// The oldest version that Azure Functions runs the v2 programming model on.
const OLDEST: (u32, u32) = (3, 10);
const NAMES: [&str; 7] = [
    "python3",
    "python",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python3.14",
];
/// Prints major and minor version, then all that a virtual environment depends on.
const PROBE: &str = "import sys, ensurepip, venv; \
    print(*sys.version_info[:2]); \
    print(sys.implementation.name, sys.version.split()[0], sys.base_prefix); \
    print(__import__('pip').__version__ if __import__('importlib.util').util.find_spec('pip') else 0)";

/// The oldest pip that can install into another environment (`--python`).
const PIP_ELSEWHERE: (u32, u32) = (22, 3);

/// A Python interpreter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Interpreter {
    pub path: PathBuf,
    /// Implementation, version and prefix: a virtual environment fits no other.
    pub identity: String,
    /// Major and minor version, such as `3.11`.
    pub version: String,
    /// Its own pip can install into a virtual environment, which then needs none: making it takes
    /// a fifth of the time.
    pub pip_elsewhere: bool,
}

/// The interpreter that was asked for, or the first on the path that will do: one of this version,
/// if there is one.
pub(crate) async fn find(wanted: Option<&Path>, version: Option<&str>) -> Result<Interpreter> {
    if let Some(path) = wanted {
        return probe(path).await;
    }
    let mut found = Vec::new();
    let asked_for = version.map(|version| format!("python{version}"));
    for name in asked_for.as_deref().into_iter().chain(NAMES) {
        match probe(Path::new(name)).await {
            Ok(interpreter) => return Ok(interpreter),
            Err(error) => found.push(error),
        }
    }
    // One that is there but won't do says more than those that aren't there.
    found.sort_by_key(|error| error.kind() == foretell_types::ErrorKind::NotFound);
    let why = found
        .first()
        .map(|error| format!(" ({error})"))
        .unwrap_or_default();
    Err(Error::not_found(format!(
        "no Python {}.{} or newer with venv was found{why}: install one (Debian: \
         `apt install python3 python3-venv`), or name it",
        OLDEST.0, OLDEST.1
    )))
}

async fn probe(path: &Path) -> Result<Interpreter> {
    let output = Command::new(path)
        .args(["-I", "-c", PROBE])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("there is no {}", path.display()))
            }
            _ => Error::io(path.display(), error),
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let found = lines.next().and_then(|line| version(line, ' '));
    let identity = lines.next();
    let pip = lines.next().and_then(|line| version(line, '.'));
    match (found, identity) {
        (Some(version), Some(identity)) if version >= OLDEST => Ok(Interpreter {
            path: path.to_owned(),
            identity: identity.to_owned(),
            version: format!("{}.{}", version.0, version.1),
            pip_elsewhere: pip.is_some_and(|pip| pip >= PIP_ELSEWHERE),
        }),
        (Some((major, minor)), _) => Err(Error::invalid(format!(
            "{} is Python {major}.{minor}: {}.{} or newer is needed",
            path.display(),
            OLDEST.0,
            OLDEST.1
        ))),
        _ => {
            let errors = String::from_utf8_lossy(&output.stderr);
            let last = errors.lines().last().unwrap_or("it printed nothing");
            Err(Error::invalid(format!(
                "{} can't be used: {last}",
                path.display()
            )))
        }
    }
}

/// The first two numbers of a version.
fn version(text: &str, separator: char) -> Option<(u32, u32)> {
    let mut parts = text.trim().split(separator).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}
