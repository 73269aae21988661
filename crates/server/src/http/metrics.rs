use std::fmt::Write;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use foretell_types::Position;
use http::{StatusCode, header};

use super::Server;

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
    subscriptions(&mut out, &node);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], out).into_response()
}

fn subscriptions(out: &mut String, node: &crate::Node) {
    let config = node.config();
    let running: Vec<_> = config
        .subscriptions
        .values()
        .filter_map(|subscription| {
            let stats = node.subscription_stats(&subscription.topic, &subscription.name)?;
            let head = Position::as_count(node.log.head(&subscription.topic).ok()?);
            Some((subscription, stats, head))
        })
        .collect();
    type Get = fn(&foretell_delivery::StatsSnapshot, u64) -> u64;
    let series: [(&str, &str, &str, Get); 5] = [
        (
            "foretell_subscription_lag",
            "Events that wait for a subscription",
            "gauge",
            |s, head| s.lag(head),
        ),
        (
            "foretell_subscription_in_flight",
            "Invocations in flight",
            "gauge",
            |s, _| s.in_flight,
        ),
        (
            "foretell_subscription_delivered_total",
            "Events delivered",
            "counter",
            |s, _| s.delivered,
        ),
        (
            "foretell_subscription_failed_total",
            "Attempts that failed",
            "counter",
            |s, _| s.failed,
        ),
        (
            "foretell_subscription_dead_lettered_total",
            "Events given up on",
            "counter",
            |s, _| s.dead_lettered,
        ),
    ];
    for (name, about, kind, get) in series {
        header_lines(out, name, about, kind);
        for (subscription, stats, head) in &running {
            let _ = writeln!(
                out,
                "{name}{{topic=\"{}\",subscription=\"{}\"}} {}",
                subscription.topic,
                subscription.name,
                get(stats, *head)
            );
        }
    }
}

fn header_lines(out: &mut String, name: &str, about: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {about}\n# TYPE {name} {kind}");
}
