//! The calls that Pulumi's SDK made, recorded against another monitor (`calls.jsonl`), asked of
//! this one: each answer has what the SDK got there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use foretell_types::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::engine::EngineService;
use super::service::Monitor;
use crate::azure::{AzureNative, AzureOptions};
use crate::control::{Body, Control, Method};
use crate::engine::{Deployment, Settings};
use crate::proto::engine_client::EngineClient;
use crate::proto::engine_server::EngineServer;
use crate::proto::register_resource_request::{CustomTimeouts, PropertyDependencies};
use crate::proto::resource_monitor_client::ResourceMonitorClient;
use crate::proto::resource_monitor_server::ResourceMonitorServer;
use crate::proto::{
    LogRequest, ReadResourceRequest, RegisterResourceOutputsRequest, RegisterResourceRequest,
    ResourceInvokeRequest, Result as Outcome,
};
use crate::stack::{MemoryStore, StackName};
use crate::wire::{self, Accepts, SECRET, SIGNATURE};
use crate::{Properties, Value};

#[derive(Deserialize)]
struct Recorded {
    run: String,
    call: String,
    request: Map<String, Json>,
    answer: Map<String, Json>,
}

/// A server that keeps what is put.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Json>>);

#[async_trait]
impl Control for Memory {
    async fn call(&self, method: Method, path: &str, body: Body) -> Result<Json> {
        let path = path.split('?').next().unwrap_or("").to_owned();
        let mut there = self.0.lock().unwrap();
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no {path}"));
        match (method, body) {
            (Method::Get, _) => there.get(&path).cloned().ok_or_else(missing),
            (Method::Put, Body::Json(mut body)) => {
                body["owner"] = "api".into();
                if path.starts_with("/topics/") {
                    body["properties"]["metricResourceId"] = "m".into();
                    body["properties"]["provisioningState"] = "Succeeded".into();
                }
                there.insert(path, body.clone());
                Ok(body)
            }
            (Method::Post, _) => Ok(json!({"key1": "b25l", "key2": "dHdv"})),
            _ => panic!("{method:?} {path}"),
        }
    }

    fn url(&self) -> String {
        "http://127.0.0.1:4077".to_owned()
    }
}

fn text(json: &Map<String, Json>, name: &str) -> String {
    json.get(name)
        .and_then(Json::as_str)
        .unwrap_or("")
        .to_owned()
}

fn flag(json: &Map<String, Json>, name: &str) -> bool {
    json.get(name) == Some(&true.into())
}

