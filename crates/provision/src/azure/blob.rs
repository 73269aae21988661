use async_trait::async_trait;
use foretell_types::{Error, Result, check_blob};

use super::arm::{AutoName, text};
use super::native::encode;
use super::pack;
use super::resource::{Checked, Kind, Of};
use super::schema::failure;
use crate::{Archive, ArchiveSource, Asset, AssetSource, CheckFailure, Properties, Value};

/// A blob whose content the program gives.
pub struct Blob;

fn path(inputs: &Properties) -> String {
    let name = text(inputs, "blobName").split('/').map(encode);
    format!(
        "/storageAccounts/{}/containers/{}/blobs/{}",
        encode(text(inputs, "accountName")),
        encode(text(inputs, "containerName")),
        name.collect::<Vec<_>>().join("/")
    )
}

/// What of a source is at an address.
fn remote(source: &Value) -> Option<&str> {
    match source.plain() {
        Value::Asset(Asset {
            source: AssetSource::Uri(uri),
            ..
        })
        | Value::Archive(Archive {
            source: ArchiveSource::Uri(uri),
            ..
        }) => Some(uri),
        Value::Archive(Archive {
            source: ArchiveSource::Parts(parts),
            ..
        }) => parts.values().find_map(remote),
        _ => None,
    }
}

#[async_trait]
impl Kind for Blob {
    fn token(&self) -> &'static str {
        "azure-native:storage:Blob"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.Storage/storageAccounts/{accountName}/blobServices/default/containers/{containerName}/blobs/{blobName}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("blobName", AutoName::Copy)
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["type"]
    }

    fn is_placed(&self) -> bool {
        false
    }

    fn check(&self, _: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        if let Some(name) = inputs.get("blobName").and_then(Value::as_str)
            && let Err(error) = check_blob(name)
        {
            failures.push(failure("blobName", error.message()));
        }
        if text(inputs, "type").eq_ignore_ascii_case("Append") {
            failures.push(failure(
                "type",
                "append blobs aren't made here: leave it out",
            ));
        }
        if let Some(uri) = inputs.get("source").and_then(remote) {
            failures.push(failure("source", pack::not_fetched(uri).message()));
        }
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        let source = inputs.get("source").cloned();
        let packed = tokio::task::spawn_blocking(move || match source {
            Some(source) => pack::content(&source),
            None => Ok(Vec::new()),
        });
        let content = packed
            .await
            .map_err(|error| Error::unavailable(format!("the packing was cut off: {error}")))??;
        of.server
            .put_bytes(&path(inputs), content)
            .await
            .map(|_| ())
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        if of.server.get(&path(inputs)).await?.is_none() {
            return Ok(None);
        }
        let url = format!(
            "https://{}.blob.core.windows.net/{}/{}",
            text(inputs, "accountName"),
            text(inputs, "containerName"),
            text(inputs, "blobName")
        );
        // In place of the type of the resource manager: it isn't one of its resources.
        let kind = inputs.get("type").cloned();
        Ok(Some(Properties::from([
            ("url".to_owned(), url.into()),
            ("type".to_owned(), kind.unwrap_or_else(|| "Block".into())),
        ])))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        of.server.delete(&path(inputs)).await
    }
}
