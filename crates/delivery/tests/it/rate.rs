//! How fast events go through: `cargo test --release -p foretell-delivery --test it rate -- --ignored --nocapture`.

use std::sync::Arc;

use crate::support::{World, options, outputs};
use async_trait::async_trait;
use foretell_delivery::{Failure, Handler, Invocation, Outcome, Subscription};

#[derive(Debug)]
struct Noop(bool);

#[async_trait]
impl Handler for Noop {
    async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure> {
        Ok(match self.0 {
            true => Outcome {
                blobs: Vec::new(),
                ..outputs(&invocation, "x")
            },
            false => Outcome::default(),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it in release"]
async fn events_a_second() {
    const EVENTS: u64 = 200_000;
    for (name, subjects, outputs) in [
        ("nothing returned, 10,000 subjects", 10_000, false),
        ("nothing returned, 10 subjects", 10, false),
        ("an event returned, 10,000 subjects", 10_000, true),
    ] {
        let world = World::new().await;
        world.publish(EVENTS, subjects).await;
        let begun = std::time::Instant::now();
        let noop = options(Arc::new(Noop(outputs)));
        let subscription = Subscription::start(noop, world.log.clone(), world.storage.clone());
        let subscription = subscription.unwrap();
        let mut log = tokio::time::interval(std::time::Duration::from_millis(1));
        while subscription.stats().delivered < EVENTS {
            log.tick().await;
        }
        let rate = EVENTS as f64 / begun.elapsed().as_secs_f64();
        println!("{name}: {rate:.0} events/s");
        subscription.stop().await;
        assert_eq!(world.progress().upto, EVENTS);
    }
}
