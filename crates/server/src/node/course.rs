//! Where a subscription begins, pauses, goes on and begins again.

use foretell_delivery::rewind;
use foretell_log::{Append, EventLog, ReadOptions};
use foretell_types::{Error, Instant, Position, Result, Timestamp};

use super::{Node, SubscriptionConfig, blocking};

/// Where a subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StartAt {
    /// At the topic's first event.
    Beginning,
    /// With what is published from now on, as in Event Grid.
    #[default]
    Now,
    /// At a position.
    Position(Position),
    /// At the first event that was recorded then or later.
    Time(Instant),
}

impl std::str::FromStr for StartAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<StartAt> {
        match text {
            "beginning" => return Ok(StartAt::Beginning),
            "now" => return Ok(StartAt::Now),
            _ => {}
        }
        if let Ok(position) = text.parse() {
            return Ok(StartAt::Position(position));
        }
        let time = Timestamp::from_text_or_date(text).map_err(|_| {
            Error::invalid(format!(
                "{text:?} is not where to begin: expected beginning, now, a position from 1, a date such as 2024-05-01, or RFC 3339 such as 2024-05-01T12:30:00Z"
            ))
        })?;
        Ok(StartAt::Time(time.instant()))
    }
}

/// How many events of a topic were recorded before a time. Recorded times never decrease along it.
fn recorded_before(log: &EventLog, topic: &str, time: Instant) -> Result<u64> {
    let (mut least, mut most) = (0, Position::as_count(log.head(topic)?));
    while least < most {
        let middle = least + (most - least) / 2;
        let options = ReadOptions {
            from: Position::new(middle + 1),
            limit: Some(1),
            ..ReadOptions::default()
        };
        let event = log.read(topic, options)?.next_recorded()?;
        match event.is_some_and(|event| event.recorded_time < time) {
            true => least = middle + 1,
            false => most = middle,
        }
    }
    Ok(least)
}

impl Node {
    /// How many of a topic's events come before a place, and how many there are.
    pub(super) async fn events_before(&self, topic: &str, place: StartAt) -> Result<(u64, u64)> {
        let head = Position::as_count(self.log.head(topic)?);
        let before = match place {
            StartAt::Beginning => 0,
            StartAt::Now => head,
            StartAt::Position(position) => (position.get() - 1).min(head),
            StartAt::Time(time) => {
                let (log, topic) = (self.log.clone(), topic.to_owned());
                blocking(move || recorded_before(&log, &topic, time)).await?
            }
        };
        Ok((before, head))
    }

    /// Pauses a subscription, or lets it go on. Also one that `foretell.toml` names: its
    /// definition stays as it is.
    pub async fn pause_subscription(&self, topic: &str, name: &str, paused: bool) -> Result<()> {
        let phase = self.change().await?;
        let known = self.subscription(topic, name)?;
        if known.paused == paused {
            return Ok(());
        }
        let subscription = SubscriptionConfig {
            paused,
            ..known.clone()
        };
        self.journal_update(&known, &subscription).await?;
        self.stop_subscription(&subscription.topic, &subscription.name)
            .await;
        self.restart(*phase, &[subscription]);
        Ok(())
    }

    /// Delivers again what comes after a place that was delivered or is under way.
    pub async fn rewind_subscription(&self, topic: &str, name: &str, to: StartAt) -> Result<()> {
        if to == StartAt::Now {
            return Err(Error::invalid(
                "a rewind goes back: expected beginning, a position or a time",
            ));
        }
        let phase = self.change().await?;
        let subscription = self.subscription(topic, name)?;
        self.stop_subscription(&subscription.topic, &subscription.name)
            .await;
        let rewound = self.journal_rewind(&subscription, to).await;
        self.restart(*phase, &[subscription]);
        rewound
    }

    async fn journal_rewind(&self, subscription: &SubscriptionConfig, to: StartAt) -> Result<()> {
        let (topic, name) = (&subscription.topic, &subscription.name);
        let (before, head) = self.events_before(topic, to).await?;
        let after = match to {
            // One that isn't there is refused, rather than taken for the next.
            StartAt::Position(position) => position.get() - 1,
            _ => before,
        };
        let append = rewind(Append::new(), &self.log, topic, name, after, head)?;
        self.log.append(append)?.await?;
        Ok(())
    }
}
