use std::fmt::Write;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use foretell_delivery::{BUCKETS_MS, FailureKind, HistogramSnapshot, StatsSnapshot};
use foretell_protocol::Target;
use foretell_types::Position;
use http::{StatusCode, header};

use super::Server;
use crate::node::Lag;

/// `GET /healthz`: the process answers.
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the node takes requests.
pub async fn ready(State(node): Server) -> Response {
    if node.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    "ready\n".into_response()
}

/// `GET /metrics`, in the text format of Prometheus.
pub async fn metrics(State(node): Server) -> Response {
    let mut out = String::new();
    let counters = &node.counters;
    for (name, about, counter) in [
        (
            "foretell_published_events_total",
            "Events accepted",
            &counters.published_events,
        ),
        (
            "foretell_published_bytes_total",
            "Bytes of data of the events accepted",
            &counters.published_bytes,
        ),
        (
            "foretell_publish_requests_total",
            "Requests accepted",
            &counters.publish_requests,
        ),
        (
            "foretell_publish_refused_total",
            "Publish requests refused",
            &counters.refused_requests,
        ),
        (
            "foretell_publish_over_quota_total",
            "Publish requests refused for the quota of their topic",
            &counters.over_quota_requests,
        ),
    ] {
        header_lines(&mut out, name, about, "counter");
        let _ = writeln!(out, "{name} {}", counter.load(Ordering::Relaxed));
    }
    let (bytes, files) = node.log.size();
    let sealing = node.log.sealing();
    for (name, about, value) in [
        (
            "foretell_log_bytes",
            "Bytes that the log takes on the disk, without what is archived",
            bytes,
        ),
        ("foretell_log_files", "Files of the log", files as u64),
        (
            "foretell_log_unsealed_segments",
            "Segments of the log that are indexed in memory",
            sealing.unsealed_segments,
        ),
        (
            "foretell_log_sealed_segments",
            "Segments of the log that are sealed",
            sealing.sealed_segments,
        ),
        (
            "foretell_log_index_runs",
            "Runs of the index over what is sealed",
            sealing.runs,
        ),
        (
            "foretell_log_sealing",
            "1 if full segments are being sealed; 0 if the last try failed, see the server's log",
            u64::from(sealing.gets_on),
        ),
        (
            "foretell_log_archived_segments",
            "Sealed segments of the log that lie in the archive",
            sealing.archived_segments,
        ),
        (
            "foretell_log_archived_bytes",
            "Bytes that they take there",
            sealing.archived_bytes,
        ),
        (
            "foretell_log_archiving",
            "1 if sealed segments are being archived; 0 if that isn't asked for, or the last try failed, see the server's log",
            u64::from(sealing.archiving_gets_on),
        ),
    ] {
        header_lines(&mut out, name, about, "gauge");
        let _ = writeln!(out, "{name} {value}");
    }
    let topics = node.log.topics();
    header_lines(
        &mut out,
        "foretell_topic_events",
        "Events of a topic",
        "gauge",
    );
    for topic in &topics {
        let head = Position::as_count(topic.head);
        let _ = writeln!(
            out,
            "foretell_topic_events{{topic=\"{}\"}} {head}",
            topic.name
        );
    }
    let name = "foretell_append_seconds";
    header_lines(
        &mut out,
        name,
        "From the request of an append to its being durable",
        "histogram",
    );
    histogram(&mut out, name, "", &counters.append.snapshot());
    subscriptions(&mut out, &node).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], out).into_response()
}

