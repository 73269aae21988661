//! https as its users meet it.

use crate::support::{Server, foretell, json, read, run, text};

#[test]
fn commands_trust_what_the_data_directory_says() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    text(&data, &["topic", "create", "shop"]);
    let server = Server::start(&data, &["--tls"]);
    assert!(
        server.url.starts_with("https://127.0.0.1:"),
        "{}",
        server.url
    );
    // Found by the lock file, and believed by its certificate.
    let topic = json(&data, &["topic", "show", "shop"]);
    let endpoint = topic["properties"]["endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with(&server.url), "{endpoint}");
    let events = folder.path().join("events.jsonl");
    std::fs::write(
        &events,
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}\n",
    )
    .unwrap();
    text(&data, &["publish", "shop", events.to_str().unwrap()]);
    assert_eq!(read(&data, &["shop"]).len(), 1);

    // From elsewhere: by the authority, or not at all.
    let key = text(&data, &["keys"]);
    let elsewhere = folder.path().join("none");
    let remote = |ca: Option<&str>| {
        let mut command = foretell(&elsewhere);
        command.args([
            "topic",
            "list",
            "--server",
            &server.url,
            "--key",
            key.trim(),
        ]);
        if let Some(ca) = ca {
            command.args(["--ca", ca]);
        }
        command.output().unwrap()
    };
    let plain = server.url.replace("https", "http");
    let plain = run(&elsewhere, &["topic", "list", "--server", &plain]);
    let told = String::from_utf8(plain.stderr).unwrap();
    assert!(told.contains("does it speak https?"), "{told}");
    let ca = data.join("tls/ca.pem");
    assert!(remote(ca.to_str()).status.success());
    let refused = String::from_utf8(remote(None).stderr).unwrap();
    assert!(refused.contains("--ca"), "{refused}");
    let missing = String::from_utf8(remote(Some("/nowhere.pem")).stderr).unwrap();
    assert!(missing.contains("can't read /nowhere.pem"), "{missing}");
    let wrong = String::from_utf8(remote(events.to_str()).stderr).unwrap();
    assert!(wrong.contains("holds no certificate"), "{wrong}");
}

#[test]
fn beyond_the_loopback_only_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let refused = run(&data, &["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("--tls"), "{told}");
    let server = Server::start(&data, &["--tls", "--listen", "0.0.0.0:0"]);
    assert!(server.url.starts_with("https://0.0.0.0:"), "{}", server.url);
    text(&data, &["topic", "create", "shop"]);
}
