//! How far subscriptions are behind their topics.

use foretell_delivery::{StatsSnapshot, progress};
use foretell_log::ReadOptions;
use foretell_types::{Position, Result};

use super::{Node, SubscriptionConfig, blocking};

/// How far a subscription is behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lag {
    /// Events that wait for it, also those that its filter will leave out.
    pub events: u64,
    /// The first of them.
    pub first: Option<Position>,
    /// Its counts if it runs.
    pub stats: Option<StatsSnapshot>,
}

impl Node {
    /// How far a subscription is behind; `None` if it is gone.
    pub fn lag(&self, subscription: &SubscriptionConfig) -> Result<Option<Lag>> {
        let (topic, name) = (&subscription.topic, &subscription.name);
        // The head last: what was read is never beyond it.
        let stats = self.subscription_stats(topic, name);
        let (upto, pending, first) = match &stats {
            Some(stats) => (stats.upto, stats.pending, stats.first),
            None => match progress(&self.log, topic, name)? {
                Some(saved) => {
                    let first = saved.pending.keys().next().copied();
                    (saved.upto, saved.pending.len() as u64, first.unwrap_or(0))
                }
                None => return Ok(None),
            },
        };
        let head = Position::as_count(self.log.head(topic)?);
        let first = match (pending, head > upto) {
            (0, true) => Position::new(upto + 1),
            (0, false) => None,
            _ => Position::new(first),
        };
        Ok(Some(Lag {
            events: head.saturating_sub(upto) + pending,
            first,
            stats,
        }))
    }

    /// The seconds since the event at a position was recorded.
    pub async fn behind_s(&self, topic: &str, position: Position) -> Result<f64> {
        let (log, topic) = (self.log.clone(), topic.to_owned());
        let recorded = blocking(move || {
            let mut reader = log.read(
                &topic,
                ReadOptions {
                    from: Some(position),
                    limit: Some(1),
                    ..ReadOptions::default()
                },
            )?;
            Ok(reader.next_event()?.map(|event| event.recorded_time()))
        })
        .await?;
        let Some(recorded) = recorded else {
            return Ok(0.0);
        };
        let nanos = self.now().as_nanos().saturating_sub(recorded.as_nanos());
        Ok(nanos.max(0) as f64 / 1e9)
    }
}
