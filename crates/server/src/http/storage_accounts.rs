//! Storage accounts beside the default one.

use axum::extract::{Path, Request, State};
use foretell_protocol::Permission;
use foretell_types::limits::BLOB_BODY_BYTES;
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json, json_with};
use super::body::read_request;
use super::{Server, admin_body, key_slot, keys_json, made_status, require, require_admin};
use crate::node::{StorageAccountConfig, no_blob, to_the_end};

type OfContainer = Path<(String, String)>;
type OfBlob = Path<(String, String, String)>;

fn account_json(account: &StorageAccountConfig) -> Value {
    json!({ "name": account.name, "containers": account.containers })
}

/// `GET /storageAccounts`
pub async fn list_accounts(State(node): Server, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    let config = node.config();
    let accounts = config.storage_accounts.values();
    answer_json(&accounts.map(account_json).collect::<Vec<_>>())
}

/// `GET /storageAccounts/{account}`
pub async fn get_account(
    State(node): Server,
    Path(account): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    answer_json(&account_json(&node.storage_account(&account)?))
}

/// `PUT /storageAccounts/{account}`
pub async fn put_account(
    State(node): Server,
    Path(account): Path<String>,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let (to, name) = (node.clone(), account.clone());
    let made = to_the_end(async move { to.put_storage_account(&name).await }).await?;
    json_with(
        made_status(made),
        &account_json(&node.storage_account(&account)?),
    )
}

/// `DELETE /storageAccounts/{account}`
pub async fn delete_account(
    State(node): Server,
    Path(account): Path<String>,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let name = account.clone();
    to_the_end(async move { node.delete_storage_account(&name).await }).await?;
    answer_json(&json!({ "deleted": account }))
}

/// `POST /storageAccounts/{account}/listKeys`
pub async fn list_keys(
    State(node): Server,
    Path(account): Path<String>,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let account = node.storage_account(&account)?;
    answer_json(&keys_json(&node.storage_keys(&account)))
}

/// `POST /storageAccounts/{account}/regenerateKey` with `{"keyName": "key1"}`
pub async fn regenerate_key(
    State(node): Server,
    Path(account): Path<String>,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let slot = key_slot(&admin_body(request).await?)?;
    let (to, name) = (node.clone(), account.clone());
    to_the_end(async move { to.regenerate_storage_key(&name, slot).await }).await?;
    let account = node.storage_account(&account)?;
    answer_json(&keys_json(&node.storage_keys(&account)))
}

/// `GET /storageAccounts/{account}/containers/{container}`
pub async fn get_container(
    State(node): Server,
    Path((account, container)): OfContainer,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    let known = node.storage_account(&account)?;
    node.check_container_known(&known, &container)?;
    answer_json(&json!({ "account": account, "name": container }))
}

/// `PUT /storageAccounts/{account}/containers/{container}`
pub async fn put_container(
    State(node): Server,
    Path((account, container)): OfContainer,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let (of, name) = (account.clone(), container.clone());
    let made = to_the_end(async move { node.put_container(&of, &name).await }).await?;
    json_with(
        made_status(made),
        &json!({ "account": account, "name": container }),
    )
}

/// `DELETE /storageAccounts/{account}/containers/{container}`
pub async fn delete_container(
    State(node): Server,
    Path((account, container)): OfContainer,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let name = container.clone();
    to_the_end(async move { node.delete_container(&account, &name).await }).await?;
    answer_json(&json!({ "deleted": container }))
}

fn blob_json(account: &str, container: &str, name: &str, bytes: u64) -> Value {
    json!({ "account": account, "container": container, "name": name, "bytes": bytes })
}

/// `GET /storageAccounts/{account}/containers/{container}/blobs/{blob}`: what it is, not what is
/// in it.
pub async fn get_blob(
    State(node): Server,
    Path((account, container, name)): OfBlob,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    let found = node.find_blob(&account, &container, &name).await?;
    let bytes = found.ok_or_else(|| no_blob(&container, &name))?;
    answer_json(&blob_json(&account, &container, &name, bytes))
}

/// `PUT /storageAccounts/{account}/containers/{container}/blobs/{blob}`: the body is its content.
pub async fn put_blob(
    State(node): Server,
    Path((account, container, name)): OfBlob,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let content = read_request(request, BLOB_BODY_BYTES).await?;
    let described = blob_json(&account, &container, &name, content.len() as u64);
    let put = async move { node.put_blob(&account, &container, &name, content).await };
    json_with(made_status(to_the_end(put).await?), &described)
}

/// `DELETE /storageAccounts/{account}/containers/{container}/blobs/{blob}`
pub async fn delete_blob(
    State(node): Server,
    Path((account, container, name)): OfBlob,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let deleted = json!({ "deleted": name });
    to_the_end(async move { node.delete_blob(&account, &container, &name).await }).await?;
    answer_json(&deleted)
}
