//! What the demo does and shows, step by step.

use std::path::Path;
use std::time::{Duration, Instant};

use foretell_server::Node;
use foretell_types::{Error, Result};
use serde_json::{Value, json};

use super::events::{Batch, CUSTOMER, batches, purchases};
use crate::client::{Client, Request, encode};
use crate::output::{Failure, amount, bar, count, line, note};

const TOPIC: &str = "shop";
const SUBSCRIPTION: &str = "classify";
const BATCH_EVENTS: usize = 500;
/// A function that has not caught up by then is broken.
const PATIENCE: Duration = Duration::from_secs(300);

struct Show {
    as_json: bool,
    began: Instant,
    report: Value,
}

impl Show {
    fn say(&self, text: &str) -> std::result::Result<(), Failure> {
        if self.as_json { Ok(()) } else { line(text) }
    }

    fn step(&self, text: &str) -> std::result::Result<(), Failure> {
        self.say(&format!(
            "\n[{:>5.1} s] {text}",
            self.began.elapsed().as_secs_f64()
        ))
    }
}

/// Runs the demo against the server at `url`.
pub async fn run(
    node: &Node,
    url: &str,
    data: &Path,
    kept: bool,
    as_json: bool,
) -> std::result::Result<(), Failure> {
    let mut show = Show {
        as_json,
        began: Instant::now(),
        report: json!({}),
    };
    show.say("Foretell: 69,659 real purchases of a CD shop, January 1997 to June 1998")?;
    show.step(&format!(
        "The server listens at {url}, its data lies in {}",
        data.display()
    ))?;
    start_function(node, &show).await?;
    let admin = Client::remote(url, Some(node.admin_key().as_str().to_owned()))?;
    let keys = admin
        .send(Request::post("/topics/shop/listKeys"))
        .await?
        .json()
        .await?;
    let key = keys["key1"].as_str().unwrap_or("").to_owned();
    publish(&mut show, url, &key).await?;
    wait_for_function(&mut show, &admin).await?;
    results(&mut show, node).await?;
    states(&mut show, &admin).await?;
    let seconds = show.began.elapsed().as_secs_f64();
    if as_json {
        show.report["seconds"] = json!(seconds);
        return line(&show.report.to_string());
    }
    finish(&show, seconds, kept.then_some(data))
}

async fn start_function(node: &Node, show: &Show) -> std::result::Result<(), Failure> {
    show.step("The function app: a virtual environment with azure-functions, then the worker")?;
    let app = node.app("segments")?;
    let status = app.started().await;
    if status != foretell_server::AppStatus::Ready {
        return Err(
            Error::unavailable(format!("the function app does not start: {status}")).into(),
        );
    }
    for function in app.functions() {
        show.say(&format!(
            "  function {}/{} runs on each event ({})",
            function.app, function.name, function.trigger
        ))?;
    }
    Ok(())
}

async fn publish(show: &mut Show, url: &str, key: &str) -> std::result::Result<(), Failure> {
    let read = tokio::task::spawn_blocking(purchases).await;
    let purchases = read.map_err(|error| Error::unavailable(error.to_string()))??;
    let total = purchases.events.len() as u64 + 1;
    let all = batches(&purchases.events, BATCH_EVENTS);
    // Last of all comes what happened long ago: the shop hears of it late.
    let late = batches(std::slice::from_ref(&purchases.late), 1);
    show.step(&format!(
        "Publishing {} events over HTTP, Event Grid schema, with the topic's key",
        count(total)
    ))?;
    let began = Instant::now();
    let progress = bar(total, "  publishing");
    // One request after the other, so that the order of the shop is the order of the topic.
    let client = Client::remote(url, None)?;
    for batch in all.into_iter().chain(late) {
        send(&client, key, batch, &progress).await?;
    }
    progress.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let rate = (total as f64 / seconds) as u64;
    show.report["published"] = json!(total);
    show.report["publish_events_per_s"] = json!(rate);
    show.say(&format!(
        "  {} events in {seconds:.1} s: {} events/s, each durable before it was acknowledged",
        count(total),
        count(rate)
    ))
}

async fn send(
    client: &Client,
    key: &str,
    batch: Batch,
    progress: &indicatif::ProgressBar,
) -> Result<()> {
    let request = Request::post(format!("/topics/{TOPIC}/api/events?api-version=2018-01-01"))
        .header("aeg-sas-key", key)
        .body("application/json; charset=utf-8", batch.body);
    client.send(request).await?;
    progress.inc(batch.events);
    Ok(())
}

