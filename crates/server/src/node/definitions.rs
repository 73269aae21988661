//! What is defined beside topics and subscriptions: function apps, storage accounts, namespaces,
//! datasets.

use std::collections::BTreeSet;

use foretell_types::Result;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Owner;
use super::config::{Change, Definition};
use super::secrets::SecretRef;

/// A function app that was made through the API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FunctionAppConfig {
    pub name: String,
    /// The version of Python that it asks for, such as `3.11`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The names of its app settings; the values are in the secret.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub settings: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

/// The code of a function app: a zip in the data directory, by its hash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Code {
    /// BLAKE3 of the zip, in hexadecimal digits.
    pub hash: String,
    pub bytes: u64,
    pub files: u64,
}

/// A storage account beside the default one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StorageAccountConfig {
    pub name: String,
    /// Its keys derive from this: one that is made anew has others.
    pub id: Uuid,
    pub key_generations: [u32; 2],
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub containers: BTreeSet<String>,
}

/// An Event Grid namespace. Its topics are named `NAMESPACE.TOPIC`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamespaceConfig {
    pub name: String,
    /// Its keys derive from this.
    pub id: Uuid,
    pub key_generations: [u32; 2],
}

/// A dataset as it was defined.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DatasetConfig {
    pub name: String,
    /// Its SQL.
    pub text: String,
    pub owner: Owner,
}

impl Definition for DatasetConfig {
    const KIND: &'static str = "dataset";

    fn subject(&self) -> String {
        format!("datasets/{}", self.name)
    }
}

impl Definition for FunctionAppConfig {
    const KIND: &'static str = "function_app";

    fn subject(&self) -> String {
        format!("functions/{}", self.name)
    }
}

impl Definition for StorageAccountConfig {
    const KIND: &'static str = "storage_account";

    fn subject(&self) -> String {
        format!("storageAccounts/{}", self.name)
    }
}

impl Definition for NamespaceConfig {
    const KIND: &'static str = "namespace";

    fn subject(&self) -> String {
        format!("namespaces/{}", self.name)
    }
}

/// The event of a change from one definition to another; none if nothing changed.
pub fn change_event<T: Definition + PartialEq>(
    id: Uuid,
    known: Option<&T>,
    changed: &T,
) -> Result<Option<foretell_types::NewEvent>> {
    match known {
        Some(known) if known == changed => Ok(None),
        Some(known) => changed.event(id, Change::Updated(known)).map(Some),
        None => changed.event(id, Change::Created).map(Some),
    }
}
