//! The storage account: containers of blobs, on a local folder, or on any store that `object_store`
//! speaks to.
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
mod blobs;
mod blocking;
#[cfg(feature = "jetstream")]
mod jetstream;
mod threads;

pub use account::{Account, BlobInfo};
pub use blobs::AccountBlobs;
pub use foretell_types::{check_blob, check_container_of};
#[cfg(feature = "jetstream")]
pub use jetstream::{JetStreamBlobs, JetStreamOptions};
