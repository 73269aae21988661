//! How busy others keep the processors: then syncs wait for them, some engines' more than others'.

use std::time::Duration;

use crate::Result;

/// The share of the processors' time that was used while this process slept.
pub fn busy() -> Result<f64> {
    let before = read("/proc/stat")?;
    std::thread::sleep(Duration::from_millis(500));
    let after = read("/proc/stat")?;
    Ok(share(before, after))
}

/// Time idle, and all time, in ticks since the system started.
type Ticks = (u64, u64);

fn read(path: &str) -> Result<Ticks> {
    let text = std::fs::read_to_string(path)?;
    parse(&text).ok_or_else(|| format!("{path} has another form").into())
}

/// Source: proc(5); the fourth and fifth number are idle time and time of waiting for disks.
fn parse(text: &str) -> Option<Ticks> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Option<Vec<u64>> = numbers
        .split_ascii_whitespace()
        .map(|number| number.parse().ok())
        .collect();
    let ticks = ticks?;
    Some((ticks.get(3)? + ticks.get(4)?, ticks.iter().take(8).sum()))
}

fn share(before: Ticks, after: Ticks) -> f64 {
    let (idle, all) = (after.0 - before.0, after.1 - before.1);
    1.0 - idle as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share() {
        let before = parse("cpu  10 0 20 100 50 0 0 5 3 0\ncpu0 1 2 3\n").unwrap();
        let after = parse("cpu  30 0 20 150 80 0 0 5 3 0\n").unwrap();
        assert_eq!(before, (150, 185));
        assert!((share(before, after) - 0.2).abs() < 1e-9);
        assert!(parse("cpu0 1 2 3").is_none());
        assert!((0.0..=1.0).contains(&busy().unwrap()));
    }
}
