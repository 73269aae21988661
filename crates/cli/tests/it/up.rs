//! `foretell up`, `preview`, `down` and `stack`, with a program in Pulumi YAML.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{foretell, json, run, text};
use serde_json::Value;

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
    assert!(!data.exists(), "a preview begins nothing");
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
    let at_once = json(&data, &["up", &dir, "-y", "--skip-preview", "-s", "dev"]);
    assert_eq!(counts(&at_once), [0, 0, 0, 0, 3]);
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

#[test]
fn what_is_given_is_kept_until_it_is_purged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = program(folder.path(), PROGRAM);
    let pass = || text(&data, &["stack", "output", &dir, "pass", "--show-secrets"]);
    let secrets = || {
        std::fs::read_dir(data.join("keys/secrets"))
            .unwrap()
            .count()
    };
    json(&data, &["up", &dir, "--config-secret", "pass=tiger"]);
    assert_eq!((pass(), secrets()), ("tiger\n".to_owned(), 1));
    json(&data, &["up", &dir, "--config-secret", "pass=lion"]);
    assert_eq!((pass(), secrets()), ("lion\n".to_owned(), 1));
    json(&data, &["down", &dir]);
    json(&data, &["up", &dir]);
    assert_eq!((pass(), secrets()), ("lion\n".to_owned(), 1));
    json(&data, &["down", &dir]);
    json(&data, &["down", &dir, "--purge", "-y"]);
    assert_eq!(secrets(), 0);
    json(&data, &["up", &dir]);
    assert_eq!(pass(), "swordfish\n");
}

#[test]
fn what_pulumi_sealed_is_opened_with_the_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = program(folder.path(), PROGRAM);
    let sealed = "
encryptionsalt: v1:fozI5u6B030=:v1:F+6ZduKKd8G0/V7L:PGMFeIzwobWRKmEAzUdaQHqC5mMRIQ==
config:
  shop:pass: {secure: 'v1:QUJDREVGR0hJSktM:pdG5fgTRDtp5oSmYrkXflR8UVxslgUmeQ3Y='}
";
    std::fs::write(folder.path().join("Pulumi.dev.yaml"), sealed).unwrap();
    let file = folder.path().join("passphrase");
    std::fs::write(&file, "password\n").unwrap();
    let up = |name: &str, value: &str| {
        let mut command = foretell(&data);
        command.args(["up", &dir]).env(name, value);
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, told) = up("NOTHING", "");
    assert_eq!(code, Some(1));
    assert!(
        told.contains("Pulumi.dev.yaml: line 4: shop:pass can't be opened")
            && told.contains("PULUMI_CONFIG_PASSPHRASE"),
        "{told}"
    );
    assert_eq!(up("PULUMI_CONFIG_PASSPHRASE", "other").0, Some(1));
    let (code, told) = up("PULUMI_CONFIG_PASSPHRASE_FILE", file.to_str().unwrap());
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        text(&data, &["stack", "output", &dir, "pass", "--show-secrets"]),
        "ü € \n x\n"
    );
}

/// Sends a signal, and waits for the end.
fn end(mut child: Child, signal: &str) -> std::process::ExitStatus {
    let process = child.id().to_string();
    let sent = Command::new("kill").args([signal, &process]).status();
    assert!(sent.unwrap().success());
    child.wait().unwrap()
}

#[test]
fn serve_makes_it_and_stays_until_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = program(folder.path(), PROGRAM);
    let mut child = foretell(&data)
        .args(["up", &dir, "--serve", "--listen", "127.0.0.1:0", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = child.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    let made: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(counts(&made), [3, 0, 0, 0, 0]);
    let endpoint = made["outputs"]["endpoint"].as_str().unwrap();
    let (server, _) = endpoint.split_once("/topics/").unwrap();
    // It answers: what is done on the directory is done through it.
    let again = json(&data, &["up", &dir]);
    assert_eq!(again["outputs"]["endpoint"], endpoint);
    assert!(server.starts_with("http://127.0.0.1:"), "{server}");
    assert!(child.try_wait().unwrap().is_none());
    assert!(end(child, "-INT").success());
    assert_eq!(counts(&json(&data, &["down", &dir])), [0, 0, 0, 3, 0]);
}

#[test]
fn an_interrupted_run_says_how_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let slow = "name: shop\nruntime: {name: python, options: {virtualenv: fake}}\n";
    let dir = program(folder.path(), slow);
    // An interpreter that tells that it runs, and doesn't end.
    let bin = folder.path().join("fake/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(folder.path().join("__main__.py"), "").unwrap();
    let python = bin.join("python");
    std::fs::write(&python, "#!/bin/sh\necho begun\nexec sleep 600\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, mode).unwrap();
    let mut child = foretell(&data)
        .args(["up", &dir, "--skip-preview"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.by_ref().any(|line| line.unwrap().contains("begun"));
    assert!(found);
    assert_eq!(end(child, "-INT").code(), Some(1));
    let told: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(
        told.iter()
            .any(|line| line.contains("interrupted: the next `foretell up`")),
        "{told:?}"
    );
}
