//! Endpoints that answer no HTTP, never end, never begin: each costs its own subscription time and
//! bounded memory, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::http::{self, serve};
use crate::support::{World, options, settle_down, still, until};
use foretell_delivery::{Subscription, Webhook, create};
use foretell_log::Append;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const EVENTS: u64 = 20;
/// What an endpoint may get rid of over one connection before it is cut off: what is read of an
/// answer, and what lies in the buffers of the two sockets.
const SENT_MOST: u64 = 16 * 1024 * 1024;

/// What an endpoint does with a connection.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Sends this without reading, then closes.
    Send(&'static [u8]),
    /// Reads a part of the request, then closes.
    CloseHalfWay,
    /// Reads, sends the first, then the second without end, as fast as it is taken.
    Repeat(&'static [u8], &'static [u8]),
    /// Reads, sends the first, then a byte now and then, without end.
    Drip(&'static [u8]),
    /// Reads, and says nothing.
    Silent,
}

struct Hostile {
    url: String,
    /// Connections that hang: what is said at once has been said.
    hanging: Arc<AtomicU64>,
    /// Bytes of the connection that took most.
    sent: Arc<AtomicU64>,
}

impl Hostile {
    async fn start(does: Does) -> Hostile {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (hanging, sent) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (hang, most) = (hanging.clone(), sent.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(act(stream, does, hang.clone(), most.clone()));
            }
        });
        Hostile { url, hanging, sent }
    }
}

/// Reads a request to its end: the array of its body.
async fn read_all(stream: &mut TcpStream) {
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if buffer[..count].ends_with(b"]") {
            return;
        }
    }
}

async fn act(mut stream: TcpStream, does: Does, hang: Arc<AtomicU64>, most: Arc<AtomicU64>) {
    let mut buffer = [0; 64];
    let mut sent = 0;
    match does {
        Does::Send(bytes) => {
            let _ = stream.write_all(bytes).await;
        }
        Does::CloseHalfWay => {
            let _ = stream.read(&mut buffer).await;
        }
        Does::Repeat(first, more) => {
            read_all(&mut stream).await;
            let more = more.repeat(65_536 / more.len());
            let mut result = stream.write_all(first).await;
            while result.is_ok() {
                result = stream.write_all(&more).await;
                sent += more.len() as u64;
                most.fetch_max(sent, Ordering::SeqCst);
            }
        }
        Does::Drip(first) => {
            read_all(&mut stream).await;
            let mut result = stream.write_all(first).await;
            hang.fetch_add(1, Ordering::SeqCst);
            while result.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                result = stream.write_all(b"x").await;
            }
        }
        Does::Silent => {
            hang.fetch_add(1, Ordering::SeqCst);
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        }
    }
}

/// Delivers to a hostile endpoint and, by another subscription, to one that is well. `None`: all is
/// delivered to the hostile one; else all fails, with this as the last outcome.
async fn contained(does: Does, outcome: Option<&str>, is_slow: bool) {
    let _still = still();
    let world = World::new().await;
    let fine = create(
        Append::new(),
        "shop",
        "fine",
        0,
        0,
        uuid::Uuid::from_u128(2),
    );
    world.log.append(fine).unwrap().await.unwrap();
    let hostile = Hostile::start(does).await;
    let well = serve(http::Answer::Bytes(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let start = |name: &str, url: &str| {
        let mut options = options(Arc::new(Webhook::new(url).unwrap()));
        options.name = name.into();
        Subscription::start(options, world.log.clone(), world.storage.clone()).unwrap()
    };
    let (one, other) = (start("work", &hostile.url), start("fine", &well.url));
    world.publish(EVENTS, EVENTS).await;
    // The other goes on, in real time.
    until(|| other.stats().delivered == EVENTS).await;
    if is_slow {
        until(|| hostile.hanging.load(Ordering::SeqCst) == EVENTS).await;
        // What was said is read before its time is over.
        settle_down().await;
        assert_eq!(one.stats().failed, 0, "{does:?}");
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(30_500)).await;
    }
    match outcome {
        None => until(|| one.stats().delivered == EVENTS).await,
        Some(outcome) => {
            until(|| one.stats().failed >= EVENTS).await;
            one.stop().await;
            let pending = world.progress().pending;
            assert_eq!(pending.len() as u64, EVENTS, "{does:?}");
            for (position, pending) in pending {
                assert_eq!(pending.last_outcome, outcome, "{does:?}, {position}");
            }
        }
    }
    let sent = hostile.sent.load(Ordering::SeqCst);
    assert!(sent <= SENT_MOST, "{does:?} got rid of {sent} bytes");
    other.stop().await;
}

#[tokio::test]
async fn no_http() {
    for bytes in [
        &b"\0\xff\x80 no HTTP \r\n\r\n"[..],
        b"",
        b"HTTP/1.1 200",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 503 Oh\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ] {
        contained(Does::Send(bytes), Some("Aborted"), false).await;
    }
    contained(Does::CloseHalfWay, Some("Aborted"), false).await;
}

#[tokio::test]
async fn a_redirect_to_itself() {
    let head = b"HTTP/1.1 308 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    contained(Does::Send(head), Some("Aborted"), false).await;
}

#[tokio::test]
async fn an_answer_without_end() {
    contained(
        Does::Repeat(b"HTTP/1.1 500 Oh\r\n\r\n", b"x"),
        Some("Aborted"),
        false,
    )
    .await;
    contained(Does::Repeat(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), None, false).await;
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    contained(Does::Repeat(chunked, b"1;a=b\r\nx\r\n"), None, false).await;
}

#[tokio::test]
async fn a_head_without_end() {
    let first = b"HTTP/1.1 200 OK\r\n";
    contained(Does::Repeat(first, b"a: b\r\n"), Some("Aborted"), false).await;
    contained(
        Does::Repeat(b"HTTP/1.1 200 OK\r\na: ", b"x"),
        Some("Aborted"),
        false,
    )
    .await;
    contained(Does::Repeat(b"HTTP/1.1 200 ", b"x"), Some("Aborted"), false).await;
}

#[tokio::test]
async fn no_answer() {
    contained(Does::Silent, Some("TimedOut"), true).await;
}

#[tokio::test]
async fn an_answer_that_drips() {
    contained(
        Does::Drip(b"HTTP/1.1 200 OK\r\na: "),
        Some("TimedOut"),
        true,
    )
    .await;
}

#[tokio::test]
async fn a_body_that_drips() {
    let head = b"HTTP/1.1 500 Oh\r\n\r\n";
    contained(Does::Drip(head), Some("Aborted"), true).await;
}

#[tokio::test]
async fn the_body_of_a_success_that_drips() {
    contained(Does::Drip(b"HTTP/1.1 200 OK\r\n\r\n"), None, false).await;
}

#[tokio::test]
async fn interim_answers_without_end() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    let _still = still();
    let world = World::new().await;
    let hostile = Hostile::start(Does::Repeat(b"", interim)).await;
    let options = options(Arc::new(Webhook::new(&hostile.url).unwrap()));
    let subscription =
        Subscription::start(options, world.log.clone(), world.storage.clone()).unwrap();
    world.publish(1, 1).await;
    until(|| hostile.sent.load(Ordering::SeqCst) > 0).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(30_500)).await;
    until(|| subscription.stats().failed == 1).await;
    subscription.stop().await;
}
