//! How busy others kept the processors meanwhile: then syncs wait for them, some engines' more
//! than others'.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// The kernel counts processor time in these. Source: time(7), USER_HZ.
const TICKS_PER_S: f64 = 100.0;

/// What the processors had done when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    ticks: Ticks,
    own: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl Watch {
    pub fn start() -> Result<Watch> {
        let text = std::fs::read_to_string("/proc/stat")?;
        Ok(Watch {
            ticks: parse(&text).ok_or("/proc/stat has another form")?,
            own: own_time(),
        })
    }

    /// Processor time of this process since then.
    pub fn own(&self) -> Duration {
        own_time().saturating_sub(self.own)
    }

    /// The share of the processors' time since then that others used; the kernel's own threads
    /// and interrupts are others.
    pub fn others(&self) -> Result<f64> {
        let now = Watch::start()?;
        let own = now.own.saturating_sub(self.own);
        Ok(share(self.ticks, now.ticks, own))
    }
}

fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Source: proc(5); the fourth and fifth number are idle time and time of waiting for disks.
fn parse(text: &str) -> Option<Ticks> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Option<Vec<u64>> = numbers
        .split_ascii_whitespace()
        .take(8)
        .map(|number| number.parse().ok())
        .collect();
    let ticks = ticks?;
    let all = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(Ticks {
        busy: all - idle,
        all,
    })
}

fn share(before: Ticks, after: Ticks, own: Duration) -> f64 {
    let busy = after.busy.saturating_sub(before.busy) as f64;
    let all = after.all.saturating_sub(before.all).max(1) as f64;
    ((busy - own.as_secs_f64() * TICKS_PER_S) / all).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share() {
        let before = parse("cpu  10 0 20 100 50 0 0 5 3 0\ncpu0 1 2 3\n").unwrap();
        let after = parse("cpu  30 0 20 150 80 0 0 5 3 0\n").unwrap();
        assert_eq!((before.busy, before.all), (35, 185));
        let others = share(before, after, Duration::from_millis(50));
        assert!((others - 0.15).abs() < 1e-9, "{others}");
        assert_eq!(share(before, before, Duration::ZERO), 0.0);
        assert!(parse("cpu0 1 2 3").is_none());
        let watch = Watch::start().unwrap();
        assert!((0.0..=1.0).contains(&watch.others().unwrap()));
    }
}
