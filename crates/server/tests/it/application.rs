//! `foretell.toml`: what it names, what is wrong with it.

use crate::support::{World, application, open};
use foretell_server::Application;
use serde_json::json;

const FILE: &str = r#"
[topics.shop]
input_schema = "eventgrid"
[topics.shop.subscriptions.hook]
to = "webhook:http://127.0.0.1:1/"
event_types = ["a"]
"#;

#[tokio::test]
async fn what_the_file_names_it_owns() {
    let world = World::with(FILE).await;
    let shop = world.get("/topics/shop").await.is(200).json();
    assert_eq!(shop["properties"]["inputSchema"], "EventGridSchema");
    let path = "/topics/shop/eventSubscriptions/hook";
    let found = world.get(path).await.is(200).json();
    assert_eq!(
        found["properties"]["filter"]["includedEventTypes"],
        json!(["a"])
    );
    assert_eq!(found["running"], true);
    let pull = json!({"properties": {"destination": {"endpointType": "Pull"}}});
    for answer in [
        world.put("/topics/shop", json!({})).await,
        world.delete("/topics/shop").await,
        world.put(path, pull).await,
        world.delete(path).await,
    ] {
        assert!(answer.is(409).message().contains("foretell.toml"));
    }
    let before = world.get("/topics/foretell.config").await.json()["head"].clone();
    let same = application(world.folder.path(), FILE).unwrap();
    let world = world.reopen(same).await;
    assert_eq!(
        world.get("/topics/foretell.config").await.json()["head"],
        before
    );
    let less = application(world.folder.path(), "[topics.shop]").unwrap();
    let world = world.reopen(less).await;
    world.get(path).await.is(404);
    let none = application(world.folder.path(), "[topics.other]").unwrap();
    let world = world.reopen(none).await;
    world.delete("/topics/shop").await.is(200);
    world.delete("/topics/other").await.is(409);
}

#[tokio::test]
async fn a_wrong_file_is_named_and_takes_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let hook = "to = \"pull\"";
    for (toml, word) in [
        ("[topics.a]".to_owned(), "[topics.a]"),
        ("[topics.\"foretell.x\"]".into(), "[topics.foretell.x]"),
        ("[topics.shop]\n[topics.Shop]".into(), "twice"),
        (
            "[topics.shop]\ninput_schema = \"x\"".into(),
            "[topics.shop]",
        ),
        ("[topics.shop]\nschema = \"x\"".into(), "schema"),
        (
            "[topics.shop.subscriptions.x]\nto = \"pull\"".into(),
            "[topics.shop.subscriptions.x]",
        ),
        (
            format!(
                "[topics.shop.subscriptions.one]\n{hook}\n[topics.shop.subscriptions.ONE]\n{hook}"
            ),
            "twice",
        ),
        (
            "[topics.shop.subscriptions.hook]\nto = \"mail:x\"".into(),
            "subscriptions.hook]",
        ),
        (
            format!("[topics.shop.subscriptions.hook]\n{hook}\nfrom = \"then\""),
            "then",
        ),
        (
            format!("[topics.shop.subscriptions.hook]\n{hook}\nmax_delivery_attempts = 99"),
            "axDeliveryAttempts",
        ),
        (
            format!("[topics.shop.subscriptions.hook]\n{hook}\nbatch = 2"),
            "maxEventsPerBatch is 2, and pull is no webhook",
        ),
        (
            format!("[topics.shop.subscriptions.hook]\n{hook}\nvalidation = \"no\""),
            "auto, always or never",
        ),
        (
            format!("[topics.shop.subscriptions.hook]\n{hook}\ndead_letter = \"A\""),
            "hook]",
        ),
        (
            format!(
                "[topics.shop.subscriptions.hook]\n{hook}\nfilter = {{ subjectBeginsWith = \"a\" }}\nevent_types = [\"a\"]"
            ),
            "put them into filter",
        ),
        (
            format!(
                "[topics.shop.subscriptions.hook]\n{hook}\nfilter = {{ advancedFilters = [{{ operatorType = \"IsNotNull\", key = \"time\" }}] }}"
            ),
            "hook]: filter.advancedFilters[0].key is \"time\"",
        ),
        ("[topics.shop.subscriptions.hook]".into(), "to"),
        (
            "[delivery]\nretry_schedule = [\"soon\"]".into(),
            "retry_schedule",
        ),
        ("[delivery]\nretry_schedule = []".into(), "retry_schedule"),
        ("[access]\nallow = true".into(), "allow"),
        ("[topics".into(), "foretell.toml"),
        ("[log]\nsegment_bytes = 1".into(), "segment_bytes is 1"),
        ("[log]\ncache = 1".into(), "cache"),
    ] {
        let error = application(folder.path(), &toml)
            .err()
            .unwrap_or_else(|| panic!("{toml}"));
        assert!(error.message().contains(word), "{toml}: {error}");
        assert!(error.message().contains("foretell.toml"), "{toml}: {error}");
    }
    assert!(Application::read(&folder.path().join("nothing")).is_err());
    // What can only be known later: the node lets go of the directory, and can be opened again.
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("keys")).unwrap();
    std::fs::write(data.join("keys/master.key"), "short").unwrap();
    let error = open(&data, Application::none()).await.unwrap_err();
    assert!(error.message().contains("master.key"), "{error}");
    std::fs::remove_file(data.join("keys/master.key")).unwrap();
    open(&data, Application::none())
        .await
        .unwrap()
        .close()
        .await;
}
