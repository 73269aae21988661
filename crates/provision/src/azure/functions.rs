//! The functions of `azure-native`, and the list of all that there is.

use foretell_types::{Error, Result};
use serde_json::Value as Json;

use super::arm::{self, text, uuid_of};
use super::blob::Blob;
use super::event_subscription::EventSubscription;
use super::group::ResourceGroup;
use super::namespace::{Namespace, NamespaceTopic, NamespaceTopicEventSubscription};
use super::native::{Server, encode};
use super::plan::AppServicePlan;
use super::resource::Kind;
use super::sas::service_sas;
use super::storage::{BlobContainer, StorageAccount};
use super::topic::Topic;
use super::web_app::WebApp;
use super::web_settings::WebAppApplicationSettings;
use crate::{Invoke, Properties, Value};

/// Every type of resource.
pub const KINDS: &[&dyn Kind] = &[
    &ResourceGroup,
    &StorageAccount,
    &BlobContainer,
    &Blob,
    &Topic,
    &EventSubscription,
    &Namespace,
    &NamespaceTopic,
    &NamespaceTopicEventSubscription,
    &AppServicePlan,
    &WebApp,
    &WebAppApplicationSettings,
];

/// The functions that look at a resource, and its type.
const GETS: [(&str, &str); 10] = [
    (
        "azure-native:resources:getResourceGroup",
        "azure-native:resources:ResourceGroup",
    ),
    (
        "azure-native:storage:getStorageAccount",
        "azure-native:storage:StorageAccount",
    ),
    (
        "azure-native:storage:getBlobContainer",
        "azure-native:storage:BlobContainer",
    ),
    (
        "azure-native:eventgrid:getTopic",
        "azure-native:eventgrid:Topic",
    ),
    (
        "azure-native:eventgrid:getEventSubscription",
        "azure-native:eventgrid:EventSubscription",
    ),
    (
        "azure-native:eventgrid:getNamespace",
        "azure-native:eventgrid:Namespace",
    ),
    (
        "azure-native:eventgrid:getNamespaceTopic",
        "azure-native:eventgrid:NamespaceTopic",
    ),
    (
        "azure-native:eventgrid:getNamespaceTopicEventSubscription",
        "azure-native:eventgrid:NamespaceTopicEventSubscription",
    ),
    (
        "azure-native:web:getAppServicePlan",
        "azure-native:web:AppServicePlan",
    ),
    ("azure-native:web:getWebApp", "azure-native:web:WebApp"),
];

const STORAGE_KEYS: &str = "azure-native:storage:listStorageAccountKeys";
const SERVICE_SAS: &str = "azure-native:storage:listStorageAccountServiceSAS";
const TOPIC_KEYS: &str = "azure-native:eventgrid:listTopicSharedAccessKeys";
const NAMESPACE_KEYS: &str = "azure-native:eventgrid:listNamespaceSharedAccessKeys";
const HOST_KEYS: &str = "azure-native:web:listWebAppHostKeys";
const CLIENT: &str = "azure-native:authorization:getClientConfig";

/// Every function.
pub fn tokens() -> Vec<&'static str> {
    let own = [
        STORAGE_KEYS,
        SERVICE_SAS,
        TOPIC_KEYS,
        NAMESPACE_KEYS,
        HOST_KEYS,
        CLIENT,
    ];
    own.into_iter()
        .chain(GETS.map(|(token, _)| token))
        .collect()
}

/// The type of resource that a function looks at.
pub fn looked_at(token: &str) -> Option<&'static dyn Kind> {
    let (_, of) = GETS.iter().find(|(get, _)| *get == token)?;
    KINDS.iter().copied().find(|kind| kind.token() == *of)
}

pub async fn invoke(server: Server<'_>, invoke: Invoke<'_>) -> Result<Properties> {
    let named = |name: &str| match text(invoke.args, name) {
        "" => Err(Error::invalid(format!("{name} is missing"))),
        found => Ok(encode(found)),
    };
    match invoke.token {
        STORAGE_KEYS => {
            let path = format!("/storageAccounts/{}/listKeys", named("accountName")?);
            Ok(storage_keys(&server.post(&path).await?))
        }
        SERVICE_SAS => {
            let path = format!("/storageAccounts/{}/listKeys", named("accountName")?);
            let keys = server.post(&path).await?;
            let which = match text(invoke.args, "keyToSign") {
                "" => "key1",
                named => named,
            };
            let key = keys[which].as_str().ok_or_else(|| {
                Error::invalid(format!("keyToSign is {which:?}: expected key1 or key2"))
            })?;
            let token = Value::secret(service_sas(invoke.args, key)?);
            Ok(Properties::from([("serviceSasToken".to_owned(), token)]))
        }
        TOPIC_KEYS => {
            let path = format!("/topics/{}/listKeys", named("topicName")?);
            Ok(both_keys(&server.post(&path).await?))
        }
        NAMESPACE_KEYS => {
            let path = format!("/namespaces/{}/listKeys", named("namespaceName")?);
            Ok(both_keys(&server.post(&path).await?))
        }
        HOST_KEYS => {
            let path = format!("/functions/{}/listKeys", named("name")?);
            Ok(host_keys(&server.post(&path).await?))
        }
        CLIENT => Ok(client(invoke.config)),
        other => Err(Error::invalid(format!("there is no function {other} here"))),
    }
}

fn secret(key: &Json) -> Value {
    Value::secret(Value::from_json(key.clone()))
}

fn both_keys(keys: &Json) -> Properties {
    let key = |name: &str| (name.to_owned(), secret(&keys[name]));
    Properties::from([key("key1"), key("key2")])
}

fn storage_keys(keys: &Json) -> Properties {
    let key = |name: &str| {
        Value::from([
            ("keyName", name.into()),
            ("permissions", "FULL".into()),
            ("value", secret(&keys[name])),
        ])
    };
    let keys = Value::List(vec![key("key1"), key("key2")]);
    Properties::from([("keys".to_owned(), keys)])
}

fn host_keys(keys: &Json) -> Properties {
    let functions = Value::from([("default", secret(&keys["default"]))]);
    Properties::from([
        ("masterKey".to_owned(), secret(&keys["master"])),
        ("functionKeys".to_owned(), functions),
        ("systemKeys".to_owned(), Value::Map(Properties::new())),
    ])
}

/// Who the program runs as: nobody of Azure, always the same.
fn client(config: &Properties) -> Properties {
    let id = |name: &str| Value::from(uuid_of(name));
    Properties::from([
        ("clientId".to_owned(), id("client")),
        ("objectId".to_owned(), id("object")),
        ("tenantId".to_owned(), id("tenant")),
        (
            "subscriptionId".to_owned(),
            arm::subscription_id(config).into(),
        ),
    ])
}