fn texts(json: Option<&Json>) -> Vec<String> {
    let items = json.and_then(Json::as_array).into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

fn object(json: &Map<String, Json>, name: &str) -> Option<prost_types::Struct> {
    let map = json.get(name)?.as_object()?.clone();
    Some(wire::to_struct(
        &wire::map_from_json(map).unwrap(),
        Accepts::ALL,
    ))
}

fn json_of(found: Option<prost_types::Struct>) -> Json {
    let found = wire::from_struct(found).unwrap();
    Json::Object(wire::map_to_json(&found, Accepts::ALL))
}

fn register(of: &Map<String, Json>) -> RegisterResourceRequest {
    let needs = of.get("propertyDependencies").and_then(Json::as_object);
    let needs = needs.into_iter().flatten().map(|(name, of)| {
        let urns = texts(of.get("urns"));
        (name.clone(), PropertyDependencies { urns })
    });
    let create = of
        .get("customTimeouts")
        .and_then(|of| of["create"].as_str());
    RegisterResourceRequest {
        r#type: text(of, "type"),
        name: text(of, "name"),
        parent: text(of, "parent"),
        custom: flag(of, "custom"),
        object: object(of, "object"),
        protect: Some(flag(of, "protect")),
        provider: text(of, "provider"),
        version: text(of, "version"),
        dependencies: texts(of.get("dependencies")),
        property_dependencies: needs.collect(),
        delete_before_replace: flag(of, "deleteBeforeReplace"),
        delete_before_replace_defined: flag(of, "deleteBeforeReplaceDefined"),
        ignore_changes: texts(of.get("ignoreChanges")),
        custom_timeouts: create.map(|create| CustomTimeouts {
            create: create.to_owned(),
            ..CustomTimeouts::default()
        }),
        accept_secrets: flag(of, "acceptSecrets"),
        accept_resources: flag(of, "acceptResources"),
        supports_result_reporting: flag(of, "supportsResultReporting"),
        ..RegisterResourceRequest::default()
    }
}

/// The services as a program sees them, without a socket between.
struct Program {
    monitor: ResourceMonitorClient<ResourceMonitorServer<Monitor>>,
    engine: EngineClient<EngineServer<EngineService>>,
}

impl Program {
    /// Asks what was asked, and gives the answer in the form that it was recorded in.
    async fn ask(&mut self, call: &str, of: &Map<String, Json>) -> Json {
        match call {
            "GetDeploymentInfo" => {
                let info = self
                    .monitor
                    .get_deployment_info(())
                    .await
                    .unwrap()
                    .into_inner();
                assert!(!info.supported_features.is_empty());
                json!({"project": info.project, "stack": info.stack, "parallel": info.parallel,
                    "organization": info.organization, "dryRun": info.dry_run})
            }
            "RegisterResource" => {
                let done = self
                    .monitor
                    .register_resource(register(of))
                    .await
                    .unwrap()
                    .into_inner();
                assert_eq!(done.result, i32::from(Outcome::Success));
                json!({"urn": done.urn, "id": done.id, "object": json_of(done.object)})
            }
            "ReadResource" => {
                let request = ReadResourceRequest {
                    id: text(of, "id"),
                    r#type: text(of, "type"),
                    name: text(of, "name"),
                    parent: text(of, "parent"),
                    properties: object(of, "properties"),
                    accept_secrets: true,
                    ..ReadResourceRequest::default()
                };
                let read = self
                    .monitor
                    .read_resource(request)
                    .await
                    .unwrap()
                    .into_inner();
                json!({"urn": read.urn, "properties": json_of(read.properties)})
            }
            "Invoke" => {
                let request = ResourceInvokeRequest {
                    tok: text(of, "tok"),
                    args: object(of, "args"),
                    accept_resources: true,
                    ..ResourceInvokeRequest::default()
                };
                let done = self.monitor.invoke(request).await.unwrap().into_inner();
                json!({"return": json_of(done.r#return)})
            }
            "RegisterResourceOutputs" => {
                let request = RegisterResourceOutputsRequest {
                    urn: text(of, "urn"),
                    outputs: object(of, "outputs"),
                };
                self.monitor
                    .register_resource_outputs(request)
                    .await
                    .unwrap();
                json!({})
            }
            "Engine.Log" => {
                let request = LogRequest {
                    message: text(of, "message"),
                    urn: text(of, "urn"),
                    ..LogRequest::default()
                };
                self.engine.log(request).await.unwrap();
                json!({})
            }
            other => panic!("{other}"),
        }
    }
}

/// What another server makes otherwise: random digits, subscriptions.
fn plain(id: &str) -> String {
    let part = |part: &str| match part.len() {
        36 => "*".to_owned(),
        length if length > 8 && part.is_char_boundary(length - 8) => {
            let (name, digits) = part.split_at(length - 8);
            let is_random = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_random {
                format!("{name}*")
            } else {
                part.to_owned()
            }
        }
        _ => part.to_owned(),
    };
    id.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Whether all that was answered there is here, of the same kind.
fn check(expected: &Json, found: &Json, at: &str) {
    // The other monitor marked no secrets.
    let is_secret = found
        .get(SIGNATURE)
        .is_some_and(|signature| signature == SECRET);
    let found = match expected.get(SIGNATURE).is_none() && is_secret {
        true => &found["value"],
        false => found,
    };
    match (expected, found) {
        (Json::Object(expected), Json::Object(_)) => {
            for (name, value) in expected {
                // Nothing here knows it.
                if name != "creationTime" {
                    check(value, &found[name], &format!("{at}.{name}"));
                }
            }
        }
        (Json::Array(expected), Json::Array(items)) => {
            assert_eq!(expected.len(), items.len(), "{at}");
            for (value, item) in expected.iter().zip(items) {
                check(value, item, at);
            }
        }
        (Json::String(text), Json::String(there)) => {
            let whole = [".urn", ".id", ".type", ".name"];
            // An explicit provider has any id.
            let is_any = at.ends_with(".id") && !text.starts_with('/');
            if !is_any && whole.iter().any(|name| at.ends_with(name)) {
                assert_eq!(plain(there), plain(text), "{at}");
            }
        }
        (Json::Number(one), Json::Number(other)) => {
            assert_eq!(one.as_f64(), other.as_f64(), "{at}");
        }
        _ => assert_eq!(expected, found, "{at}"),
    }
}

/// The other monitor's names, in what is asked later.
fn renamed(request: &Map<String, Json>, names: &[(String, String)]) -> Map<String, Json> {
    let mut text = Json::Object(request.clone()).to_string();
    for (theirs, ours) in names {
        text = text.replace(theirs, ours);
    }
    serde_json::from_str(&text).unwrap()
}

async fn replay(run: &str, preview: bool) {
    let config = BTreeMap::from([(
        "azure-native:subscriptionId".to_owned(),
        Value::from("00000000-0000-0000-0000-000000000001"),
    )]);
    let settings = Settings {
        name: StackName::new("proj", "dev").unwrap(),
        organization: "org".to_owned(),
        preview,
        refresh: false,
        purge: false,
        config,
        root: std::env::temp_dir(),
    };
    let provider = AzureNative::new(Arc::<Memory>::default(), AzureOptions::default());
    let mut seed = 0x1234_5678;
    let random = Box::new(move || {
        seed += 1;
        seed
    });
    let store = Arc::<MemoryStore>::default();
    let deployment = Deployment::open(
        settings,
        Arc::new(provider),
        store,
        random,
        Arc::new(|_| {}),
    );
    let deployment = Arc::new(deployment.await.unwrap());
    let monitor = ResourceMonitorServer::new(Monitor::new(deployment.clone()));
    let engine = EngineServer::new(EngineService::new(deployment.clone()));
    let mut program = Program {
        monitor: ResourceMonitorClient::new(monitor),
        engine: EngineClient::new(engine),
    };
    let recorded = include_str!("calls.jsonl").lines();
    let recorded = recorded.map(|line| serde_json::from_str::<Recorded>(line).unwrap());
    let mut names = Vec::new();
    let mut asked = 0;
    for one in recorded.filter(|one| one.run == run) {
        let request = renamed(&one.request, &names);
        let found = program.ask(&one.call, &request).await;
        let at = format!("{run} {} {}", one.call, text(&request, "name"));
        check(&Json::Object(one.answer.clone()), &found, &at);
        names.extend(pair(one.answer.get("id"), found.get("id")));
        let object = one
            .answer
            .get("object")
            .and_then(|object| object.get("name"));
        names.extend(pair(object, found["object"].get("name")));
        if preview && one.call == "RegisterResource" {
            let inputs = Json::Object(one.request["object"].as_object().unwrap().clone());
            let (given, inputs) = (as_values(&found["object"]), as_values(&inputs));
            let is_custom = flag(&one.request, "custom");
            assert!(!is_custom || given == inputs, "{at}: {given:?} {inputs:?}");
            assert_eq!(found["id"], "", "{at}");
        }
        asked += 1;
    }
    assert!(asked > 8, "{asked}");
    assert!(
        deployment.failures().is_empty(),
        "{:?}",
        deployment.failures()
    );
}

fn as_values(json: &Json) -> Properties {
    wire::map_from_json(json.as_object().unwrap().clone()).unwrap()
}

fn pair(theirs: Option<&Json>, ours: Option<&Json>) -> Option<(String, String)> {
    let theirs = theirs?.as_str().filter(|text| !text.is_empty())?;
    Some((theirs.to_owned(), ours?.as_str()?.to_owned()))
}

#[tokio::test]
async fn a_run_is_answered_as_it_was_recorded() {
    replay("up", false).await;
}

#[tokio::test]
async fn a_preview_is_answered_with_what_is_known() {
    replay("preview", true).await;
}

#[tokio::test]
async fn providers_components_reads_and_options_are_answered() {
    replay("more", false).await;
}
