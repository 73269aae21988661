//! Push delivery to webhooks: how fast, how soon, to how many, and through which faults.

mod drain;
mod events;
mod faults;
mod latency;
mod ledger;
mod many;
mod raw;
mod sink;
mod subscribe;
mod tally;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::Result;
use crate::results::Results;

const TOPIC: &str = "bench";
const LOCALHOST: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
/// Events of a request that publishes a backlog.
const PUBLISHED_AT_ONCE: u64 = 2_000;

/// A part of this bench that can be run alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Drain,
    Latency,
    Many,
    Faults,
}

impl Part {
    pub fn from_name(name: &str) -> Option<Part> {
        Some(match name {
            "drain" => Part::Drain,
            "latency" => Part::Latency,
            "many" => Part::Many,
            "faults" => Part::Faults,
            _ => return None,
        })
    }
}

pub async fn run(quick: bool, long: bool, only: Option<Part>, results: &mut Results) -> Result<()> {
    let wanted = |part| only.is_none_or(|only| only == part);
    // First: syncs wait for what the others leave to the disk.
    if wanted(Part::Latency) {
        latency::run(quick, results).await?;
    }
    if wanted(Part::Drain) {
        drain::run(quick, results).await?;
    }
    if wanted(Part::Many) {
        many::run(quick, long, results).await?;
    }
    if wanted(Part::Faults) {
        faults::run(quick, results).await?;
    }
    Ok(())
}
