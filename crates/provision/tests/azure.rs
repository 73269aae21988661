//! The azure-native resources against a server in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use foretell_provision::azure::{AzureNative, AzureOptions};
use foretell_provision::{
    Body, Check, Control, Create, Delete, Invoke, Known, Method, Properties, Provider, Resource,
    Update, Urn, Value,
};
use foretell_types::{Error, ErrorKind, Result};
use serde_json::{Value as Json, json};

/// What was put, by path; a function app is ready, with one function.
#[derive(Default)]
struct Memory {
    there: Mutex<BTreeMap<String, Json>>,
    calls: Mutex<Vec<String>>,
}

#[async_trait]
impl Control for Memory {
    async fn call(&self, method: Method, path: &str, body: Body) -> Result<Json> {
        self.calls
            .lock()
            .unwrap()
            .push(format!("{method:?} {path}"));
        let path = path.split('?').next().unwrap_or("");
        let mut there = self.there.lock().unwrap();
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no {path}"));
        match (method, body) {
            (Method::Get, _) => there.get(path).cloned().ok_or_else(missing),
            (Method::Delete, _) => there.remove(path).ok_or_else(missing),
            (Method::Post, _) => Ok(json!({"key1": "one", "key2": "two"})),
            (Method::Put, Body::Bytes(bytes)) => {
                let app = there.get_mut(path.strip_suffix("/code").unwrap()).unwrap();
                app["code"] = json!({"hash": blake3::hash(&bytes).to_hex().as_str()});
                app["functions"] = json!([{"name": "process"}]);
                Ok(app.clone())
            }
            (Method::Put, Body::Json(mut body)) => {
                if path.starts_with("/functions/") {
                    let code = there.get(path).map(|app| app["code"].clone());
                    body["code"] = code.unwrap_or_default();
                    body["owner"] = "api".into();
                    body["state"] = json!({"status": "ready"});
                    body["functions"] = json!([]);
                }
                there.insert(path.to_owned(), body.clone());
                Ok(body)
            }
            (Method::Put, Body::None) => panic!("nothing to put"),
        }
    }

    fn url(&self) -> String {
        "http://127.0.0.1:4077".to_owned()
    }
}

struct World {
    server: Arc<Memory>,
    provider: AzureNative,
    config: Properties,
}

/// A resource of the stack, as the engine would keep it.
#[derive(Clone, Debug)]
struct Made {
    urn: Urn,
    token: String,
    id: String,
    inputs: Properties,
    outputs: Properties,
}

impl Made {
    fn text(&self, name: &str) -> String {
        self.outputs[name].as_str().unwrap().to_owned()
    }
}

fn properties(json: Json) -> Properties {
    Value::from_json(json).as_map().unwrap().clone()
}

fn token(short: &str) -> String {
    format!("azure-native:{short}")
}

impl World {
    fn new(options: AzureOptions) -> World {
        let server = Arc::new(Memory::default());
        World {
            provider: AzureNative::new(server.clone(), options),
            server,
            config: properties(json!({"location": "northeurope"})),
        }
    }

    fn check(
        &self,
        short: &str,
        inputs: Json,
        old: Option<&Properties>,
    ) -> std::result::Result<Properties, String> {
        let (token, inputs) = (token(short), properties(inputs));
        let urn = Urn::new("dev", "shop", None, &token, "orders");
        let resource = Resource {
            urn: &urn,
            token: &token,
            config: &self.config,
        };
        let check = Check {
            resource,
            inputs: &inputs,
            old,
            seed: 42,
        };
        self.provider.check(check).map_err(|failures| {
            let all = failures
                .iter()
                .map(|one| format!("{}: {}", one.property, one.reason));
            all.collect::<Vec<_>>().join("\n")
        })
    }

    async fn make(&self, short: &str, inputs: Json) -> Made {
        self.try_make(short, inputs).await.unwrap()
    }

