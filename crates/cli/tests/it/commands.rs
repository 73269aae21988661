//! The commands as scripts use them: pinned output, exit codes, both ways to the data.

use std::io::Write;
use std::path::Path;

use crate::support::{Server, json as json_of, read, run, text};
use serde_json::{Value, json};

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_string_lossy().into_owned()
}

fn event(id: &str, subject: &str, time: &str, data: &Value) -> String {
    json!({"specversion": "1.0", "id": id, "source": "/t", "type": "changed", "subject": subject, "time": time, "data": data}).to_string()
}

fn error_of(data: &Path, arguments: &[&str], exit: i32) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    let output = run(data, &arguments);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(exit),
        "{arguments:?}: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str::<Value>(&printed).unwrap()["error"].clone()
}

fn read_json(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_pinned_forms() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for by_server in [false, true] {
        let topic = if by_server { "by-server" } else { "by-hand" };
        let server = by_server.then(|| Server::start(&data, &[]));
        text(&data, &["topic", "create", topic]);
        let names: Vec<_> = json_of(&data, &["topic", "list"])
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["name"].clone())
            .collect();
        assert!(names.contains(&json!(topic)));
        let keys = json_of(&data, &["topic", "keys", topic]);
        assert!(keys["key1"].as_str().unwrap().len() > 40 && keys["key1"] != keys["key2"]);
        let lines = [
            event(
                "1",
                "a/1",
                "2024-01-01T00:00:00Z",
                &json!({"x": 1, "y": {"z": 1}}),
            ),
            event(
                "2",
                "a/1",
                "2024-03-01T00:00:00Z",
                &json!({"x": null, "y": {"w": 2}}),
            ),
            event("3", "a/1", "2024-02-01T00:00:00Z", &json!({"x": 5})),
            event("4", "b", "2024-02-01T00:00:00Z", &json!(null)),
        ];
        let file = write(folder.path(), "events.jsonl", &lines.join("\n"));
        let published = json_of(&data, &["publish", topic, &file]);
        assert_eq!(published["published"], 4);
        assert_eq!(
            json_of(&data, &["publish", topic, &file])["published"],
            4,
            "again: nothing is doubled"
        );
        let events = read(&data, &[topic]);
        assert_eq!(events.len(), 4);
        assert_eq!(
            (&events[2]["position"], &events[2]["revision"]),
            (&json!(3), &json!(2))
        );
        assert!(events[0]["recordedtime"].as_str().unwrap().ends_with('Z'));
        assert_eq!(
            read(&data, &[topic, "--subject", "a/1", "--at", "2024-02-01"]).len(),
            2
        );
        assert_eq!(read(&data, &[topic, "--from", "4"]).len(), 1);
        let state = json_of(&data, &["state", topic, "a/1"]);
        assert_eq!(
            state,
            json!({"topic": topic, "subject": "a/1", "at": null, "known_at": 4, "position": 3, "revision": 2, "state": {"y": {"w": 2, "z": 1}}})
        );
        let state = json_of(&data, &["state", topic, "a/1", "--at", "2024-02-15"]);
        assert_eq!(state["state"], json!({"x": 5, "y": {"z": 1}}));
        let state = json_of(
            &data,
            &[
                "state",
                topic,
                "a/1",
                "--at",
                "2024-02-15T00:00:00Z",
                "--known-at",
                "2",
            ],
        );
        assert_eq!(state["state"], json!({"x": 1, "y": {"z": 1}}));
        let state = json_of(&data, &["state", topic, "a/1", "--at", "2"]);
        assert_eq!(state["state"], json!({"y": {"w": 2, "z": 1}}));
        text(
            &data,
            &[
                "subscription",
                "create",
                topic,
                "hook",
                "--to",
                "webhook:http://127.0.0.1:9/x",
                "--event-types",
                "a,b",
                "--max-delivery-attempts",
                "3",
                "--event-ttl-minutes",
                "5",
                "--dead-letter",
                "dead",
                "--batch",
                "100",
            ],
        );
        assert_eq!(
            json_of(&data, &["subscription", "list", topic])[0]["name"],
            "hook"
        );
        let filter = r#"{"advancedFilters":[{"operatorType":"NumberIn","key":"data.x","values":[1,2.5]}],"enableAdvancedFilteringOnArrays":true}"#;
        let create = ["subscription", "create", topic, "numbers", "--to", "pull"];
        text(&data, &[&create[..], &["--filter", filter]].concat());
        let shown = json_of(&data, &["subscription", "show", topic, "numbers"]);
        let shown = &shown["properties"]["filter"];
        assert_eq!(shown["advancedFilters"][0]["values"], json!([1, 2.5]));
        assert_eq!(shown["enableAdvancedFilteringOnArrays"], true);
        assert!(text(&data, &["subscription", "show", topic, "numbers"]).contains("NumberIn"));
        let hook = |verb: &str, more: &[&str]| {
            json_of(
                &data,
                &[&["subscription", verb, topic, "hook"], more].concat(),
            )
        };
        assert_eq!(hook("pause", &[])["paused"], true);
        assert!(text(&data, &["subscription", "show", topic, "hook"]).contains("paused"));
        assert!(text(&data, &["subscription", "list", topic]).contains("paused"));
        let rewound = hook("rewind", &["--to", "beginning"]);
        assert_eq!(rewound["lag"], 4, "{rewound}");
        assert_eq!(hook("resume", &[])["paused"], false);
        let rewind = ["subscription", "rewind", topic, "hook", "--to"];
        error_of(&data, &[&rewind[..], &["now"]].concat(), 1);
        error_of(&data, &[&rewind[..], &["99"]].concat(), 1);
        let update = ["subscription", "update", topic];
        let schema = ["hook", "--schema", "cloudevents", "--ordering", "none"];
        let changed = json_of(&data, &[&update[..], &schema].concat());
        let schema = &changed["properties"]["eventDeliverySchema"];
        assert_eq!(schema, "CloudEventSchemaV1_0");
        let hook = &changed["properties"]["destination"]["properties"];
        assert_eq!(hook["ordering"], "none");
        let changes = ["hook", "--labels", "a,b", "--max-delivery-attempts", "4"];
        let more = ["--expires", "2100-01-01T00:00:00Z", "--dead-letter", "none"];
        let changed = json_of(&data, &[&update[..], &changes, &more].concat());
        let properties = &changed["properties"];
        assert_eq!(properties["labels"], json!(["a", "b"]));
        assert_eq!(
            properties["filter"]["includedEventTypes"],
            json!(["a", "b"])
        );
        let retry = json!({"maxDeliveryAttempts": 4, "eventTimeToLiveInMinutes": 5});
        assert_eq!(properties["retryPolicy"], retry);
        assert_eq!(properties["deadLetterDestination"], json!(null));
        let shown = text(&data, &["subscription", "show", topic, "hook"]);
        assert!(
            shown.contains("expires       2100") && shown.contains("a, b"),
            "{shown}"
        );
        let changes = [
            "numbers",
            "--filter",
            "none",
            "--lock",
            "2m",
            "--event-ttl-minutes",
            "9",
        ];
        let changed = json_of(&data, &[&update[..], &changes].concat());
        assert!(
            changed["properties"]["filter"]
                .get("advancedFilters")
                .is_none()
        );
        let queue = &changed["properties"]["deliveryConfiguration"]["queue"];
        assert_eq!(
            (
                &queue["receiveLockDurationInSeconds"],
                &queue["eventTimeToLive"]
            ),
            (&json!(120), &json!("PT9M"))
        );
        error_of(&data, &[&update[..], &["hook"]].concat(), 2);
        error_of(
            &data,
            &[&update[..], &["hook", "--lock", "60s"]].concat(),
            2,
        );
        error_of(
            &data,
            &[&update[..], &["missing", "--labels", "a"]].concat(),
            3,
        );
        let changes = ["--tag", "team=till", "--events-per-second", "5000"];
        let changed = json_of(&data, &[&["topic", "update", topic][..], &changes].concat());
        assert_eq!(changed["tags"]["team"], "till");
        let changes = ["--tag", "team", "--events-per-second", "none"];
        let changed = json_of(&data, &[&["topic", "update", topic][..], &changes].concat());
        assert_eq!(
            (&changed["tags"], &changed["properties"]["quota"]),
            (&json!(null), &json!(null))
        );
        let to = "webhook:http://127.0.0.1:9/y";
        let create = ["subscription", "create", topic, "asked", "--to", to];
        let always = [&create[..], &["--validation", "always"]].concat();
        if by_server {
            let error = error_of(&data, &always, 1);
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("the endpoint did not answer"), "{message}");
        } else {
            // Without a server nobody asks the endpoint, until one runs.
            let made = json_of(&data, &always);
            assert_eq!(made["properties"]["provisioningState"], "Creating");
            text(&data, &["subscription", "delete", topic, "asked"]);
        }
        error_of(&data, &[&create[..], &["--validation", "no"]].concat(), 2);
        assert_eq!(json_of(&data, &["deadletter", "list"]), json!([]));
        assert_eq!(json_of(&data, &["function", "list"]), json!([]));
        assert!(json_of(&data, &["verify"])["root"].as_str().unwrap().len() == 64);
        let (proof, root) = (
            folder.path().join("proof.json"),
            folder.path().join("root.json"),
        );
        let (proof, root) = (proof.to_str().unwrap(), root.to_str().unwrap());
        let made = json_of(&data, &["prove", topic, "1", "--out", proof]);
        text(&data, &["verify", "--signed-root", root]);
        let signed = read_json(root);
        assert_eq!(signed["root"], made["root"]);
        let checked = json_of(
            Path::new("/nowhere"),
            &[
                "prove",
                "--check",
                proof,
                "--root",
                root,
                "--public-key",
                signed["public_key"].as_str().unwrap(),
            ],
        );
        assert_eq!(
            (&checked["id"], &checked["trusted"]),
            (&json!("1"), &json!(true))
        );
        // A root that names its own key is not yet one to trust.
        let own = ["prove", "--check", proof, "--root", root];
        assert_eq!(json_of(&data, &own)["trusted"], false);
        // The log goes on, and still holds what it held.
        let file = folder.path().join("more.jsonl");
        let more = format!(
            r#"{{"specversion":"1.0","id":"more","source":"/m","type":"t","data":{by_server}}}"#
        );
        std::fs::write(&file, more).unwrap();
        text(&data, &["publish", topic, file.to_str().unwrap()]);
        assert_ne!(
            json_of(&data, &["verify", "--root", root])["root"],
            signed["root"]
        );
        let by = ["prove", topic, "1", "--root", root, "--out", proof];
        assert_eq!(json_of(&data, &by)["root"], signed["root"]);
        text(&data, &own);
        let mut wrong = read_json(proof);
        wrong["position"] = json!(2);
        std::fs::write(folder.path().join("wrong.json"), wrong.to_string()).unwrap();
        let wrong = folder.path().join("wrong.json");
        error_of(&data, &["prove", "--check", wrong.to_str().unwrap()], 1);
        error_of(&data, &["prove", topic, "0"], 2);
        let zeros = "0".repeat(64);
        error_of(&data, &["prove", "--check", proof, "--root", &zeros], 1);
        error_of(
            &data,
            &[
                "prove",
                "--check",
                proof,
                "--root",
                root,
                "--public-key",
                "x",
            ],
            1,
        );
        error_of(&data, &["prove", topic, "999"], 3);
        drop(server);
    }
    assert!(json_of(&data, &["limits"]).as_array().unwrap().len() > 20);
    assert!(json_of(&data, &["keys"])["admin"].is_string());
}

