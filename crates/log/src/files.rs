use std::fs;
use std::io;
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use foretell_types::limits::DISK_LOW_WATER_BYTES;
use foretell_types::{Error, ErrorKind, Result};
#[cfg(target_os = "linux")]
use rustix::fs::FallocateFlags;
use zeroize::Zeroizing;

/// All file access of the log, behind one seam, so that faults can be injected.
pub trait Files: Send + Sync {
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Lets only the user who runs this into a folder, where there are users.
    fn make_private(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    /// The names in a folder, in ascending order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Makes a file that isn't there yet.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes that may still be written to the file system that holds the path.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Makes a file durable that was read, and may have been written by a process that died before
    /// its sync, or whose sync failed: then the system only remembers the pages. Written again they
    /// are dirty again, and this sync tells the truth. Its name is made durable too.
    fn write_again(&self, path: &Path) -> io::Result<()> {
        let file = self.open(path)?;
        // It may hold secrets.
        let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
        let (mut offset, bytes) = (0, file.len()?);
        while offset < bytes {
            let count = file.read_at(&mut buffer, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.write_all_at(&buffer[..count], offset)?;
            offset += count as u64;
        }
        file.sync_data()?;
        self.sync_dir(path.parent().unwrap_or(path))
    }
}

/// An open file, read and written by position.
#[allow(
    clippy::len_without_is_empty,
    reason = "nobody asks whether a segment is empty"
)]
pub trait File: Send + Sync {
    /// Reads up to the buffer's length; fewer bytes only at the file's end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Has the system begin to write bytes of the file to the disk, if it can, and waits for
    /// nothing. Only `sync_data` tells whether they got there.
    fn begin_sync(&self, _range: Range<u64>) {}
    /// Makes the file's content and length durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Takes room on the disk for bytes behind the file's end, which are zeros then and belong to
    /// it. The default, as some file systems, can't.
    fn allocate(&self, _range: Range<u64>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// Whether so many bytes more can be written without the file system of a folder filling beyond the
/// low-water mark.
pub(crate) fn check_space(files: &dyn Files, folder: &Path, wanted: u64) -> Result<()> {
    let free = files.free_bytes(folder).map_err(|error| {
        let doing = format_args!("can't tell the free space of {}", folder.display());
        Error::io(doing, error)
    })?;
    if free >= wanted.saturating_add(DISK_LOW_WATER_BYTES as u64) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Full,
        format!(
            "the disk that holds {} has {free} bytes free where {wanted} are wanted beyond the low-water mark of {DISK_LOW_WATER_BYTES}: free some space; reading goes on",
            folder.display()
        ),
    ))
}

/// The operating system's files.
#[derive(Debug)]
pub struct OsFiles;

impl Files for OsFiles {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(
            fs::OpenOptions::new().read(true).write(true).open(path)?,
        ))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)?,
        ))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl File for fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match FileExt::read_at(self, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    #[cfg(target_os = "linux")]
    #[allow(unsafe_code, reason = "no library has a safe form of this call")]
    fn begin_sync(&self, range: Range<u64>) {
        let (from, bytes) = (range.start as i64, (range.end - range.start) as i64);
        // SAFETY: the descriptor is open as long as the file, and no memory is passed.
        unsafe {
            libc::sync_file_range(self.as_raw_fd(), from, bytes, libc::SYNC_FILE_RANGE_WRITE);
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        fs::File::sync_data(self)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let bytes = range.end.saturating_sub(range.start);
        let allocate = || rustix::fs::fallocate(self, FallocateFlags::empty(), range.start, bytes);
        Ok(rustix::io::retry_on_intr(allocate)?)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fs::File::set_len(self, bytes)
    }
}