async fn subscriptions(out: &mut String, node: &crate::Node) {
    let config = node.config();
    let mut found = Vec::new();
    for subscription in config.subscriptions.values() {
        // One that is deleted meanwhile has no numbers.
        let Ok(Some(lag)) = node.lag(subscription) else {
            continue;
        };
        let behind_s = match lag.first {
            Some(first) => node.behind_s(&subscription.topic, first).await.ok(),
            None => Some(0.0),
        };
        let labels = format!(
            "topic=\"{}\",subscription=\"{}\"",
            subscription.topic, subscription.name
        );
        let is_pulled = subscription.definition.target == Target::Pull;
        found.push((labels, lag, behind_s, is_pulled));
    }
    gauge(
        out,
        &found,
        "lag",
        "Events that wait for a subscription",
        |lag| Some(lag.events),
    );
    let name = "foretell_subscription_behind_seconds";
    header_lines(
        out,
        name,
        "Since the first event that waits was recorded",
        "gauge",
    );
    for (labels, _, behind_s, _) in &found {
        if let Some(behind_s) = behind_s {
            let _ = writeln!(out, "{name}{{{labels}}} {behind_s}");
        }
    }
    gauge(out, &found, "in_flight", "Invocations in flight", |lag| {
        Some(lag.stats?.in_flight)
    });
    let pushed: Vec<_> = found.iter().filter(|row| !row.3).cloned().collect();
    gauge(
        out,
        &pushed,
        "retrying",
        "Events that wait for another attempt",
        |lag| Some(lag.stats?.waiting),
    );
    let pulled: Vec<_> = found.iter().filter(|row| row.3).cloned().collect();
    gauge(
        out,
        &pulled,
        "locked",
        "Received events that are locked, or wait after a release",
        |lag| Some(lag.stats?.waiting),
    );
    for (name, about, get) in COUNTERS {
        series(out, &found, name, about, "counter", |lag| {
            lag.stats.as_ref().map(get)
        });
    }
    attempts(out, &found);
    let name = "foretell_subscription_delivery_seconds";
    header_lines(
        out,
        name,
        "From the recorded time of an event to its delivery",
        "histogram",
    );
    for (labels, lag, _, _) in &pushed {
        if let Some(stats) = &lag.stats {
            histogram(out, name, labels, &stats.latency);
        }
    }
}

/// Labels of a subscription, how far it is behind, for how long, and whether its events are pulled.
type Row = (String, Lag, Option<f64>, bool);
type Counter = (&'static str, &'static str, fn(&StatsSnapshot) -> u64);

const COUNTERS: [Counter; 3] = [
    ("delivered_total", "Events delivered", |stats| {
        stats.delivered
    }),
    ("failed_total", "Attempts that failed", |stats| stats.failed),
    ("dead_lettered_total", "Events given up on", |stats| {
        stats.dead_lettered
    }),
];

fn gauge(
    out: &mut String,
    rows: &[Row],
    name: &str,
    about: &str,
    get: impl Fn(&Lag) -> Option<u64>,
) {
    series(out, rows, name, about, "gauge", get);
}

fn series(
    out: &mut String,
    rows: &[Row],
    name: &str,
    about: &str,
    kind: &str,
    get: impl Fn(&Lag) -> Option<u64>,
) {
    let name = format!("foretell_subscription_{name}");
    header_lines(out, &name, about, kind);
    for (labels, lag, _, _) in rows {
        if let Some(value) = get(lag) {
            let _ = writeln!(out, "{name}{{{labels}}} {value}");
        }
    }
}

/// Attempts by outcome, with the names of Event Grid's `lastDeliveryOutcome`; outcomes that
/// never came aren't there.
fn attempts(out: &mut String, rows: &[Row]) {
    let name = "foretell_subscription_attempts_total";
    header_lines(out, name, "Attempts by outcome", "counter");
    for (labels, lag, _, _) in rows {
        let Some(stats) = &lag.stats else { continue };
        let _ = writeln!(
            out,
            "{name}{{{labels},outcome=\"Delivered\"}} {}",
            stats.delivered
        );
        for (kind, count) in FailureKind::ALL.iter().zip(stats.failures) {
            if count > 0 {
                let _ = writeln!(out, "{name}{{{labels},outcome=\"{kind:?}\"}} {count}");
            }
        }
    }
}

/// The lines of a histogram; `labels` are those that all of them have.
fn histogram(out: &mut String, name: &str, labels: &str, times: &HistogramSnapshot) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut count = 0;
    for (index, more) in times.buckets.iter().enumerate() {
        count += more;
        let most = BUCKETS_MS.get(index).map_or_else(
            || "+Inf".to_owned(),
            |most| (*most as f64 / 1e3).to_string(),
        );
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{most}\"}} {count}");
    }
    let braced = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    };
    let _ = writeln!(out, "{name}_sum{braced} {}", times.sum_us as f64 / 1e6);
    let _ = writeln!(out, "{name}_count{braced} {count}");
}

fn header_lines(out: &mut String, name: &str, about: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {about}\n# TYPE {name} {kind}");
}
