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
    let bytes = *random.secret()?;
    let text = format!("{} {}\n", hex(&bytes), checksum(&bytes));
    write_private(&folder, FILE, &text)?;
    Ok(MasterKey::new(bytes))
}

/// Writes a file that its owner alone may read, in a folder of such files, in place of one of its
/// name. It is durable when this returns.
pub(super) fn write_private(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    let at = |error| Error::io(format_args!("can't write {}", path.display()), error);
    fs::create_dir_all(folder).map_err(at)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(at)?;
    let draft = folder.join(format!("{name}.draft"));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(at)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(at)?;
    for folder in [folder, folder.parent().unwrap_or(folder)] {
        let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(at)?;
    }
    Ok(())
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
    key_of(text.trim())
        .map(|bytes| Some(MasterKey::new(bytes)))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Damaged,
                format!(
                    "{} is not a key with its checksum, as it was written (64 and 8 hexadecimal digits): bring it back from a backup",
                    path.display()
                ),
            )
        })
}

/// Keys that were written before there was a checksum have none.
fn key_of(text: &str) -> Option<[u8; 32]> {
    let (digits, sum) = match text.split_once(' ') {
        Some((digits, sum)) => (digits, Some(sum)),
        None => (text, None),
    };
    let pairs = (0..digits.len()).step_by(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    let bytes: [u8; 32] = bytes?.try_into().ok()?;
    sum.is_none_or(|sum| sum == checksum(&bytes))
        .then_some(bytes)
}

fn checksum(bytes: &[u8; 32]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    hex(digest.as_ref().get(..4).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_as_it_was_written_is_refused() {
        let text = format!("{} {}", hex(&[7; 32]), checksum(&[7; 32]));
        assert_eq!(key_of(&text), Some([7; 32]));
        assert_eq!(key_of(&text[..64]), Some([7; 32]));
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            let other = String::from_utf8(other).unwrap_or_default();
            assert_eq!(key_of(&other), None, "{other}");
            assert!(at == 64 || key_of(&text[..at]).is_none());
        }
    }
}
