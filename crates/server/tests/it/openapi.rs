//! The OpenAPI document and the router say the same.

use std::collections::BTreeSet;

use crate::support::World;
use axum::body::Body;
use serde_json::Value;

const METHODS: [&str; 5] = ["get", "put", "patch", "post", "delete"];

async fn document(world: &World) -> Value {
    world
        .send("GET", "/openapi.json", &[], Body::empty())
        .await
        .is(200)
        .json()
}

/// Path and method of each route, as `http/mod.rs` has them.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/http/mod.rs");
    let mut found = BTreeSet::new();
    for part in source.split(".route(").skip(1) {
        let path = part
            .split('"')
            .nth(1)
            .unwrap()
            .replace("{*", "{")
            .replace("/:", ":");
        let rest = part.split(".fallback(").next().unwrap();
        for method in METHODS {
            if rest.contains(&format!("{method}(")) {
                found.insert((path.to_lowercase(), method.to_owned()));
            }
        }
    }
    found
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let methods = METHODS.iter().filter_map(|m| Some((*m, item.get(m)?)));
            methods.map(|(method, operation)| (&**path, method, operation))
        })
        .collect()
}

#[tokio::test]
async fn every_route_is_described_and_every_description_routed() {
    let world = World::new().await;
    let document = document(&world).await;
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<(String, String)> = operations(&document)
        .into_iter()
        .map(|(path, method, _)| (path.to_lowercase(), method.to_owned()))
        .collect();
    assert!(described.len() > 25, "{described:?}");
    assert_eq!(routes(), described);
    for (path, method, operation) in operations(&document) {
        let at = path.replace("{topic}", "nothing").replace(['{', '}'], "");
        let answer = world
            .send(&method.to_uppercase(), &at, &[], Body::empty())
            .await;
        let text = answer.to_string();
        assert!(
            answer.status != 405 && !text.contains("there is nothing at"),
            "{path}: {text}"
        );
        let described = &operation["responses"][answer.status.to_string()];
        assert!(described.is_object(), "{method} {path} answers {text}");
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let world = World::new().await;
    let document = document(&world).await;
    check_references(&document, &document);
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let here = format!("{method} {path}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{here}"
        );
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{here}");
        for need in operation["security"].as_array().unwrap() {
            assert!(
                need.as_object()
                    .unwrap()
                    .keys()
                    .all(|k| schemes.contains_key(k)),
                "{here}"
            );
        }
        let own = operation["parameters"].as_array().into_iter().flatten();
        let shared = document["paths"][path]["parameters"]
            .as_array()
            .into_iter()
            .flatten();
        let declared: BTreeSet<String> = own
            .chain(shared)
            .map(|parameter| resolve(&document, parameter))
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        let in_path: BTreeSet<String> = path
            .split('{')
            .skip(1)
            .map(|part| part.split('}').next().unwrap().to_owned())
            .collect();
        assert_eq!(declared, in_path, "{here}");
    }
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let found = document.pointer(reference.strip_prefix('#').unwrap());
            found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => value,
    }
}

fn check_references(document: &Value, value: &Value) {
    resolve(document, value);
    match value {
        Value::Object(map) => map.values().for_each(|v| check_references(document, v)),
        Value::Array(all) => all.iter().for_each(|v| check_references(document, v)),
        _ => {}
    }
}