async fn wait_for_function(show: &mut Show, admin: &Client) -> std::result::Result<(), Failure> {
    show.step("The function works off what is waiting")?;
    let began = Instant::now();
    let path = format!("/topics/{TOPIC}/eventSubscriptions/{SUBSCRIPTION}");
    let (mut progress, mut told) = (None, Instant::now());
    loop {
        let answer = admin.send(Request::get(path.clone())).await?.json().await?;
        let lag = answer["lag"].as_u64().unwrap_or(0);
        let delivered = answer["stats"]["delivered"].as_u64().unwrap_or(0);
        let bar = progress.get_or_insert_with(|| bar(lag + delivered, "  classifying"));
        bar.set_position(delivered);
        if lag == 0 {
            bar.finish_and_clear();
            let failed = answer["stats"]["failed"].as_u64().unwrap_or(0);
            show.report["classified"] = json!(delivered);
            show.report["failed_attempts"] = json!(failed);
            return show.say(&format!(
                "  {} events classified, {failed} failed attempts, {:.1} s after the last was published",
                count(delivered),
                began.elapsed().as_secs_f64()
            ));
        }
        if bar.is_hidden() && told.elapsed() > Duration::from_secs(3) {
            note(&format!(
                "  lag {} events, {} classified",
                count(lag),
                count(delivered)
            ));
            told = Instant::now();
        }
        if began.elapsed() > PATIENCE {
            return Err(Error::unavailable(format!(
                "the function has not caught up: {lag} events wait; see its logs"
            ))
            .into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn results(show: &mut Show, node: &Node) -> std::result::Result<(), Failure> {
    let blobs = node.storage.list("segments", "").await?;
    show.step(&format!(
        "The storage account holds {} blobs in container segments",
        count(blobs.len() as u64)
    ))?;
    let mut segments = std::collections::BTreeMap::<String, u64>::new();
    for blob in &blobs {
        let content = node
            .storage
            .get("segments", &blob.name)
            .await?
            .unwrap_or_default();
        let profile: Value = serde_json::from_slice(&content).unwrap_or_default();
        *segments
            .entry(profile["segment"].as_str().unwrap_or("?").to_owned())
            .or_default() += 1;
    }
    for (segment, customers) in &segments {
        show.say(&format!(
            "  {segment:<9} {:>7} customers",
            count(*customers)
        ))?;
    }
    show.report["segments"] = json!(segments);
    let name = format!("{}.json", CUSTOMER.rsplit('/').next().unwrap_or(""));
    let content = node
        .storage
        .get("segments", &name)
        .await?
        .unwrap_or_default();
    show.say(&format!(
        "  segments/{name}: {}",
        String::from_utf8_lossy(&content)
    ))
}

async fn states(show: &mut Show, admin: &Client) -> std::result::Result<(), Failure> {
    show.step(&format!("The state of {CUSTOMER} at three dates"))?;
    let mut told = Vec::new();
    for date in ["1997-03-31", "1997-12-31", "1998-06-30"] {
        let state = state(admin, Some(date), None).await?;
        show.say(&format!("  at {date}: {}", orders(&state)))?;
        told.push(state);
    }
    let head = told
        .last()
        .and_then(|state| state["known_at"].as_u64())
        .unwrap_or(1);
    let then = state(admin, Some("1997-12-31"), Some(head - 1)).await?;
    let now = state(admin, Some("1997-12-31"), None).await?;
    show.step("What was known then, and what is known now: the shop heard late of one purchase")?;
    show.say(&format!(
        "  at 1997-12-31, as known at position {}: {}",
        head - 1,
        orders(&then)
    ))?;
    show.say(&format!(
        "  at 1997-12-31, as known now:                {}",
        orders(&now)
    ))?;
    show.report["states"] = json!(told);
    show.report["known_then"] = then;
    show.report["known_now"] = now;
    Ok(())
}

async fn state(admin: &Client, at: Option<&str>, known_at: Option<u64>) -> Result<Value> {
    let mut path = format!("/topics/{TOPIC}/state?subject={}", encode(CUSTOMER));
    if let Some(at) = at {
        path.push_str(&format!("&at={at}"));
    }
    if let Some(known_at) = known_at {
        path.push_str(&format!("&known_at={known_at}"));
    }
    admin.send(Request::get(path)).await?.json().await
}

/// A state in a line: its orders, and what they come to.
fn orders(state: &Value) -> String {
    let Some(orders) = state["state"]["orders"].as_object() else {
        return "nothing".to_owned();
    };
    let dollars: f64 = orders
        .values()
        .filter_map(|order| order["dollars"].as_f64())
        .sum();
    let dates: Vec<&str> = orders
        .keys()
        .filter_map(|key| key.split('#').next())
        .collect();
    format!(
        "{}, ${dollars:.2} ({})",
        amount(orders.len() as u64, "order"),
        dates.join(", ")
    )
}

/// The commands to go on with: on the data that is kept, or towards data that is.
fn finish(show: &Show, seconds: f64, kept: Option<&Path>) -> std::result::Result<(), Failure> {
    show.say(&format!("\nDone in {seconds:.1} s. Go on with:"))?;
    let Some(data) = kept else {
        show.say("  foretell demo --keep             the same, and the server stays up for more questions")?;
        show.say("  foretell serve examples/shop     the same application on data of your own")?;
        return show.say("  foretell help                    all commands");
    };
    show.say(&format!("  export FORETELL_DATA={}", data.display()))?;
    for (command, what) in [
        (
            "foretell read shop --subject customer/00082",
            "a customer's events",
        ),
        (
            "foretell state shop customer/00082 --at 1997-12-31",
            "a customer at any date",
        ),
        ("foretell topic keys shop", "what a publisher needs"),
        (
            "foretell subscription list shop",
            "what is delivered, and what waits",
        ),
        ("foretell function logs segments", "what the function said"),
        ("foretell verify", "every byte checked"),
    ] {
        show.say(&format!("  {command:<52} {what}"))?;
    }
    Ok(())
}
