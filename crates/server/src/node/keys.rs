use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use foretell_log::Random;
use foretell_protocol::{Key, KeySlot, MasterKey};
use foretell_types::{Error, ErrorKind, Result};

pub(super) const FOLDER: &str = "keys";
const FILE: &str = "master.key";

/// Reads the master key of a data directory, or makes it on the first start. All other keys
/// derive from it. It lies outside the log, readable by its owner alone.
pub fn master_key(data: &Path, random: &dyn Random) -> Result<MasterKey> {
    if let Some(key) = read(data)? {
        return Ok(key);
    }
    let folder = data.join(FOLDER);
    let path = folder.join(FILE);
    let at = |error| Error::io(format_args!("can't write {}", path.display()), error);
    fs::create_dir_all(&folder).map_err(at)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(at)?;
    let mut bytes = [0; 32];
    for piece in bytes.chunks_mut(8) {
        piece.copy_from_slice(&random.next().to_le_bytes());
    }
    let draft = folder.join("master.key.draft");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(at)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(at)?;
    fs::rename(&draft, &path).map_err(at)?;
    fs::File::open(&folder)
        .and_then(|folder| folder.sync_all())
        .and_then(|()| fs::File::open(data)?.sync_all())
        .map_err(at)?;
    Ok(MasterKey::new(bytes))
}

/// The admin key of a data directory that has one, for clients on the same machine.
pub fn admin_key(data: &Path) -> Result<Option<Key>> {
    Ok(read(data)?.map(|master| master.admin_key(0)))
}

/// The place of a key among two.
pub(super) fn index(slot: KeySlot) -> usize {
    usize::from(slot == KeySlot::Key2)
}

fn read(data: &Path) -> Result<Option<MasterKey>> {
    let path = data.join(FOLDER).join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::io(
                format_args!("can't read {}", path.display()),
                error,
            ));
        }
    };
    let text = text.trim();
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(|bytes| Some(MasterKey::new(bytes)))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Damaged,
                format!(
                    "{} is not a key: 64 hexadecimal digits are expected",
                    path.display()
                ),
            )
        })
}
