//! How busy others kept the processors meanwhile: then syncs wait for them, some engines' more
//! than others'.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The kernel counts processor time in these. Source: time(7), USER_HZ.
const TICKS_PER_S: f64 = 100.0;

/// What the processors had done when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    ticks: Ticks,
    own: Duration,
    /// A process that is measured too, and how much it and its children had used.
    server: Option<(u32, Duration)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl Watch {
    pub fn start() -> Result<Watch> {
        Watch::with_server(None)
    }

    /// The time of that process isn't that of others.
    pub fn with_server(id: Option<u32>) -> Result<Watch> {
        let text = std::fs::read_to_string("/proc/stat")?;
        Ok(Watch {
            ticks: parse(&text).ok_or("/proc/stat has another form")?,
            own: own_time(),
            server: id
                .map(|id| Ok::<_, Error>((id, time_of(id)?)))
                .transpose()?,
        })
    }

    /// Processor time of this process since then.
    pub fn own(&self) -> Duration {
        own_time().saturating_sub(self.own)
    }

    /// Processor time of the server and its children since then.
    pub fn server(&self) -> Result<Duration> {
        match self.server {
            Some((id, before)) => Ok(time_of(id)?.saturating_sub(before)),
            None => Ok(Duration::ZERO),
        }
    }

    /// The share of the processors' time since then that others used; the kernel's own threads
    /// and interrupts are others.
    pub fn others(&self) -> Result<f64> {
        let now = Watch::start()?;
        let known = now.own.saturating_sub(self.own) + self.server()?;
        Ok(share(self.ticks, now.ticks, known))
    }
}

/// Processor time of a process and its children, also of those that have ended. Source: proc(5).
fn time_of(id: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let mut time = parse_time(&stat).ok_or("/proc/PID/stat has another form")?;
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    for child in children.split_ascii_whitespace() {
        // One that ends meanwhile counts with its parent from now on.
        time += time_of(child.parse()?).unwrap_or_default();
    }
    Ok(time)
}

/// Nanoseconds of processor time.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Used {
    pub program: f64,
    /// What the system did for it.
    pub system: f64,
}

impl Used {
    pub fn all(self) -> f64 {
        self.program + self.system
    }

    /// Spread over so many.
    pub fn each(self, count: f64) -> Used {
        Used {
            program: self.program / count,
            system: self.system / count,
        }
    }
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Used) {
        self.program += other.program;
        self.system += other.system;
    }
}

impl std::ops::SubAssign for Used {
    fn sub_assign(&mut self, other: Used) {
        self.program -= other.program;
        self.system -= other.system;
    }
}

/// What the threads of this process that are there have used, by their names. Source: proc(5).
pub fn of_threads() -> Result<BTreeMap<String, Used>> {
    let mut all = BTreeMap::<_, Used>::new();
    for thread in std::fs::read_dir("/proc/self/task")? {
        // One may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else {
            continue;
        };
        let (name, used) =
            parse_thread(&stat).ok_or("/proc/self/task/TID/stat has another form")?;
        *all.entry(name.to_owned()).or_default() += used;
    }
    Ok(all)
}

fn parse_thread(stat: &str) -> Option<(&str, Used)> {
    let (name, [program, system, ..]) = parse_ticks(stat)?;
    let ns = |ticks: f64| ticks / TICKS_PER_S * 1e9;
    let used = Used {
        program: ns(program),
        system: ns(system),
    };
    Some((name, used))
}

fn parse_time(stat: &str) -> Option<Duration> {
    let (_, ticks) = parse_ticks(stat)?;
    let ticks: f64 = ticks.iter().sum();
    Some(Duration::from_secs_f64(ticks / TICKS_PER_S))
}

/// The name, and the 14th to 17th field; it is in parentheses, and may hold anything.
fn parse_ticks(stat: &str) -> Option<(&str, [f64; 4])> {
    let (before, fields) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let ticks: Option<Vec<f64>> = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse().ok())
        .collect();
    Some((name, ticks?.try_into().ok()?))
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

fn share(before: Ticks, after: Ticks, known: Duration) -> f64 {
    let busy = after.busy.saturating_sub(before.busy) as f64;
    let all = after.all.saturating_sub(before.all).max(1) as f64;
    ((busy - known.as_secs_f64() * TICKS_PER_S) / all).max(0.0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

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

    #[test]
    fn time_of_a_thread_by_its_name() {
        let (worked, wait) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            let work = || {
                let busy = || of_threads().unwrap()["the worker"].all() < 3e7;
                while busy() {}
                worked.wait();
                wait.wait();
            };
            let named = std::thread::Builder::new().name("the worker".to_owned());
            named.spawn_scoped(scope, work).unwrap();
            worked.wait();
            let used = of_threads().unwrap();
            let all = used.values().map(|used| used.all()).sum::<f64>();
            assert!(used["the worker"].all() >= 3e7 && all <= own_time().as_nanos() as f64 + 1e8);
            wait.wait();
        });
    }

    #[test]
    fn time_of_a_process_and_its_children() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 1 2 3 4 150 50 20 30 20 0 1 0 9";
        assert_eq!(parse_time(stat), Some(Duration::from_millis(2_500)));
        assert_eq!(parse_time("7 (a) S 1"), None);
        let used = Used {
            program: 1.5e9,
            system: 0.5e9,
        };
        assert_eq!(parse_thread(stat), Some(("a) b", used)));
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo; read end";
        let mut parent = std::process::Command::new("sh")
            .args(["-c", &format!("sh -c '{script}'; true")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The child has worked, and waits.
        parent
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0])
            .unwrap();
        assert!(time_of(parent.id()).unwrap() > Duration::from_millis(20));
        drop(parent.stdin.take());
        assert!(parent.wait().unwrap().success());
        assert!(time_of(parent.id()).is_err());
    }
}