#[test]
fn failures_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert_eq!(error_of(&data, &["read", "shop"], 3)["code"], "NotFound");
    text(&data, &["topic", "create", "shop"]);
    assert_eq!(error_of(&data, &["read", "nothing"], 3)["code"], "NotFound");
    assert_eq!(
        error_of(&data, &["state", "shop", "nobody"], 3)["code"],
        "NotFound"
    );
    assert_eq!(
        error_of(&data, &["state", "shop", "x", "--at", "soon"], 2)["code"],
        "Usage"
    );
    assert_eq!(
        error_of(&data, &["topic", "delete", "shop"], 2)["code"],
        "Usage"
    );
    assert_eq!(
        error_of(&data, &["topic", "create", "a b"], 1)["code"],
        "BadRequest"
    );
    let filtered = |filter: &[&str]| {
        let create = [
            "subscription",
            "create",
            "shop",
            "hook",
            "--to",
            "pull",
            "--filter",
        ];
        error_of(&data, &[&create[..], filter].concat(), 2)["message"].to_string()
    };
    assert!(filtered(&["x"]).contains("--filter is not JSON"));
    assert!(filtered(&[r#"{"advancedFilters":[{}]}"#]).contains("advancedFilters[0].operatorType"));
    assert!(filtered(&["{}", "--event-types", "a"]).contains("cannot be used with"));
    assert_eq!(run(&data, &["topic", "frobnicate"]).status.code(), Some(2));
    assert_eq!(
        run(&data, &["read", "shop", "--from", "0"]).status.code(),
        Some(2)
    );
    let bad = write(
        folder.path(),
        "bad.jsonl",
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/t\",\"type\":\"t\"}\n\n{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"/t\",\"type\":\"t\"}\n",
    );
    let error = error_of(&data, &["publish", "shop", &bad], 1);
    assert!(
        error["message"].as_str().unwrap().contains("line 3"),
        "{error}"
    );
    assert!(read(&data, &["shop"]).is_empty(), "nothing is half done");
    let none = error_of(&data, &["publish", "shop", "/nonexistent/file"], 1);
    assert!(
        none["message"]
            .as_str()
            .unwrap()
            .contains("/nonexistent/file")
    );
    let unreachable = run(&data, &["topic", "list", "--server", "http://127.0.0.1:9"]);
    assert_eq!(unreachable.status.code(), Some(1));
    let server = Server::start(&data, &[]);
    let busy = run(&data, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(String::from_utf8_lossy(&busy.stderr).contains("held by process"));
    let port = server.url.rsplit(':').next().unwrap();
    let taken = run(
        &folder.path().join("other"),
        &["serve", "--listen", &format!("127.0.0.1:{port}")],
    );
    assert!(String::from_utf8_lossy(&taken.stderr).contains("choose another port"));
    let beyond = run(
        &folder.path().join("other"),
        &["serve", "--listen", "0.0.0.0:0"],
    );
    assert!(String::from_utf8_lossy(&beyond.stderr).contains("beyond the loopback"));
}

#[test]
fn reserved_attributes_are_stripped_and_an_array_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    text(&data, &["topic", "create", "one"]);
    text(&data, &["topic", "create", "two"]);
    let grid = json!([{"id": "1", "subject": "s", "eventType": "t", "eventTime": "2024-01-01T00:00:00Z", "data": {"n": 1.50}, "dataVersion": "1"}]);
    let file = write(folder.path(), "grid.json", &grid.to_string());
    text(&data, &["publish", "one", &file]);
    let copied = write(
        folder.path(),
        "copy.jsonl",
        &text(&data, &["read", "one", "--json"]),
    );
    let output = run(&data, &["publish", "two", &copied]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("were left out"));
    assert_eq!(read(&data, &["two"])[0]["data"], json!({"n": 1.5}));
}

#[test]
fn an_import_is_resumable() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    text(&data, &["topic", "create", "shop"]);
    let rows: String = (0..2500)
        .map(|n| format!("{},2024-01-{:02},{}\n", n % 7, 1 + n % 28, n))
        .collect();
    let path = folder.path().join("log.csv.gz");
    let mut gzip = flate2::write::GzEncoder::new(
        std::fs::File::create(&path).unwrap(),
        flate2::Compression::fast(),
    );
    gzip.write_all(format!("customer,day,amount\n{rows}").as_bytes())
        .unwrap();
    gzip.finish().unwrap();
    let path = path.to_string_lossy();
    let arguments = [
        "import",
        "shop",
        &path,
        "--subject",
        "customer",
        "--subject-prefix",
        "c/",
        "--type-value",
        "bought",
        "--time",
        "day",
    ];
    let first = json_of(&data, &arguments);
    assert_eq!(
        (&first["rows"], &first["imported"]),
        (&json!(2500), &json!(2500))
    );
    let again = json_of(&data, &arguments);
    assert_eq!(
        (&again["imported"], &again["already"]),
        (&json!(0), &json!(2500))
    );
    let events = read(&data, &["shop"]);
    assert_eq!(events.len(), 2500);
    assert_eq!(events[0]["time"], "2024-01-01T00:00:00Z");
    assert_eq!(events[0]["knowntime"], "2024-01-01T00:00:00Z");
    // History that is loaded today was known long ago.
    let then = json_of(&data, &["state", "shop", "c/1", "--known-at", "2024-01-10"]);
    let all = json_of(&data, &["state", "shop", "c/1"]);
    assert!(then["position"].as_u64() < all["position"].as_u64());
    let bad = write(
        folder.path(),
        "bad.csv",
        "customer,day\n1,2024-01-01\n2,never\n",
    );
    let error = error_of(
        &data,
        &[
            "import",
            "shop",
            &bad,
            "--subject",
            "customer",
            "--type-value",
            "t",
            "--time",
            "day",
        ],
        1,
    );
    assert!(
        error["message"].as_str().unwrap().contains("line 3"),
        "{error}"
    );
    assert_eq!(read(&data, &["shop"]).len(), 2500);
}

#[test]
fn a_server_stops_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    text(&data, &["topic", "create", "shop"]);
    let mut server = Server::start(&data, &[]);
    assert!(server.stop().success());
    text(&data, &["verify"]);
}

