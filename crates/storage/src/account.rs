use std::fmt;
use std::fs::File;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use foretell_types::{Error, ErrorKind, Instant, Result, check_storage_account};
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use crate::threads::Threads;
use crate::{check_blob, check_container_of};

/// Where the storage accounts that were made by themselves lie within the default one: no
/// container can have this name.
const ACCOUNTS: &str = "_accounts";

/// A storage account: named containers of blobs. Writes are atomic: a reader sees the old blob
/// or the new one, whole. A blob is durable once [`Account::sync`] has returned.
///
/// It holds others, each a folder of its own: a container of theirs is named `ACCOUNT:CONTAINER`.
#[derive(Clone)]
pub struct Account {
    store: Arc<dyn ObjectStore>,
    /// The folder of a local account; `None` where every write is durable by itself.
    folder: Option<PathBuf>,
    /// Where a local account's files are read and written.
    threads: Option<Threads>,
}

/// A blob without its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlobInfo {
    pub name: String,
    pub bytes: u64,
    pub modified: Instant,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.store)
    }
}

impl Account {
    /// An account in a local folder, made if it isn't there: `FOLDER/CONTAINER/BLOB`.
    pub fn local(folder: &FilePath) -> Result<Account> {
        let at = |error| Error::io(format_args!("storage folder {}", folder.display()), error);
        std::fs::create_dir_all(folder).map_err(at)?;
        let folder = folder.canonicalize().map_err(at)?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| failed("open", folder.display(), error))?;
        Ok(Account {
            store: Arc::new(store),
            folder: Some(folder),
            threads: Some(Threads::start()?),
        })
    }

    /// An account on an object store whose writes are durable when they return: Azure Blob Storage,
    /// S3 and others, as `object_store` makes them. A container is a folder in it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use foretell_storage::{Account, AccountBlobs};
    ///
    /// let store = Arc::new(object_store::memory::InMemory::new());
    /// let blobs = AccountBlobs::new(&Account::over(store))?;
    /// # Ok::<(), foretell_types::Error>(())
    /// ```
    pub fn over(store: Arc<dyn ObjectStore>) -> Account {
        Account {
            store,
            folder: None,
            threads: None,
        }
    }

    /// The same account, of which every write is durable when it returns, and a blob that takes
    /// another's place is whole even if power is lost.
    pub fn durable(&self) -> Result<Account> {
        let Some(folder) = &self.folder else {
            return Ok(self.clone());
        };
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| failed("open", folder.display(), error))?;
        Ok(Account {
            store: Arc::new(store.with_fsync(true)),
            ..self.clone()
        })
    }

    /// Writes a blob, in place of one of the same name.
    pub async fn put(&self, container: &str, name: &str, content: Bytes) -> Result<()> {
        let path = place(container, name)?;
        let (store, at) = (self.store.clone(), path.clone());
        let put = async move { store.put(&at, content.into()).await };
        self.run(put)
            .await?
            .map_err(|error| failed("write", &path, error))?;
        Ok(())
    }

    /// Writes a blob unless there is one of that name: `false`, and nothing was written. Of several
    /// who do so at once, one does. After an error it may be there or not, now or later.
    pub async fn put_new(&self, container: &str, name: &str, content: Bytes) -> Result<bool> {
        let path = place(container, name)?;
        let (store, at) = (self.store.clone(), path.clone());
        let put = async move {
            store
                .put_opts(&at, content.into(), PutMode::Create.into())
                .await
        };
        match self.run(put).await? {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(object_store::Error::NotImplemented { .. }) => Err(Error::invalid(format!(
                "{}: a blob can't be written here on the condition that it is new",
                self.store
            ))),
            Err(error) => {
                let failed = failed("write", &path, error);
                // A file that is there after all, though it, or its name, could not be synced: who
                // syncs it again may be told that all is well.
                if self.folder.is_some() && self.size(container, name).await?.is_some() {
                    let message = format!("{path} is there and may not be durable: remove it");
                    return Err(Error::new(ErrorKind::Damaged, message).with_source(failed));
                }
                Err(failed)
            }
        }
    }

    /// A blob's content; `None` if there is no such blob.
    pub async fn get(&self, container: &str, name: &str) -> Result<Option<Bytes>> {
        let path = place(container, name)?;
        let (store, at) = (self.store.clone(), path.clone());
        let get = async move { store.get(&at).await?.bytes().await };
        match self.run(get).await? {
            Ok(content) => Ok(Some(content)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    /// Bytes of a blob from an offset within it on; fewer only at its end. `None` if there is no
    /// such blob.
    pub async fn get_range(
        &self,
        container: &str,
        name: &str,
        offset: u64,
        bytes: u64,
    ) -> Result<Option<Bytes>> {
        let path = place(container, name)?;
        let (store, at) = (self.store.clone(), path.clone());
        let range = offset..offset.saturating_add(bytes);
        let get = async move { store.get_range(&at, range).await };
        match self.run(get).await? {
            Ok(content) => Ok(Some(content)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            // Stores refuse a range that begins at the end.
            Err(error) => match self.size(container, name).await? {
                Some(there) if there > offset => Err(failed("read", &path, error)),
                there => Ok(there.map(|_| Bytes::new())),
            },
        }
    }

    /// A blob's length; `None` if there is no such blob.
    pub async fn size(&self, container: &str, name: &str) -> Result<Option<u64>> {
        let path = place(container, name)?;
        let (store, at) = (self.store.clone(), path.clone());
        let head = async move { store.head(&at).await };
        match self.run(head).await? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look for", &path, error)),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        match &self.threads {
            Some(threads) => threads.run(work).await,
            None => Ok(work.await),
        }
    }

    /// Removes a blob; one that isn't there is no error.
    pub async fn delete(&self, container: &str, name: &str) -> Result<()> {
        let path = place(container, name)?;
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", &path, error)),
        }
    }

    /// The blobs of a container whose names begin with `prefix`, in order of their names.
    pub async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobInfo>> {
        let root = root(container)?;
        let folders = prefix.rsplit_once('/').map_or("", |(folders, _)| folders);
        let folders = folders.split('/').filter(|folder| !folder.is_empty());
        let below = folders.fold(root.clone(), |path, folder| path.join(folder));
        let found: Vec<_> = self
            .store
            .list(Some(&below))
            .try_collect()
            .await
            .map_err(|error| failed("list", &root, error))?;
        let mut blobs: Vec<BlobInfo> = found
            .into_iter()
            .filter_map(|meta| {
                let parts = meta.location.prefix_match(&root)?;
                let parts: Vec<_> = parts.map(|part| decoded(part.as_ref())).collect();
                let name = parts.join("/");
                name.starts_with(prefix).then(|| BlobInfo {
                    name,
                    bytes: meta.size,
                    modified: Instant {
                        seconds: meta.last_modified.timestamp(),
                        nanos: meta.last_modified.timestamp_subsec_nanos().min(999_999_999),
                    },
                })
            })
            .collect();
        blobs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(blobs)
    }

    /// Removes all blobs of a container.
    pub async fn clear(&self, container: &str) -> Result<()> {
        for blob in self.list(container, "").await? {
            self.delete(container, &blob.name).await?;
        }
        Ok(())
    }

    /// The containers that hold blobs of an account that was made by itself, as
    /// `ACCOUNT:CONTAINER`.
    pub async fn containers_of(&self, account: &str) -> Result<Vec<String>> {
        check_storage_account(account)?;
        let root = Path::from_iter([ACCOUNTS, account]);
        let listed = self.store.list_with_delimiter(Some(&root)).await;
        let listed = listed.map_err(|error| failed("list", &root, error))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.map(|name| format!("{account}:{name}")).collect())
    }

    /// Returns when every blob written so far is durable. On a local folder one sync of its file
    /// system serves all blobs; an object store is durable without it.
    pub async fn sync(&self) -> Result<()> {
        let Some(folder) = self.folder.clone() else {
            return Ok(());
        };
        let sync = move || {
            let at = |error| Error::io(format_args!("sync of {}", folder.display()), error);
            let handle = File::open(&folder).map_err(at)?;
            rustix::fs::syncfs(&handle).map_err(|error| at(error.into()))
        };
        tokio::task::spawn_blocking(sync)
            .await
            .map_err(|error| Error::unavailable(format!("the sync was cancelled: {error}")))?
    }
}

