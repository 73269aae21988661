//! https, with real TLS clients.

use std::path::Path;
use std::time::Duration;

use crate::support::{World, application, event};
use foretell_server::{ListenOptions, Listening};
use foretell_types::ErrorKind;
use reqwest::{Certificate, Client};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// A server over a world, and what stops it.
struct Served {
    url: String,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<foretell_types::Result<()>>,
}

async fn listen(world: &World, address: &str) -> foretell_types::Result<Listening> {
    let options = ListenOptions {
        address: address.to_owned(),
        tls: true,
    };
    foretell_server::listen(&world.node, options).await
}

fn serve(world: &World, listening: Listening) -> Served {
    let url = listening.url();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(foretell_server::serve(
        world.node.clone(),
        listening,
        async move {
            let _ = stopped.await;
        },
    ));
    Served { url, stop, ended }
}

/// A client that trusts the certificates of a file alone.
fn client(ca: &Path) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = std::fs::read(ca).unwrap();
    Client::builder()
        .tls_certs_only(Certificate::from_pem_bundle(&pem).unwrap())
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_development_certificate() {
    let world = World::new().await;
    let listening = listen(&world, "127.0.0.1:0").await.unwrap();
    let ca = listening.authority().unwrap().to_owned();
    let served = serve(&world, listening);
    let port = served.url.rsplit(':').next().unwrap().to_owned();
    assert_eq!(served.url, format!("https://127.0.0.1:{port}"));
    let client = client(&ca);
    // Connections that say nothing keep nobody waiting.
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(
            TcpStream::connect(("127.0.0.1", port.parse().unwrap()))
                .await
                .unwrap(),
        );
    }
    for host in ["127.0.0.1", "localhost"] {
        let answer = client
            .post(format!("https://{host}:{port}/topics/shop/api/events"))
            .bearer_auth(world.admin())
            .header("content-type", "application/json")
            .body(json!([event(host, "s", json!(1))]).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.version(), http::Version::HTTP_11);
    }
    assert_eq!(world.read("").await.len(), 2);
    let topic = world.get("/topics/shop").await.json();
    let endpoint = format!("https://127.0.0.1:{port}/topics/shop/api/events");
    assert_eq!(topic["properties"]["endpoint"], endpoint);
    // A body that is too large: its refusal arrives, however late it is read.
    for path in ["api/events", "events"] {
        let answer = client
            .post(format!("{}/topics/shop/{path}", served.url))
            .bearer_auth(world.admin())
            .body(vec![b' '; 10 * 1024 * 1024])
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 413);
    }
    // Who doesn't trust the authority, and who doesn't speak TLS, gets nothing.
    let stranger = Client::builder().tls_certs_only([]).build().unwrap();
    assert!(stranger.get(&served.url).send().await.is_err());
    let plain = served.url.replace("https", "http");
    assert!(client.get(plain).send().await.is_err());
    served.stop.send(()).unwrap();
    // Handshakes that nobody will end don't hold up the end.
    let ended = tokio::time::timeout(Duration::from_secs(5), served.ended);
    ended.await.unwrap().unwrap().unwrap();
    let mut rest = Vec::new();
    let _ = silent[0].read_to_end(&mut rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_stays() {
    let world = World::new().await;
    let first = listen(&world, "127.0.0.1:0").await.unwrap();
    let ca = first.authority().unwrap().to_owned();
    let client = client(&ca);
    let shown = |world: &World| {
        foretell_server::server_certificate(&world.folder.path().join("data")).unwrap()
    };
    let one = shown(&world);
    drop(first);
    let second = listen(&world, "127.0.0.1:0").await.unwrap();
    assert_ne!(
        one,
        shown(&world),
        "a certificate of its own for each start"
    );
    let served = serve(&world, second);
    let answer = client.get(format!("{}/healthz", served.url)).send().await;
    assert_eq!(answer.unwrap().status(), 200);
    served.stop.send(()).unwrap();
    served.ended.await.unwrap().unwrap();
    let key = ca.with_file_name("ca.key");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["events.test".to_owned()]).unwrap();
    let app = folder.path().join("app");
    std::fs::create_dir_all(&app).unwrap();
    std::fs::write(app.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(app.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let toml = "[access]\ntls = { certificate = \"cert.pem\", key = \"key.pem\" }\n";
    let application = application(folder.path(), toml).unwrap();
    let world = World::new().await.reopen(application).await;
    // Beyond the loopback, too: nothing is said in clear. `--tls` is not needed.
    let listening = foretell_server::listen(&world.node, "0.0.0.0:0")
        .await
        .unwrap();
    assert!(listening.authority().is_none());
    let port = listening.url().rsplit(':').next().unwrap().parse().unwrap();
    let served = serve(&world, listening);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .tls_certs_only([Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()])
        .resolve("events.test", ([127, 0, 0, 1], port).into())
        .build()
        .unwrap();
    let answer = client
        .get(format!("https://events.test:{port}/healthz"))
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 200);
    let topics = client
        .get(format!("https://events.test:{port}/topics"))
        .send()
        .await;
    assert_eq!(topics.unwrap().status(), 401);
    served.stop.send(()).unwrap();
    served.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn certificates_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app");
    std::fs::create_dir_all(&app).unwrap();
    let made = rcgen::generate_simple_self_signed(["events.test".to_owned()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    for (name, text) in [
        ("good.pem", made.cert.pem()),
        ("good.key", made.signing_key.serialize_pem()),
        ("other.key", other.serialize_pem()),
        ("empty.pem", String::new()),
        ("broken.pem", made.cert.pem().replace("MII", "***")),
        (
            "wrong.pem",
            "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n".to_owned(),
        ),
    ] {
        std::fs::write(app.join(name), text).unwrap();
    }
    let mut world = World::new().await;
    for (certificate, key, says) in [
        ("missing.pem", "good.key", "missing.pem"),
        ("good.pem", "missing.key", "missing.key"),
        ("empty.pem", "good.key", "holds no certificate"),
        ("broken.pem", "good.key", "broken.pem is not PEM"),
        ("wrong.pem", "good.key", "wrong.pem"),
        ("good.pem", "good.pem", "holds no private key"),
        ("good.pem", "other.key", "other.key"),
    ] {
        let toml =
            format!("[access]\ntls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n");
        let application = application(folder.path(), &toml).unwrap();
        world = world.reopen(application).await;
        let error = listen(&world, "127.0.0.1:0").await.unwrap_err();
        assert!(
            error.message().contains(says),
            "{certificate}, {key}: {error}"
        );
        assert!(
            matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Io),
            "{error:?}"
        );
    }
    let wrong = application(folder.path(), "[access]\ntls = \"yes\"\n").unwrap_err();
    assert!(wrong.message().contains("certificate = "), "{wrong}");
}

#[tokio::test]
async fn a_damaged_authority_is_named() {
    let world = World::new().await;
    drop(listen(&world, "127.0.0.1:0").await.unwrap());
    let key = world.folder.path().join("data/tls/ca.key");
    std::fs::write(&key, "nothing").unwrap();
    let error = listen(&world, "127.0.0.1:0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.message().contains("ca.key"), "{error}");
}