#[test]
fn a_subject_is_erased() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    text(&data, &["topic", "create", "people", "--erasable"]);
    assert!(text(&data, &["topic", "show", "people"]).contains("erasable  yes"));
    let mode = std::fs::metadata(data.join("erasure-keys"))
        .unwrap()
        .permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o700
    );
    let file = folder.path().join("people.jsonl");
    let lines: Vec<String> = (0..4)
        .map(|n| {
            json!({
                "specversion": "1.0", "id": n.to_string(), "source": "/t", "type": "told",
                "subject": format!("person/{}", n % 2), "data": {"secret": n}
            })
            .to_string()
        })
        .collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    text(&data, &["publish", "people", file.to_str().unwrap()]);
    let refused = run(&data, &["erase", "people", "person/1"]);
    assert_eq!(refused.status.code(), Some(2));
    let out = folder.path().join("certificate.json");
    let arguments = [
        "erase",
        "people",
        "person/1",
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ];
    let told = text(&data, &arguments);
    assert!(told.contains("person/1 of topic people"), "{told}");
    let certificate: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(certificate[0]["events"], 2);
    let read = text(&data, &["read", "people"]);
    let erased = read.lines().filter(|line| line.ends_with("(erased)"));
    assert_eq!(erased.count(), 2, "{read}");
    assert!(read.contains(r#"{"secret":2}"#), "{read}");
    assert_eq!(
        run(&data, &["erase", "people", "nobody", "--yes"])
            .status
            .code(),
        Some(3)
    );
    // The backup holds no keys, and says what is missing once it is brought back.
    let backup = folder.path().join("backup");
    text(&data, &["backup", backup.to_str().unwrap()]);
    let restored = folder.path().join("restored");
    text(&restored, &["restore", backup.to_str().unwrap()]);
    let failed = run(&restored, &["read", "people"]);
    assert_eq!(failed.status.code(), Some(1));
    let error = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(error.contains("key store"), "{error}");
}

/// What `LOCK` says counts only while it is locked: a copy of a data directory whose server runs is
/// a log of its own.
#[test]
fn a_copied_directory_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let [data, copy] = ["data", "copy"].map(|name| folder.path().join(name));
    text(&data, &["topic", "create", "shop"]);
    let server = Server::start(&data, &[]);
    let copied = std::process::Command::new("cp")
        .args(["-r", data.to_str().unwrap(), copy.to_str().unwrap()])
        .status();
    assert!(copied.unwrap().success());
    text(&copy, &["topic", "create", "other"]);
    error_of(&data, &["topic", "show", "other"], 3);
    text(&copy, &["topic", "show", "other"]);
    drop(server);
}
