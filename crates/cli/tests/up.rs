//! `foretell up`, `preview`, `down` and `stack`, with a program in Pulumi YAML.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{json, run, text};

const PROGRAM: &str = "
name: shop
runtime: yaml
config:
  schema: {type: string, default: EventGridSchema}
  pass: {type: string, secret: true, default: swordfish}
resources:
  group: {type: 'azure-native:resources:ResourceGroup'}
  topic:
    type: azure-native:eventgrid/v20250215:Topic
    properties: {resourceGroupName: '${group.name}', inputSchema: '${schema}'}
outputs:
  name: ${topic.name}
  pass: ${pass}
  endpoint: ${topic.endpoint}
";

fn program(folder: &Path, text: &str) -> String {
    std::fs::write(folder.join("Pulumi.yaml"), text).unwrap();
    folder.to_str().unwrap().to_owned()
}

fn counts(result: &Value) -> [u64; 5] {
    ["create", "update", "replace", "delete", "same"]
        .map(|kind| result["changes"][kind].as_u64().unwrap())
}

#[test]
fn a_program_is_made_kept_changed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = program(folder.path(), PROGRAM);
    let preview = json(&data, &["preview", &dir]);
    assert_eq!(counts(&preview), [3, 0, 0, 0, 0]);
    assert!(
        json(&data, &["topic", "list"])
            .as_array()
            .unwrap()
            .is_empty()
    );
    let made = json(&data, &["up", &dir]);
    assert_eq!(counts(&made), [3, 0, 0, 0, 0]);
    let name = made["outputs"]["name"].as_str().unwrap().to_owned();
    assert_eq!(
        json(&data, &["topic", "show", &name])["name"],
        name.as_str()
    );
    let again = json(&data, &["up", &dir]);
    assert_eq!(
        (counts(&again), &again["outputs"]),
        ([0, 0, 0, 0, 3], &made["outputs"])
    );
    let replaced = json(
        &data,
        &["up", &dir, "--config", "schema=CloudEventSchemaV1_0"],
    );
    assert_eq!(counts(&replaced), [0, 0, 1, 0, 2]);
    // What a flag gave holds on.
    assert_eq!(counts(&json(&data, &["up", &dir])), [0, 0, 0, 0, 3]);
    let down = json(&data, &["down", &dir]);
    assert_eq!(counts(&down), [0, 0, 0, 3, 0]);
    assert_eq!(
        run(&data, &["stack", "output", &dir]).status.code(),
        Some(3)
    );
}

#[test]
fn secrets_show_only_if_asked_for_and_never_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = program(folder.path(), PROGRAM);
    let output = run(&data, &["up", &dir, "--diff"]);
    assert!(output.status.success());
    let shown = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8(shown).unwrap().contains("swordfish"));
    assert!(text(&data, &["stack", "output", &dir]).contains("[secret]"));
    assert_eq!(
        text(&data, &["stack", "output", &dir, "pass", "--show-secrets"]),
        "swordfish\n"
    );
    let events = text(&data, &["read", "foretell.stacks", "--json"]);
    assert!(events.contains("reference") && !events.contains("swordfish"));
    assert_eq!(json(&data, &["stack", "ls"])[0]["project"], "shop");
}

#[test]
fn what_is_wrong_is_told_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let wrong = PROGRAM.replace(
        "outputs:",
        "  db: {type: 'azure-native:sql:Server'}\noutputs:",
    );
    let dir = program(folder.path(), &wrong);
    let output = run(&data, &["up", &dir, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let message = told["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("azure-native:sql:Server isn't supported here"),
        "{message}"
    );
    assert!(
        message.contains("azure-native:eventgrid:Topic"),
        "{message}"
    );
    assert!(
        json(&data, &["topic", "list"])
            .as_array()
            .unwrap()
            .is_empty()
    );
    let dir = program(
        folder.path(),
        &PROGRAM.replace("${topic.name}", "${topik.name}"),
    );
    let output = run(&data, &["up", &dir]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("line 13: nothing in the program is named \"topik\""),
        "{told}"
    );
    let output = run(&data, &["up", "/nowhere-at-all"]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("/nowhere-at-all")
    );
}
