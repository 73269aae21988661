//! Memory of the server after a real log was loaded ten times over: the CDNOW purchases,
//! published over HTTP, each copy with ids of its own.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use foretell_types::{NewEvent, cloudevents};
use tokio::task::LocalSet;

use crate::Result;
use crate::client::Connection;
use crate::payload::Target;
use crate::results::{Goal, Results};
use crate::server::Server;

const TOPIC: &str = "cdnow";
const COPIES: usize = 10;
const BATCH: usize = 500;
const CONNECTIONS: usize = 8;
const GOAL_MB: f64 = 200.0;

/// A line of the file: customer, date (YYYYMMDD), number of CDs, dollars.
#[derive(Clone, Debug)]
struct Purchase {
    customer: String,
    date: String,
    cds: u32,
    dollars: String,
}

pub async fn run(results: &mut Results) -> Result<()> {
    let purchases = read(&find_file()?)?;
    let server = Server::start(TOPIC).await?;
    let idle = server.memory()?;
    eprintln!("memory: {COPIES} x {} CDNOW purchases", purchases.len());
    let start = Instant::now();
    load(server.target(), &purchases).await?;
    let events = COPIES * purchases.len();
    let rate = events as f64 / start.elapsed().as_secs_f64();
    let loaded = server.memory()?;
    let goal = Some(Goal::Below(GOAL_MB));
    results.add(
        "resident memory, no events",
        "MB",
        idle.resident,
        None,
        None,
    );
    let what = format!("CDNOW {COPIES} times over ({events} events)");
    results.add(
        format!("resident memory, {what}"),
        "MB",
        loaded.resident,
        None,
        goal,
    );
    results.add(
        format!("peak memory, {what}"),
        "MB",
        loaded.peak,
        None,
        goal,
    );
    results.add(format!("load, {what}"), "events/s", rate, None, None);
    Ok(())
}

/// The purchases as events of CloudEvents.
pub fn events() -> Result<Vec<NewEvent>> {
    let purchases = read(&find_file()?)?;
    let events = purchases.iter().enumerate().map(|(line, purchase)| {
        let Purchase {
            customer,
            date,
            cds,
            dollars,
        } = purchase;
        let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
        let text = format!(
            r#"{{"specversion":"1.0","id":"cdnow-{line}","source":"/cdnow","type":"cdnow.purchased","subject":"customer/{customer}","time":"{year}-{month}-{day}T00:00:00Z","data":{{"cds":{cds},"total":{dollars}}}}}"#
        );
        Ok(cloudevents::from_json(text.as_bytes())?)
    });
    events.collect()
}

async fn load(target: &Target, purchases: &[Purchase]) -> Result<()> {
    let publishers = LocalSet::new();
    let mut running = Vec::new();
    for lane in 0..CONNECTIONS {
        let target = target.clone();
        let purchases = purchases.to_vec();
        running.push(publishers.spawn_local(async move {
            let mut connection = Connection::open(target.address).await?;
            for copy in 0..COPIES {
                let batches = purchases.chunks(BATCH).enumerate();
                for (number, batch) in batches.skip(lane).step_by(CONNECTIONS) {
                    let body = body(copy, number * BATCH, batch)?;
                    connection.publish(&target.request(&body)).await?;
                }
            }
            Result::<()>::Ok(())
        }));
    }
    publishers.await;
    for publisher in running {
        publisher.await??;
    }
    Ok(())
}

/// Event Grid events of the purchases from line `first` on.
fn body(copy: usize, first: usize, purchases: &[Purchase]) -> Result<String> {
    let mut body = String::new();
    for (line, purchase) in (first..).zip(purchases) {
        let Purchase {
            customer,
            date,
            cds,
            dollars,
        } = purchase;
        let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
        body.push(if line == first { '[' } else { ',' });
        write!(
            body,
            r#"{{"id":"cdnow-{copy}-{line}","subject":"customer/{customer}","eventType":"cdnow.purchased","eventTime":"{year}-{month}-{day}T00:00:00Z","dataVersion":"1","data":{{"cds":{cds},"total":{dollars}}}}}"#
        )?;
    }
    body.push(']');
    Ok(body)
}

fn find_file() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let places = [
        root.join("examples/shop/CDNOW_master.txt.gz"),
        root.join("../shared/data/logs/CDNOW_master.txt.gz"),
    ];
    let found = places.iter().find(|place| place.is_file());
    found
        .cloned()
        .ok_or_else(|| format!("no CDNOW_master.txt.gz: looked for {places:?}").into())
}

fn read(path: &Path) -> Result<Vec<Purchase>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    let lines = text.lines().enumerate().skip(1);
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            parse(line).ok_or_else(|| format!("{}:{}: {line:?}", path.display(), index + 1).into())
        })
        .collect()
}

fn parse(line: &str) -> Option<Purchase> {
    let mut words = line.split_ascii_whitespace();
    let purchase = Purchase {
        customer: words.next()?.to_owned(),
        date: words
            .next()
            .filter(|date| date.len() == 8 && date.is_ascii())?
            .to_owned(),
        cds: words.next()?.parse().ok()?,
        dollars: words
            .next()
            .filter(|text| text.parse::<f64>().is_ok())?
            .to_owned(),
    };
    words.next().is_none().then_some(purchase)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn purchases_become_events() {
        let purchase = parse(" 00002 19970112  5   77.00").unwrap();
        let body = body(3, 500, &[purchase.clone(), purchase]).unwrap();
        let events: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(events[0]["id"], "cdnow-3-500");
        assert_eq!(events[1]["id"], "cdnow-3-501");
        assert_eq!(events[0]["subject"], "customer/00002");
        assert_eq!(events[0]["eventTime"], "1997-01-12T00:00:00Z");
        assert_eq!(events[0]["data"]["total"], 77.0);
        for bad in [
            "",
            "1 19970112 5",
            "1 1997 5 7.0",
            "1 19970112 x 7.0",
            "1 19970112 5 y",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
