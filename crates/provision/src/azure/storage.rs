use async_trait::async_trait;
use foretell_types::{Error, ErrorKind, Result, check_container, check_storage_account};
use serde_json::json;

use super::arm::{AutoName, text};
use super::native::encode;
use super::resource::{Checked, Kind, Of};
use super::schema::failure;
use crate::{CheckFailure, Properties, Value};

/// A storage account: a part of the server's own to itself.
pub struct StorageAccount;
/// A container of one.
pub struct BlobContainer;

/// The addresses of an account. Programs for Azure take them apart, so they are as they are there.
fn endpoints(account: &str) -> Value {
    let of = |service: &str| -> Value {
        format!("https://{account}.{service}.core.windows.net/").into()
    };
    Value::from([
        ("blob", of("blob")),
        ("queue", of("queue")),
        ("table", of("table")),
    ])
}

fn account_path(inputs: &Properties) -> String {
    format!("/storageAccounts/{}", encode(text(inputs, "accountName")))
}

#[async_trait]
impl Kind for StorageAccount {
    fn token(&self) -> &'static str {
        "azure-native:storage:StorageAccount"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.Storage/storageAccounts"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.Storage/storageAccounts/{accountName}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("accountName", AutoName::Plain(24))
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["kind", "isHnsEnabled"]
    }

    fn check(&self, _: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        if let Some(name) = inputs.get("accountName").and_then(Value::as_str)
            && let Err(error) = check_storage_account(name)
        {
            failures.push(failure("accountName", error.message()));
        }
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, fresh: bool) -> Result<()> {
        let path = account_path(inputs);
        if fresh && of.server.get(&path).await?.is_some() {
            return Err(taken("storage account", text(inputs, "accountName")));
        }
        of.server.put(&path, json!({})).await.map(|_| ())
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let path = account_path(inputs);
        if of.server.get(&path).await?.is_none() {
            return Ok(None);
        }
        let location = inputs.get("location").cloned();
        let location = location.unwrap_or_else(|| super::arm::location(of.config).into());
        Ok(Some(Properties::from([
            ("provisioningState".to_owned(), "Succeeded".into()),
            ("primaryLocation".to_owned(), location),
            ("statusOfPrimary".to_owned(), "available".into()),
            (
                "primaryEndpoints".to_owned(),
                endpoints(text(inputs, "accountName")),
            ),
        ])))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        of.server.delete(&account_path(inputs)).await
    }
}

fn container_path(inputs: &Properties) -> String {
    let container = encode(text(inputs, "containerName"));
    format!("{}/containers/{container}", account_path(inputs))
}

#[async_trait]
impl Kind for BlobContainer {
    fn token(&self) -> &'static str {
        "azure-native:storage:BlobContainer"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.Storage/storageAccounts/blobServices/containers"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.Storage/storageAccounts/{accountName}/blobServices/default/containers/{containerName}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("containerName", AutoName::Copy)
    }

    fn is_placed(&self) -> bool {
        false
    }

    fn check(&self, _: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        if let Some(name) = inputs.get("containerName").and_then(Value::as_str)
            && let Err(error) = check_container(name)
        {
            failures.push(failure("containerName", error.message()));
        }
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        let path = container_path(inputs);
        of.server.put(&path, json!({})).await.map(|_| ())
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let found = of.server.get(&container_path(inputs)).await?;
        Ok(found.map(|_| {
            Properties::from([
                ("hasImmutabilityPolicy".to_owned(), false.into()),
                ("hasLegalHold".to_owned(), false.into()),
                ("leaseState".to_owned(), "Available".into()),
            ])
        }))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        of.server.delete(&container_path(inputs)).await
    }
}

/// A name that is not this stack's.
pub fn taken(what: &str, name: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "there is a {what} {name:?} already, which this stack didn't make: give this one another name, or leave the name out"
        ),
    )
}