    async fn try_make(&self, short: &str, inputs: Json) -> std::result::Result<Made, String> {
        let inputs = self.check(short, inputs, None)?;
        let token = token(short);
        let urn = Urn::new("dev", "shop", None, &token, "orders");
        let resource = Resource {
            urn: &urn,
            token: &token,
            config: &self.config,
        };
        let create = Create {
            resource,
            inputs: &inputs,
            resumed: false,
        };
        let identified = self.provider.identify(resource, &inputs);
        let created = self
            .provider
            .create(create)
            .await
            .map_err(|partial| partial.error.to_string())?;
        assert_eq!(identified.as_ref(), Some(&created.id));
        Ok(Made {
            id: created.id,
            outputs: created.outputs,
            token,
            urn,
            inputs,
        })
    }

    /// All that one application has.
    async fn application(&self) -> Vec<Made> {
        let group = self.make("resources:ResourceGroup", json!({})).await;
        let rg = group.text("name");
        let account = self
            .make("storage:StorageAccount", json!({"resourceGroupName": rg, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}))
            .await;
        let container = self
            .make(
                "storage:BlobContainer",
                json!({"resourceGroupName": rg, "accountName": account.text("name")}),
            )
            .await;
        let topic = self
            .make("eventgrid:Topic", json!({"resourceGroupName": rg, "tags": {"team": "a"}, "inputSchema": "CustomEventSchema",
                "inputSchemaMapping": {"inputSchemaMappingType": "Json", "id": {"sourceField": "key"}}}))
            .await;
        let plan = self
            .make("web:AppServicePlan", json!({"resourceGroupName": rg}))
            .await;
        let app = self
            .make("web:WebApp", json!({"resourceGroupName": rg, "kind": "functionapp,linux", "serverFarmId": plan.id,
                "identity": {"type": "SystemAssigned"},
                "siteConfig": {"linuxFxVersion": "PYTHON|3.11", "appSettings": [{"name": "A", "value": "b"}]}}))
            .await;
        let subscription = self
            .make("eventgrid:EventSubscription", json!({"scope": topic.id,
                "destination": {"endpointType": "AzureFunction", "resourceId": format!("{}/functions/process", app.id), "maxEventsPerBatch": 10},
                "deadLetterDestination": {"endpointType": "StorageBlob", "resourceId": account.id, "blobContainerName": container.text("name")},
                "retryPolicy": {"maxDeliveryAttempts": 5}}))
            .await;
        vec![group, account, container, topic, plan, app, subscription]
    }
}

fn code() -> (tempfile::TempDir, AzureOptions) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("function_app.py"), "1").unwrap();
    let options = AzureOptions {
        root: dir.path().to_owned(),
        code: Some(".".to_owned()),
    };
    (dir, options)
}

