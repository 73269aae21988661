use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::log_server::peer::{filled, filling};

/// Holds what it has acknowledged, and checks each condition unless told not to.
#[derive(Clone, Default)]
struct Held {
    streams: Arc<Mutex<HashMap<u32, u64>>>,
    careless: bool,
    forgets: u64,
}

impl Held {
    fn count(&self) -> u64 {
        self.streams.lock().unwrap().values().sum()
    }
}

#[async_trait]
impl Peer for Held {
    fn id(&self) -> u32 {
        std::process::id()
    }

    async fn fill(&mut self, streams: u32, rounds: u32) -> Result<Streams> {
        for event in filling(streams, rounds) {
            *self
                .streams
                .lock()
                .unwrap()
                .entry(event.stream)
                .or_default() += 1;
        }
        Ok(filled(streams, rounds))
    }

    async fn connect(&self) -> Result<Box<dyn Client>> {
        Ok(Box::new(self.clone()))
    }

    async fn read_all(&self) -> Result<u64> {
        Ok(self.count() - self.forgets)
    }
}

#[async_trait]
impl Client for Held {
    async fn append(&mut self, event: Event, condition: Condition) -> Result<Option<u64>> {
        // The others shall have their turn too.
        tokio::task::yield_now().await;
        assert_eq!(event.stream, condition.stream);
        let mut streams = self.streams.lock().unwrap();
        let count = streams.entry(event.stream).or_default();
        if *count != condition.events && !self.careless {
            return Ok(None);
        }
        *count += 1;
        Ok(Some(1))
    }
}

fn load(filled: u32, measured: Duration) -> Load {
    Load {
        writers: 4,
        streams: 100,
        filled,
        warm_up: Duration::ZERO,
        measured,
    }
}

fn measure(peer: &Held, load: Load) -> Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(pass(Box::new(peer.clone()), load))
}

/// How a pass over such a server fails.
fn error(peer: impl Fn() -> Held, filled: u32) -> String {
    let measured = span::that_suffices(|span| measure(&peer(), load(filled, span)));
    measured.unwrap_err().to_string()
}

#[test]
fn what_is_durable_counts_and_no_more() {
    for rounds in [0, 3] {
        let measured = span::that_suffices(|span| {
            let peer = Held::default();
            let measured = measure(&peer, load(rounds, span))?;
            let counted = (measured.events_per_s * span.as_secs_f64()).round() as u64;
            // The last answer of each writer comes too late to count; then there is one more event.
            assert_eq!(peer.count(), u64::from(rounds) * 100 + counted + 4 + 1);
            Ok(measured)
        });
        let measured = measured.unwrap();
        assert!(measured.median_ms > 0.0 && measured.read_per_s > 0.0);
    }
}

#[test]
fn an_event_that_is_not_there_again_is_an_error() {
    let peer = || Held {
        forgets: 1,
        ..Held::default()
    };
    let error = error(peer, 1);
    assert!(error.contains("were acknowledged"), "{error}");
}

#[test]
fn a_server_that_checks_no_condition_is_an_error() {
    let peer = || Held {
        careless: true,
        ..Held::default()
    };
    let error = error(peer, 1);
    assert!(error.contains("does not hold"), "{error}");
}

#[test]
fn an_append_that_is_refused_wrongly_is_an_error() {
    let peer = || Held {
        streams: Arc::new(Mutex::new((0..100).map(|stream| (stream, 7)).collect())),
        ..Held::default()
    };
    let error = error(peer, 0);
    assert!(error.contains("refused, and yet it holds"), "{error}");
}
