//! One measure of publishing: so many connections, each with one batch in flight.

use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::Result;
use crate::client::Connection;
use crate::payload::{Batch, Target};
use crate::span;

/// What is published, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub connections: usize,
    pub batch: usize,
    /// Published, but not counted.
    pub warm_up: Duration,
    pub measured: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub events_per_s: f64,
    /// Of one request, or of one group of the raw writer.
    pub median_ms: f64,
    pub p99_ms: f64,
    /// Requests that were refused as too much and sent again.
    pub refused: u64,
}

impl Measured {
    /// From the time that each of the requests or groups took, all of which ended within `span`.
    pub fn new(mut times: Vec<Duration>, events_each: usize, span: Duration) -> Measured {
        times.sort_unstable();
        let at = |share: usize| {
            let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
            times
                .get(index)
                .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        Measured {
            events_per_s: (times.len() * events_each) as f64 / span.as_secs_f64(),
            median_ms: at(50),
            p99_ms: at(99),
            refused: 0,
        }
    }
}

/// Publishes, and counts the events whose 200 came within the measured time. No two measures on
/// one topic may share any of `series .. series + connections`.
pub async fn publish(target: &Target, series: u32, load: Load) -> Result<Measured> {
    let publishers = LocalSet::new();
    let mut running = Vec::new();
    let from = Instant::now() + load.warm_up;
    let until = from + load.measured;
    for series in (series..).take(load.connections) {
        let connection = Connection::open(target.address).await?;
        let batch = Batch::new(target, series, load.batch);
        running.push(publishers.spawn_local(publisher(connection, batch, from, until)));
    }
    publishers.await;
    let (mut times, mut refused) = (Vec::new(), 0);
    for publisher in running {
        let (its_times, its_refused) = publisher.await??;
        times.extend(its_times);
        refused += its_refused;
    }
    Ok(Measured {
        refused,
        ..Measured::new(span::answered(times)?, load.batch, load.measured)
    })
}

async fn publisher(
    mut connection: Connection,
    mut batch: Batch,
    from: Instant,
    until: Instant,
) -> Result<(Vec<Duration>, u64)> {
    let (mut times, mut refused, mut next) = (Vec::new(), 0, 0);
    loop {
        let sent = Instant::now();
        refused += connection.publish(batch.stamped(next)).await?;
        next += batch.events() as u64;
        let answered = Instant::now();
        if answered >= until {
            return Ok((times, refused));
        }
        if answered >= from {
            times.push(answered - sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::StandIn;

    fn on_runtime<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn counts_no_event_that_was_not_taken() {
        let measure = |span| {
            let stand_in = StandIn::start(7);
            let load = Load {
                connections: 3,
                batch: 10,
                warm_up: Duration::ZERO,
                measured: span,
            };
            let measured = on_runtime(publish(&stand_in.target(), 1, load))?;
            let counted = (measured.events_per_s * span.as_secs_f64()).round() as usize;
            // The last answer of each connection comes too late to count.
            assert_eq!(counted + 3 * 10, stand_in.events());
            match measured.refused {
                0 => Err(span::nothing()),
                _ => Ok(measured),
            }
        };
        let measured = span::that_suffices(measure).unwrap();
        assert!(measured.median_ms > 0.0 && measured.median_ms <= measured.p99_ms);
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let stand_in = StandIn::start(0);
        let target = Target {
            key: "wrong".into(),
            ..stand_in.target()
        };
        let load = Load {
            connections: 1,
            batch: 1,
            warm_up: Duration::ZERO,
            measured: Duration::from_millis(50),
        };
        let error = on_runtime(publish(&target, 1, load)).unwrap_err();
        assert!(error.to_string().contains("401: not this key"), "{error}");
    }
}
