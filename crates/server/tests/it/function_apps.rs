//! Function apps that are made through the API.

use std::io::Write;
use std::sync::Arc;

use crate::support::{World, application, event, wait_for};
use foretell_server::{Application, Node};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

const APP: &str = r#"
import os
import azure.functions as func

app = func.FunctionApp()


@app.event_grid_trigger(arg_name="event")
@app.blob_output(arg_name="out", path="results/{id}.txt", connection="AzureWebJobsStorage")
def process(event: func.EventGridEvent, out: func.Out[str]) -> None:
    out.set(f"VERSION {os.environ['GREETING']}")
"#;

fn packed(version: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("function_app.py", SimpleFileOptions::default())
        .unwrap();
    let text = APP.replace("VERSION", version);
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

async fn put_code(world: &World, path: &str, zip: Vec<u8>) -> crate::support::Answer {
    let headers = [("content-type", "application/zip")];
    world.call("PUT", path, &headers, zip).await
}

async fn subscribe(world: &World) {
    let id =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/work/functions/process";
    let body = json!({"properties": {"destination": {"endpointType": "AzureFunction",
        "properties": {"resourceId": id}}}});
    let path = "/topics/shop/eventSubscriptions/work";
    world.put(path, body).await.is(201);
}

async fn started(node: &Arc<Node>) {
    let status = node.app("work").unwrap().started().await;
    assert_eq!(status, foretell_server::AppStatus::Ready, "{status}");
}

fn blob(world: &World, path: &str) -> Option<String> {
    std::fs::read_to_string(world.folder.path().join("data/storage").join(path)).ok()
}

#[tokio::test]
async fn an_app_is_made_changed_and_outlives_the_server() {
    let world = World::new().await;
    world
        .put("/storageAccounts/events1", json!({}))
        .await
        .is(201);
    let connection = "DefaultEndpointsProtocol=https;AccountName=events1;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net";
    let mut settings = json!({"GREETING": "hello", "AzureWebJobsStorage": connection});
    let definition = |settings: &Value| json!({"python": "3.11", "settings": settings});
    let made = world.put("/functions/work", definition(&settings)).await;
    let shown = made.is(201).json();
    assert_eq!(
        shown["settings"],
        json!(["AzureWebJobsStorage", "GREETING"])
    );
    assert!(
        shown["state"]["reason"]
            .as_str()
            .unwrap()
            .contains("no code yet"),
        "{shown}"
    );
    let shown = put_code(&world, "/functions/Work/code", packed("one"))
        .await
        .is(200)
        .json();
    assert_eq!(shown["code"]["files"], 1);
    started(&world.node).await;
    subscribe(&world).await;
    world
        .publish(json!([event("1", "s", json!({}))]))
        .await
        .is(200);
    let first = "_accounts/events1/results/1.txt";
    wait_for("the blob", || blob(&world, first).is_some()).await;
    assert_eq!(blob(&world, first).unwrap(), "one hello");

    // The same again changes nothing; other settings and other code replace the workers.
    let head = async || world.get("/topics/foretell.config").await.json()["head"].clone();
    let before = head().await;
    world
        .put("/functions/work", definition(&settings))
        .await
        .is(200);
    put_code(&world, "/functions/work/code", packed("one"))
        .await
        .is(200);
    assert_eq!(head().await, before);
    settings["GREETING"] = json!("again");
    world
        .put("/functions/work", definition(&settings))
        .await
        .is(200);
    put_code(&world, "/functions/work/code", packed("two"))
        .await
        .is(200);
    world
        .publish(json!([event("2", "s", json!({}))]))
        .await
        .is(200);
    let second = "_accounts/events1/results/2.txt";
    wait_for("the blob", || blob(&world, second).is_some()).await;
    assert_eq!(blob(&world, second).unwrap(), "two again");

    // Neither the log nor any file but the sealed one holds a secret.
    let events = world.get("/topics/foretell.config/events").await.text();
    assert!(
        events.contains("function.work") && !events.contains("c2VjcmV0"),
        "{events}"
    );
    let secrets: Vec<_> = std::fs::read_dir(world.folder.path().join("data/keys/secrets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(secrets, ["function.work.2"]);

    // Code that is a blob is followed.
    world
        .put("/storageAccounts/events1/containers/code", json!({}))
        .await
        .is(201);
    let at = "/storageAccounts/events1/containers/code/blobs/work.zip";
    put_code(&world, at, packed("blob")).await.is(201);
    let from = json!({"blob": "events1:code/work.zip"});
    world.put("/functions/work/code", from).await.is(200);
    put_code(&world, at, packed("three")).await.is(200);
    let shown = world.get("/functions/work").await.json();
    let hash = blake3::hash(&packed("three")).to_hex();
    assert_eq!(shown["code"]["hash"], hash.as_str(), "{shown}");
    assert_eq!(shown["code"]["blob"], "events1:code/work.zip");
    put_code(&world, at, b"no zip".to_vec()).await.is(400);

    let world = world.reopen(Application::none()).await;
    started(&world.node).await;
    world
        .publish(json!([event("3", "s", json!({}))]))
        .await
        .is(200);
    let third = "_accounts/events1/results/3.txt";
    wait_for("the blob", || blob(&world, third).is_some()).await;
    assert_eq!(blob(&world, third).unwrap(), "three again");
    let logs = world.get("/functions/work/logs").await.is(200).json();
    assert!(!logs.as_array().unwrap().is_empty());
    world.delete("/functions/work").await.is(200);
    world.get("/functions/work").await.is(404);
    world.delete("/functions/work").await.is(404);
    let packages = world.folder.path().join("data/packages");
    assert_eq!(std::fs::read_dir(packages).unwrap().count(), 0);
    world.node.close().await;
}

#[tokio::test]
async fn no_event_is_lost_while_workers_are_replaced() {
    let world = World::new().await;
    let definition = json!({"settings": {"GREETING": "x"}});
    world.put("/functions/work", definition).await.is(201);
    put_code(&world, "/functions/work/code", packed("0"))
        .await
        .is(200);
    started(&world.node).await;
    subscribe(&world).await;
    for round in 0..3 {
        let events = (0..30).map(|i| event(&format!("{round}-{i}"), &format!("s/{i}"), json!({})));
        world.publish(events.collect()).await.is(200);
        put_code(&world, "/functions/work/code", packed(&round.to_string()))
            .await
            .is(200);
    }
    let all = || {
        let folder = world.folder.path().join("data/storage/results");
        std::fs::read_dir(folder).map_or(0, |files| files.count())
    };
    wait_for("all blobs", || all() == 90).await;
    let shown = world
        .get("/topics/shop/eventSubscriptions/work")
        .await
        .json();
    assert_eq!(shown["stats"]["failed"], 0, "{shown}");
    world.node.close().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let world = World::with("[topics.shop]").await;
    let folder = world.folder.path().join("app/functions/mine");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("function_app.py"), APP).unwrap();
    let same = application(world.folder.path(), "[topics.shop]").unwrap();
    let world = world.reopen(same).await;
    let put = async |path: &str, body: Value| world.put(path, body).await;
    assert!(
        put("/functions/MINE", json!({}))
            .await
            .is(409)
            .message()
            .contains("\"mine\"")
    );
    put_code(&world, "/functions/mine/code", packed("1"))
        .await
        .is(409);
    world.delete("/functions/mine").await.is(409);
    assert_eq!(
        world.get("/functions/mine").await.is(200).json()["owner"],
        "file"
    );
    for (path, body, word) in [
        ("/functions/.x", json!({}), "name of a function app"),
        ("/functions/work", json!({"setting": {}}), "setting"),
        (
            "/functions/work",
            json!({"settings": {"A": 1}}),
            "malformed",
        ),
        ("/functions/work", json!({"settings": {"A=B": "1"}}), "A=B"),
        ("/functions/work", json!({"python": "PYTHON|3.11"}), "3.11"),
    ] {
        let message = put(path, body).await.is(400).message();
        assert!(message.contains(word), "{message}");
    }
    put_code(&world, "/functions/work/code", packed("1"))
        .await
        .is(404);
    put("/functions/work", json!({})).await.is(201);
    let message = put_code(&world, "/functions/work/code", b"hello".to_vec())
        .await
        .is(400)
        .message();
    assert!(message.contains("no zip"), "{message}");
    let answer = world.send("PUT", "/functions/work", &[], "{}").await;
    assert_eq!(answer.status, 401);
    world.node.close().await;
}
