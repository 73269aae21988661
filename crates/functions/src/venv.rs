//! Virtual environments, each in a folder named by what it was made from.
//!
//! A virtual environment can't be moved, so it is made in its place: a marker file, written last,
//! says that it is whole, and one without it (its making was killed) is made again. A lock file
//! beside it lets one process at a time make it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use foretell_types::{Error, Result};
use tokio::process::Command;

use crate::interpreter::{self, Interpreter};
use crate::limits::{INSTALL_OUTPUT_BYTES, INSTALL_TIMEOUT};
use crate::requirements::{self, Requirements};

/// Part of every name; another way of making them needs another number.
const LAYOUT: &str = "2";
const MARKER: &str = "foretell-complete";

/// The Python of a virtual environment with what the requirements.txt of a folder names, and with
/// a library even if that doesn't name it. It is made in `cache` unless it is there; `progress` is
/// told before anything that takes long.
pub async fn environment(
    cache: &Path,
    dir: &Path,
    library: &str,
    progress: impl Fn(String),
) -> Result<PathBuf> {
    let interpreter = interpreter::find(None, None).await?;
    let requirements = requirements::read(dir, library)?;
    prepare(cache, dir, &interpreter, &requirements, progress).await
}

/// Returns the interpreter of the virtual environment for these requirements, made in `cache` if
/// it isn't there. `progress` is told before anything that takes long.
pub(crate) async fn prepare(
    cache: &Path,
    app_dir: &Path,
    interpreter: &Interpreter,
    requirements: &Requirements,
    progress: impl Fn(String),
) -> Result<PathBuf> {
    let name = name(interpreter, requirements);
    let dir = cache.join(&name);
    let python = dir.join("bin").join("python");
    if is_whole(&dir, &python) {
        return Ok(python);
    }
    std::fs::create_dir_all(cache).map_err(|error| Error::io(cache.display(), error))?;
    let lock = lock(cache.join(format!("{name}.lock"))).await?;
    if !is_whole(&dir, &python) {
        progress(format!(
            "making the virtual environment in {}",
            dir.display()
        ));
        let making = make(&dir, &python, app_dir, interpreter, requirements);
        tokio::time::timeout(INSTALL_TIMEOUT, making)
            .await
            .map_err(|_| {
                let minutes = INSTALL_TIMEOUT.as_secs() / 60;
                Error::unavailable(format!("the requirements took more than {minutes} minutes"))
            })??;
        progress("the virtual environment is ready".to_owned());
    }
    drop(lock);
    Ok(python)
}

fn name(interpreter: &Interpreter, requirements: &Requirements) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [LAYOUT, &interpreter.identity, &requirements.text] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..24].to_owned()
}

/// Made to its end, and the interpreter that it links to is still there.
fn is_whole(dir: &Path, python: &Path) -> bool {
    dir.join(MARKER).exists() && python.exists()
}

/// Waits until no other process holds the lock, which ends with the process that holds it.
async fn lock(path: PathBuf) -> Result<File> {
    let locked = move || {
        let at = |error| Error::io(path.display(), error);
        let file = File::create(&path).map_err(at)?;
        file.lock().map_err(at)?;
        Ok(file)
    };
    tokio::task::spawn_blocking(locked)
        .await
        .map_err(|error| Error::unavailable(format!("the lock was not waited for: {error}")))?
}

async fn make(
    dir: &Path,
    python: &Path,
    app_dir: &Path,
    interpreter: &Interpreter,
    requirements: &Requirements,
) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(dir.display(), error));
        }
        _ => {}
    }
    let mut venv = Command::new(&interpreter.path);
    venv.args(["-I", "-m", "venv"]);
    let mut pip;
    if interpreter.pip_elsewhere {
        venv.arg("--without-pip");
        pip = Command::new(&interpreter.path);
        pip.args(["-I", "-m", "pip", "--python"]).arg(python);
    } else {
        pip = Command::new(python);
        pip.args(["-I", "-m", "pip"]);
    }
    venv.arg(dir);
    run(venv, "the virtual environment can't be made").await?;
    pip.args([
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--no-warn-script-location",
        "--quiet",
    ])
    .args(&requirements.arguments)
    .current_dir(app_dir);
    run(pip, "the requirements can't be installed").await?;
    let marker = dir.join(MARKER);
    let at = |error| Error::io(marker.display(), error);
    let mut file = File::create(&marker).map_err(at)?;
    std::io::Write::write_all(&mut file, requirements.text.as_bytes()).map_err(at)
}

/// Runs a command to its end; its last output explains a failure.
async fn run(mut command: Command, failure: &str) -> Result<()> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command
        .output()
        .await
        .map_err(|error| Error::io(failure, error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(INSTALL_OUTPUT_BYTES)..]);
    Err(Error::invalid(format!(
        "{failure} ({}):\n{}",
        output.status,
        text.trim()
    )))
}
