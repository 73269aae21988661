//! What an invocation costs: `cargo test --release -p foretell-functions --test it cost -- --ignored
//! --nocapture`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{invocation, start};

const SEGMENTS: &str = "../../../../examples/shop/functions/segments";
const INVOCATIONS: u64 = 20_000;
const IN_FLIGHT: usize = 64;

/// User and system time of all our children so far, and of ourselves.
fn cpu(pid: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// The worker: our only child.
fn child() -> String {
    let me = std::process::id();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let children = tasks.map(|task| {
        let path = task.unwrap().path().join("children");
        std::fs::read_to_string(path).unwrap()
    });
    children
        .collect::<String>()
        .split_whitespace()
        .next()
        .unwrap_or_else(|| panic!("{me}"))
        .into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_an_invocation() {
    let begun = Instant::now();
    let test = start(SEGMENTS);
    test.app.started().await;
    println!("start: {:?}", begun.elapsed());
    let handler = test.app.handler("classify");
    let next = std::sync::Arc::new(AtomicU64::new(0));
    let (worker, begun) = (child(), Instant::now());
    let (worker_before, own_before) = (cpu(&worker), cpu("self"));
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (handler, next) = (handler.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= INVOCATIONS {
                        return;
                    }
                    let data = format!(
                        r#"{{"customer_id":"{number:05}","date":"1997-01-12","order":"{number}","cds":5,"dollars":77.0}}"#
                    );
                    handler.handle(invocation(number, &data)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let each = |total: Duration| total / INVOCATIONS as u32;
    println!("elapsed:    {:?} an invocation", each(begun.elapsed()));
    println!(
        "worker CPU: {:?} an invocation",
        each(cpu(&worker) - worker_before)
    );
    println!(
        "own CPU:    {:?} an invocation",
        each(cpu("self") - own_before)
    );
}