#[tokio::test]
async fn an_application_is_made_found_and_deleted() {
    let (_dir, options) = code();
    let world = World::new(options);
    let all = world.application().await;
    let ids: Vec<_> = all.iter().map(|made| made.id.as_str()).collect();
    let group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/orders0000002a";
    assert_eq!(ids[0], group);
    assert_eq!(
        ids[1],
        format!("{group}/providers/Microsoft.Storage/storageAccounts/orders0000002a")
    );
    assert!(
        ids[2].ends_with("/blobServices/default/containers/orders"),
        "{}",
        ids[2]
    );
    assert_eq!(
        ids[6],
        format!(
            "{}/providers/Microsoft.EventGrid/eventSubscriptions/orders0000002a",
            ids[3]
        )
    );
    let topic = &all[3];
    assert_eq!(
        topic.text("endpoint"),
        "http://127.0.0.1:4077/topics/orders0000002a/api/events"
    );
    assert_eq!(topic.text("location"), "northeurope");
    assert_eq!(all[5].text("defaultHostName"), "127.0.0.1:4077");
    assert_eq!(
        all[5].outputs["identity"]
            .get("principalId")
            .unwrap()
            .as_str()
            .unwrap()
            .len(),
        36
    );
    let put = world.server.there.lock().unwrap().clone();
    assert_eq!(
        put["/topics/orders0000002a"]["properties"]["inputSchemaMapping"],
        json!({"inputSchemaMappingType": "Json", "properties": {"id": {"sourceField": "key"}}})
    );
    let sent = &put["/topics/orders0000002a/eventSubscriptions/orders0000002a"]["properties"];
    assert_eq!(
        sent["destination"],
        json!({"endpointType": "AzureFunction", "properties": {"resourceId": format!("{}/functions/process", ids[5])}})
    );
    assert_eq!(
        sent["deadLetterDestination"]["properties"]["blobContainerName"],
        "orders"
    );
    assert_eq!(
        put["/functions/orders0000002a"]["settings"],
        json!({"A": "b"})
    );

    for made in &all {
        let resource = Resource {
            urn: &made.urn,
            token: &made.token,
            config: &world.config,
        };
        let known = Known {
            inputs: &made.inputs,
            outputs: &made.outputs,
        };
        let read = world
            .provider
            .read(resource, &made.id, Some(known))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (&read.inputs, &read.outputs),
            (&made.inputs, &made.outputs),
            "{}",
            made.id
        );
        let found = world.provider.read(resource, &made.id, None).await.unwrap();
        let found = found.unwrap_or_else(|| panic!("{}", made.id));
        // So that it can be imported by the program that made it.
        for (name, value) in &found.inputs {
            let same = made.inputs.get(name).is_none_or(|input| input == value);
            assert!(same, "{name} of {}", made.id);
        }
        let short = made.token.strip_prefix("azure-native:").unwrap();
        assert!(
            world
                .provider
                .diff(resource, &made.inputs, &read.inputs)
                .is_empty(),
            "{short}"
        );
    }
    for made in all.iter().rev() {
        let resource = Resource {
            urn: &made.urn,
            token: &made.token,
            config: &world.config,
        };
        for _ in 0..2 {
            let delete = Delete {
                resource,
                id: &made.id,
                inputs: &made.inputs,
                outputs: &made.outputs,
                purge: false,
            };
            world.provider.delete(delete).await.unwrap();
        }
    }
    let left: Vec<String> = world.server.there.lock().unwrap().keys().cloned().collect();
    assert_eq!(
        left,
        ["/topics/orders0000002a"],
        "a topic's events are kept"
    );
    // It is nobody's any more: another program may have it.
    let tags = world.server.there.lock().unwrap()["/topics/orders0000002a"]["tags"].clone();
    assert_eq!(tags, json!({"team": "a"}));
}

#[tokio::test]
async fn other_code_and_settings_are_a_change() {
    let (dir, options) = code();
    let world = World::new(options);
    let app = world.application().await.remove(5);
    let resource = Resource {
        urn: &app.urn,
        token: &app.token,
        config: &world.config,
    };
    let checked = |inputs: Json| {
        world
            .check("web:WebApp", inputs, Some(&app.inputs))
            .unwrap()
    };
    let mut inputs = json!({"resourceGroupName": "orders0000002a", "kind": "functionapp,linux", "serverFarmId": app.inputs["serverFarmId"].as_str().unwrap(),
        "identity": {"type": "SystemAssigned"},
        "siteConfig": {"linuxFxVersion": "PYTHON|3.11", "appSettings": [{"name": "A", "value": "b"}]}});
    assert!(
        world
            .provider
            .diff(resource, &app.inputs, &checked(inputs.clone()))
            .is_empty()
    );
    std::fs::write(dir.path().join("function_app.py"), "2").unwrap();
    inputs["siteConfig"]["appSettings"][0]["value"] = "c".into();
    let new = checked(inputs);
    let diff = world.provider.diff(resource, &app.inputs, &new);
    let paths: Vec<_> = diff.changes.iter().map(|change| &*change.path).collect();
    assert_eq!(
        paths,
        ["foretellCode.hash", "siteConfig.appSettings[0].value"]
    );
    assert!(!diff.replaces());
    let before = world.server.there.lock().unwrap()["/functions/orders0000002a"]["code"].clone();
    let update = Update {
        resource,
        id: &app.id,
        old: &app.inputs,
        old_outputs: &app.outputs,
        inputs: &new,
    };
    world.provider.update(update).await.unwrap();
    let after = world.server.there.lock().unwrap()["/functions/orders0000002a"].clone();
    assert_ne!(after["code"], before);
    assert_eq!(after["settings"], json!({"A": "c"}));
}

