use std::future::Future;
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};

use foretell_log::Blobs;
use foretell_storage::Account;
use foretell_types::{Error, Result};
use tokio::runtime::{Builder, Runtime};

/// The storage account as the log uses it: by calls that block.
///
/// They may come from any thread, also from one of the runtime that serves requests, and while
/// others of it wait for the log. So nothing of that runtime is needed to answer them: the account
/// is driven by a runtime of its own.
pub struct AccountBlobs {
    account: Account,
    /// Made at the first call: most logs archive nothing.
    runtime: OnceLock<Result<Runtime>>,
}

impl AccountBlobs {
    pub fn new(account: &Account) -> Result<AccountBlobs> {
        Ok(AccountBlobs {
            account: account.durable()?,
            runtime: OnceLock::new(),
        })
    }

    fn call<T: Send + 'static, W>(&self, work: impl FnOnce(Account) -> W) -> Result<T>
    where
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let runtime = self.runtime.get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            let builder = builder.worker_threads(1).thread_name("foretell-account");
            let built = builder.enable_all().build();
            built.map_err(|error| Error::io("can't start a thread for the storage account", error))
        });
        let runtime = runtime.as_ref().map_err(Clone::clone)?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = work(self.account.clone());
        runtime.spawn(async move {
            // Who asked waits.
            let _ = sender.send(work.await);
        });
        let answer = receiver.recv();
        answer.map_err(|_| Error::unavailable("the work on the storage account was cut off"))?
    }
}

/// The storage account in a folder that is there, for who has no node: a log is brought back from a
/// backup before there is one.
pub fn account_blobs(folder: &Path) -> Result<Arc<dyn Blobs>> {
    if !folder.exists() {
        let folder = folder.display();
        return Err(Error::not_found(format!(
            "there is no storage account in {folder}"
        )));
    }
    Ok(Arc::new(AccountBlobs::new(&Account::local(folder)?)?))
}

impl std::fmt::Debug for AccountBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountBlobs({:?})", self.account)
    }
}

impl Drop for AccountBlobs {
    fn drop(&mut self) {
        // The last one may be let go where nothing may block.
        if let Some(Ok(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Container and blob of a name.
fn split(name: &str) -> Result<(String, String)> {
    let parts = name.split_once('/');
    let (container, blob) = parts.ok_or_else(|| {
        Error::invalid(format!(
            "{name:?} names no blob: CONTAINER/BLOB is expected"
        ))
    })?;
    Ok((container.to_owned(), blob.to_owned()))
}

impl Blobs for AccountBlobs {
    fn put(&self, name: &str, content: Vec<u8>) -> Result<()> {
        let (container, blob) = split(name)?;
        self.call(|account| async move { account.put(&container, &blob, content.into()).await })
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<Option<usize>> {
        let (container, blob) = split(name)?;
        let bytes = buffer.len() as u64;
        let read = self.call(|account| async move {
            account.get_range(&container, &blob, offset, bytes).await
        })?;
        Ok(read.map(|content| {
            let count = content.len().min(buffer.len());
            buffer[..count].copy_from_slice(&content[..count]);
            count
        }))
    }

    fn bytes(&self, name: &str) -> Result<Option<u64>> {
        let (container, blob) = split(name)?;
        self.call(|account| async move { account.size(&container, &blob).await })
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let (container, prefix) = split(&format!("{folder}/"))?;
        let in_container = container.clone();
        let found = self.call(|account| async move { account.list(&container, &prefix).await })?;
        let found = found.into_iter();
        Ok(found
            .map(|blob| (format!("{in_container}/{}", blob.name), blob.bytes))
            .collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let (container, blob) = split(name)?;
        self.call(|account| async move { account.delete(&container, &blob).await })
    }

    fn describe(&self, name: &str) -> String {
        match name.split_once('/') {
            Some((container, blob)) => format!("blob {blob} of container {container}"),
            None => format!("blob {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    fn all(blobs: &AccountBlobs) {
        blobs.put("box/a/1", b"first".to_vec()).unwrap();
        blobs.put("box/a/1", b"second".to_vec()).unwrap();
        blobs.put("box/ab", b"other".to_vec()).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(blobs.read("box/a/1", 1, &mut buffer).unwrap(), Some(4));
        assert_eq!(&buffer, b"econ");
        assert_eq!(blobs.read("box/a/1", 4, &mut buffer).unwrap(), Some(2));
        assert_eq!(blobs.read("box/a/2", 0, &mut buffer).unwrap(), None);
        assert_eq!(blobs.bytes("box/a/1").unwrap(), Some(6));
        assert_eq!(blobs.bytes("box/a/2").unwrap(), None);
        let listed = blobs.list("box/a").unwrap();
        assert_eq!(listed, [("box/a/1".to_owned(), 6)]);
        assert_eq!(blobs.list("box").unwrap().len(), 2);
        blobs.remove("box/a/1").unwrap();
        blobs.remove("box/a/1").unwrap();
        assert_eq!(blobs.list("box/a").unwrap(), []);
        assert!(blobs.put("box", Vec::new()).is_err());
    }

    /// From a thread without a runtime, and from the only one of a runtime.
    #[test]
    fn calls_block_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::local(folder.path()).unwrap();
        all(&AccountBlobs::new(&account).unwrap());
        let single = Builder::new_current_thread().build().unwrap();
        single.block_on(async move { all(&AccountBlobs::new(&account).unwrap()) });
    }
}
