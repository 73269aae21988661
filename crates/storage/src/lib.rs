//! The storage account: containers of blobs, on a local folder (Azure Blob Storage and S3 are the
//! same interface of `object_store`).
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let folder = tempfile::tempdir().unwrap();
//! let account = foretell_storage::Account::local(folder.path()).unwrap();
//! account.put("results", "customers/7.json", "{}".into()).await.unwrap();
//! assert_eq!(account.get("results", "customers/7.json").await.unwrap().unwrap(), "{}");
//! # });
//! ```

mod account;
mod threads;

pub use account::{Account, BlobInfo};
pub use foretell_types::{check_blob, check_container_of};