#[tokio::test]
async fn what_needs_a_new_resource() {
    let world = World::new(AzureOptions::default());
    let group = "rg";
    for (short, old, new, replaced) in [
        (
            "eventgrid:Topic",
            json!({"resourceGroupName": group}),
            json!({"resourceGroupName": group, "tags": {"a": "b"}}),
            false,
        ),
        (
            "eventgrid:Topic",
            json!({"resourceGroupName": group}),
            json!({"resourceGroupName": "other"}),
            true,
        ),
        (
            "eventgrid:Topic",
            json!({"resourceGroupName": group, "topicName": "shop"}),
            json!({"resourceGroupName": group, "topicName": "shop", "inputSchema": "CloudEventSchemaV1_0"}),
            true,
        ),
        (
            "eventgrid:EventSubscription",
            json!({"scope": "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/one", "destination": {"endpointType": "WebHook", "endpointUrl": "http://x"}}),
            json!({"scope": "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/two", "destination": {"endpointType": "WebHook", "endpointUrl": "http://x"}}),
            true,
        ),
        (
            "storage:StorageAccount",
            json!({"resourceGroupName": group, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}),
            json!({"resourceGroupName": group, "kind": "StorageV2", "sku": {"name": "Standard_GRS"}}),
            false,
        ),
        (
            "web:AppServicePlan",
            json!({"resourceGroupName": group, "location": "a"}),
            json!({"resourceGroupName": group, "location": "b"}),
            true,
        ),
    ] {
        let before = world.check(short, old.clone(), None).unwrap();
        let after = world.check(short, new.clone(), Some(&before)).unwrap();
        let token = token(short);
        let urn = Urn::new("dev", "shop", None, &token, "orders");
        let resource = Resource {
            urn: &urn,
            token: &token,
            config: &world.config,
        };
        let diff = world.provider.diff(resource, &before, &after);
        assert!(!diff.is_empty(), "{new}");
        assert_eq!(diff.replaces(), replaced, "{new}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_made() {
    let world = World::new(AzureOptions::default());
    let scope = "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/one";
    let hook = json!({"endpointType": "WebHook", "endpointUrl": "http://x"});
    for (short, inputs, expected) in [
        (
            "eventgrid:EventSubscription",
            json!({"scope": scope, "destination": hook, "retryPolicy": {"maxDeliveryAttempts": 31}}),
            "retryPolicy.maxDeliveryAttempts: is 31: expected a whole number from 1 to 30",
        ),
        (
            "eventgrid:EventSubscription",
            json!({"scope": scope, "destination": {"endpointType": "EventHub", "resourceId": "/x"}}),
            "destination.endpointType: EventHub is no destination here yet",
        ),
        (
            "eventgrid:EventSubscription",
            json!({"scope": "/subscriptions/s/resourceGroups/g", "destination": hook}),
            "scope: \"/subscriptions/s/resourceGroups/g\" is no topic",
        ),
        (
            "eventgrid:EventSubscription",
            json!({"scope": scope}),
            "destination is missing",
        ),
        (
            "eventgrid:Topic",
            json!({"resourceGroupName": "g", "topicName": "a_b_c"}),
            "topicName: topic name",
        ),
        (
            "eventgrid:Topic",
            json!({"resourceGroupName": "g", "disableLocalAuth": true}),
            "disableLocalAuth",
        ),
        (
            "eventgrid:Topic",
            json!({"resourceGroupName": "g", "input_schema": "x"}),
            "input_schema: there is no such property: did you mean inputSchema?",
        ),
        ("eventgrid:Domain", json!({}), "there are no domains here"),
        ("web:WebAppSourceControl", json!({}), "foretell:code"),
        (
            "web:WebApp",
            json!({"resourceGroupName": "g", "kind": "functionapp", "sourceControl": {}}),
            "sourceControl: code isn't fetched",
        ),
        (
            "web:WebApp",
            json!({"resourceGroupName": "g", "kind": "app"}),
            "kind: web apps of kind",
        ),
        (
            "web:WebApp",
            json!({"resourceGroupName": "g", "kind": "functionapp", "siteConfig": {"linuxFxVersion": "NODE|20"}}),
            "function apps in Python",
        ),
        (
            "web:WebApp",
            json!({"resourceGroupName": "g", "kind": "functionapp", "siteConfig": {"appSettings": [{"name": "WEBSITE_RUN_FROM_PACKAGE", "value": "none.zip"}]}}),
            "siteConfig.appSettings[0].value: the code: can't read none.zip",
        ),
        (
            "web:WebAppApplicationSettings",
            json!({"resourceGroupName": "g"}),
            "name: it is missing",
        ),
        (
            "storage:BlobContainer",
            json!({"resourceGroupName": "g", "accountName": "a1b", "containerName": "A"}),
            "containerName: ",
        ),
    ] {
        let told = world
            .check(short, inputs.clone(), None)
            .expect_err(&inputs.to_string());
        assert!(told.contains(expected), "{inputs}: {told}");
    }
    assert!(world.server.calls.lock().unwrap().is_empty());
    // What isn't known yet may be anything.
    let inputs = Properties::from([
        ("scope".to_owned(), Value::Unknown),
        (
            "destination".to_owned(),
            Value::from([
                ("endpointType", "AzureFunction".into()),
                ("resourceId", Value::Unknown),
            ]),
        ),
    ]);
    let token = token("eventgrid:EventSubscription");
    let urn = Urn::new("dev", "shop", None, &token, "process");
    let resource = Resource {
        urn: &urn,
        token: &token,
        config: &world.config,
    };
    let checked = world
        .provider
        .check(Check {
            resource,
            inputs: &inputs,
            old: None,
            seed: 1,
        })
        .unwrap();
    assert_eq!(world.provider.identify(resource, &checked), None);
}

#[tokio::test]
async fn what_others_have_is_not_taken() {
    let (_dir, options) = code();
    let world = World::new(options);
    world.application().await;
    let account = json!({"resourceGroupName": "g", "accountName": "orders0000002a", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}});
    let error = world
        .try_make("storage:StorageAccount", account)
        .await
        .unwrap_err();
    assert!(error.contains("already"), "{error}");
    let topic = json!({"resourceGroupName": "another", "topicName": "orders0000002a"});
    let error = world.try_make("eventgrid:Topic", topic).await.unwrap_err();
    assert!(error.contains("resourceGroups/orders0000002a"), "{error}");
    let function = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/orders0000002a/functions/other";
    let subscription = json!({"scope": "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/orders0000002a",
        "eventSubscriptionName": "another",
        "destination": {"endpointType": "AzureFunction", "resourceId": function}});
    let error = world
        .try_make("eventgrid:EventSubscription", subscription)
        .await
        .unwrap_err();
    assert!(
        error.contains("has no function \"other\": it has process"),
        "{error}"
    );
}

#[tokio::test]
async fn functions_give_keys_as_secrets() {
    let world = World::new(AzureOptions::default());
    let invoke = async |short: &str, args: Json| {
        let (token, args) = (token(short), properties(args));
        let invoke = Invoke {
            token: &token,
            args: &args,
            config: &world.config,
        };
        world.provider.invoke(invoke).await
    };
    let keys = invoke(
        "eventgrid:listTopicSharedAccessKeys",
        json!({"topicName": "t", "resourceGroupName": "g"}),
    )
    .await
    .unwrap();
    assert_eq!(keys["key1"], Value::secret("one"));
    let keys = invoke(
        "storage:listStorageAccountKeys",
        json!({"accountName": "a", "resourceGroupName": "g"}),
    )
    .await
    .unwrap();
    let first = &keys["keys"].as_list().unwrap()[0];
    assert_eq!(first.get("value"), Some(&Value::secret("one")));
    let client = invoke("authorization:getClientConfig", json!({}))
        .await
        .unwrap();
    assert_eq!(
        client["subscriptionId"].as_str(),
        Some("00000000-0000-0000-0000-000000000000")
    );
    let group = invoke(
        "resources:getResourceGroup",
        json!({"resourceGroupName": "g"}),
    )
    .await
    .unwrap();
    assert_eq!(group["name"].as_str(), Some("g"));
    let topic = json!({"topicName": "t", "resourceGroupName": "g"});
    assert_eq!(
        invoke("eventgrid:getTopic", topic)
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}
