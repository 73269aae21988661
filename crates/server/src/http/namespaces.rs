//! Event Grid namespaces. Their topics are those at `/namespaces/{namespace}/topics/{topic}`, which
//! is another path of `/topics/{namespace}.{topic}`.

use axum::extract::{Path, Request, State};
use foretell_protocol::Permission;
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json, json_with};
use super::{Server, admin_body, key_slot, keys_json, made_status, require};
use crate::Node;
use crate::node::{NamespaceConfig, to_the_end};

fn namespace_json(node: &Node, namespace: &NamespaceConfig) -> Value {
    let url = node.url().unwrap_or_default();
    json!({
        "name": namespace.name,
        "endpoint": format!("{url}/namespaces/{}", namespace.name),
        "topics": node.topics_of_namespace(&namespace.name),
    })
}

/// `GET /namespaces`
pub async fn list_namespaces(State(node): Server, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    let config = node.config();
    let namespaces = config.namespaces.values();
    let all: Vec<Value> = namespaces
        .map(|found| namespace_json(&node, found))
        .collect();
    answer_json(&all)
}

/// `GET /namespaces/{namespace}`
pub async fn get_namespace(
    State(node): Server,
    Path(namespace): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    answer_json(&namespace_json(&node, &node.namespace(&namespace)?))
}

/// `PUT /namespaces/{namespace}`
pub async fn put_namespace(
    State(node): Server,
    Path(namespace): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    let (to, name) = (node.clone(), namespace.clone());
    let made = to_the_end(async move { to.put_namespace(&name).await }).await?;
    let found = node.namespace(&namespace)?;
    json_with(made_status(made), &namespace_json(&node, &found))
}

/// `DELETE /namespaces/{namespace}`
pub async fn delete_namespace(
    State(node): Server,
    Path(namespace): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    let name = namespace.clone();
    to_the_end(async move { node.delete_namespace(&name).await }).await?;
    answer_json(&json!({ "deleted": namespace }))
}

/// `POST /namespaces/{namespace}/listKeys`
pub async fn list_keys(
    State(node): Server,
    Path(namespace): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    let namespace = node.namespace(&namespace)?;
    answer_json(&keys_json(&node.namespace_keys(&namespace)))
}

/// `POST /namespaces/{namespace}/regenerateKey` with `{"keyName": "key1"}`
pub async fn regenerate_key(
    State(node): Server,
    Path(namespace): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    let slot = key_slot(&admin_body(request).await?)?;
    let (to, name) = (node.clone(), namespace.clone());
    to_the_end(async move { to.regenerate_namespace_key(&name, slot).await }).await?;
    let namespace = node.namespace(&namespace)?;
    answer_json(&keys_json(&node.namespace_keys(&namespace)))
}
