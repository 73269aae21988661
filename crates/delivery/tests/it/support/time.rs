//! Time that tests can hold and advance.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foretell_log::Clock;
use foretell_types::Instant;

/// The runtime's own time, paused or not, as a wall clock; on every thread.
pub struct RuntimeClock {
    pub runtime: tokio::runtime::Handle,
    pub start: tokio::time::Instant,
    /// How often it was asked.
    pub asked: Arc<AtomicU64>,
}

impl Clock for RuntimeClock {
    fn now(&self) -> Instant {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let _inside = self.runtime.enter();
        let passed = self.start.elapsed().as_nanos() as i64;
        Instant::from_nanos(1_700_000_000_000_000_000 + passed)
    }
}

/// While it is held, paused time passes only by `advance`.
pub struct Still(#[allow(dead_code)] std::sync::mpsc::Sender<()>);

pub fn still() -> Still {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || receiver.recv());
    Still(sender)
}

/// Waits until a condition holds; a minute of real time at most.
#[track_caller]
pub fn until(mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let begun = std::time::Instant::now();
    async move {
        while !holds() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "never held: {caller}"
            );
            tokio::task::yield_now().await;
        }
    }
}

/// Lets everything go on that can.
pub async fn settle_down() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}
