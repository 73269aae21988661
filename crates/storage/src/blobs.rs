use std::future::Future;
use std::path::Path;

use foretell_log::Blobs;
use foretell_types::{Error, Result};

use crate::Account;
use crate::blocking::Blocking;

/// A storage account as the log uses it: by calls that block. A name is `CONTAINER/BLOB`.
///
/// They may come from any thread, also from one of the runtime that serves requests, and while
/// others of it wait for the log. So nothing of that runtime is needed to answer them: the account
/// is driven by a runtime of its own.
pub struct AccountBlobs {
    account: Account,
    blocking: Blocking,
}

impl AccountBlobs {
    pub fn new(account: &Account) -> Result<AccountBlobs> {
        Ok(AccountBlobs {
            account: account.durable()?,
            blocking: Blocking::new("foretell-account"),
        })
    }

    /// Those of a local account that is there.
    pub fn of_folder(folder: &Path) -> Result<AccountBlobs> {
        if !folder.exists() {
            let folder = folder.display();
            return Err(Error::not_found(format!(
                "there is no storage account in {folder}"
            )));
        }
        AccountBlobs::new(&Account::local(folder)?)
    }

    fn call<T: Send + 'static, W>(&self, work: impl FnOnce(Account) -> W) -> Result<T>
    where
        W: Future<Output = Result<T>> + Send + 'static,
    {
        self.blocking.call(work(self.account.clone()))
    }
}

impl std::fmt::Debug for AccountBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountBlobs({:?})", self.account)
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

    fn put_new(&self, name: &str, content: Vec<u8>) -> Result<bool> {
        let (container, blob) = split(name)?;
        self.call(|account| async move { account.put_new(&container, &blob, content.into()).await })
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
    use std::sync::Arc;

    use foretell_log::conformance::check_blobs;
    use object_store::memory::InMemory;
    use tokio::runtime::Builder;

    use super::*;

    /// From a thread without a runtime, and from the only one of a runtime.
    fn check(account: &Account) {
        check_blobs(&AccountBlobs::new(account).unwrap(), "box/first");
        let account = account.clone();
        let single = Builder::new_current_thread().build().unwrap();
        single.block_on(async move {
            check_blobs(&AccountBlobs::new(&account).unwrap(), "box/second");
        });
    }

    #[test]
    fn a_local_account_conforms() {
        let folder = tempfile::tempdir().unwrap();
        check(&Account::local(folder.path()).unwrap());
    }

    #[test]
    fn an_object_store_conforms() {
        check(&Account::over(Arc::new(InMemory::new())));
    }

    #[test]
    fn a_name_without_a_container_is_refused() {
        let blobs = AccountBlobs::new(&Account::over(Arc::new(InMemory::new()))).unwrap();
        let error = blobs.put("box", Vec::new()).unwrap_err();
        assert!(error.to_string().contains("CONTAINER/BLOB"), "{error}");
    }
}