fn place(container: &str, name: &str) -> Result<Path> {
    check_blob(name)?;
    let root = root(container)?;
    Ok(name.split('/').fold(root, |path, part| path.join(part)))
}

fn root(container: &str) -> Result<Path> {
    check_container_of(container)?;
    Ok(match container.split_once(':') {
        Some((account, container)) => Path::from_iter([ACCOUNTS, account, container]),
        None => Path::from(container),
    })
}

/// A path part as the name that it encodes (`object_store` percent-encodes what a store may not
/// hold).
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part)
        .decode_utf8_lossy()
        .into_owned()
}

fn failed(doing: &str, path: impl fmt::Display, error: object_store::Error) -> Error {
    let message = format!("can't {doing} blob {path}: {error}");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    let mut kind = ErrorKind::Io;
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), std::io::ErrorKind::StorageFull)
        {
            kind = ErrorKind::Full;
        }
        cause = inner.source();
    }
    Error::new(kind, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blobs_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::local(&folder.path().join("new/folder")).unwrap();
        for name in ["a.json", "b/ü ö.txt", "b/50%#1", "b/c/d", "#7"] {
            account
                .put("results", name, Bytes::from(name.to_owned()))
                .await
                .unwrap();
        }
        account
            .put("results", "a.json", "second".into())
            .await
            .unwrap();
        account.sync().await.unwrap();
        assert_eq!(
            account.get("results", "a.json").await.unwrap().unwrap(),
            "second"
        );
        assert_eq!(
            account.get("results", "b/50%#1").await.unwrap().unwrap(),
            "b/50%#1"
        );
        assert_eq!(account.get("results", "none").await.unwrap(), None);
        let names = |blobs: Vec<BlobInfo>| blobs.into_iter().map(|b| b.name).collect::<Vec<_>>();
        let listed = names(account.list("results", "b/").await.unwrap());
        assert_eq!(listed, ["b/50%#1", "b/c/d", "b/ü ö.txt"]);
        assert_eq!(account.list("other", "").await.unwrap(), []);
        let range = |offset, bytes| account.get_range("results", "a.json", offset, bytes);
        assert_eq!(range(1, 3).await.unwrap().unwrap(), "eco");
        assert_eq!(range(4, 100).await.unwrap().unwrap(), "nd");
        assert_eq!(range(6, 1).await.unwrap().unwrap(), "");
        assert_eq!(
            account.get_range("results", "none", 0, 1).await.unwrap(),
            None
        );
        assert_eq!(account.size("results", "a.json").await.unwrap(), Some(6));
        assert_eq!(account.size("results", "none").await.unwrap(), None);
        account.delete("results", "a.json").await.unwrap();
        account.delete("results", "a.json").await.unwrap();
        assert_eq!(account.list("results", "").await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn accounts_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::local(folder.path()).unwrap();
        for container in ["results", "north:results", "south:results", "north:other"] {
            let content = Bytes::from(container.to_owned());
            account.put(container, "a/b", content).await.unwrap();
        }
        assert!(folder.path().join("_accounts/north/results/a/b").is_file());
        let get = async |container| account.get(container, "a/b").await.unwrap();
        assert_eq!(get("north:results").await.unwrap(), "north:results");
        let mut listed = account.containers_of("north").await.unwrap();
        listed.sort();
        assert_eq!(listed, ["north:other", "north:results"]);
        account.clear("north:results").await.unwrap();
        assert_eq!(get("north:results").await, None);
        assert_eq!(get("results").await.unwrap(), "results");
        assert_eq!(get("south:results").await.unwrap(), "south:results");
        assert!(account.containers_of("none").await.unwrap().is_empty());
        assert!(account.containers_of("../x").await.is_err());
    }

    #[tokio::test]
    async fn names_cannot_leave_the_container() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::local(folder.path()).unwrap();
        for name in [
            "", "../x", "a/../b", "/x", "x/", "a//b", "a\0b", "a\\b", ".",
        ] {
            assert!(
                account.put("results", name, Bytes::new()).await.is_err(),
                "{name:?}"
            );
        }
        for container in ["", "ab", "Abc", "-abc", "a--b", "a/b", "..."] {
            assert!(account.get(container, "x").await.is_err(), "{container:?}");
        }
    }
}
