//! The face of pull delivery: receive, and settle what was received by its lock tokens.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use foretell_types::{Error, RecordedEvent, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Receives the events of a subscription, one among others that do.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub(crate) requests: mpsc::Sender<Request>,
}

/// An event that is locked for its receiver.
#[derive(Clone, Debug)]
pub struct Received {
    pub lock_token: String,
    /// Deliveries, with this one.
    pub delivery_count: u32,
    pub event: Arc<RecordedEvent>,
}

/// What a receiver does with events that it has locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settlement {
    /// It is done: they are not delivered again.
    Acknowledge,
    /// They are delivered again, after a wait.
    Release(Duration),
    /// They are dead-lettered.
    Reject,
    /// Their locks begin anew.
    RenewLock,
}

/// What became of the tokens of a request, in its order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Settled {
    pub succeeded: Vec<String>,
    pub failed: Vec<(String, Refused)>,
}

/// Why a token did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is no lock token.
    Bad,
    /// Its lock is over: it expired, or the event was settled.
    Lost,
}

impl Refused {
    /// The code in the JSON of Event Grid namespaces.
    pub fn code(self) -> &'static str {
        match self {
            Refused::Bad => "BadToken",
            Refused::Lost => "TokenLost",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Refused::Bad => {
                "this is not a lock token: send the lockToken of a received event as it came"
            }
            Refused::Lost => {
                "the lock is over, since it expired or the event was settled: if it wasn't, receive it again"
            }
        }
    }
}

/// Names one delivery of an event, and can't be guessed: `POSITION-COUNT-SECRET`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LockToken {
    pub position: u64,
    pub count: u64,
    pub secret: u64,
}

impl fmt::Display for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:016x}", self.position, self.count, self.secret)
    }
}

impl FromStr for LockToken {
    type Err = Refused;

    fn from_str(text: &str) -> Result<LockToken, Refused> {
        let parse = || {
            let (position, rest) = text.split_once('-')?;
            let (count, secret) = rest.split_once('-')?;
            Some(LockToken {
                position: position.parse().ok()?,
                count: count.parse().ok()?,
                secret: u64::from_str_radix(secret, 16).ok()?,
            })
        };
        // In this form only: what reads alike is another text.
        let token = parse().filter(|token| token.to_string() == text);
        token.ok_or(Refused::Bad)
    }
}

pub(crate) enum Request {
    Receive(Receive),
    Settle {
        settlement: Settlement,
        tokens: Vec<String>,
        answer: oneshot::Sender<Result<Settled>>,
    },
}

/// A receiver that waits.
pub(crate) struct Receive {
    pub max: usize,
    pub until: Instant,
    pub answer: oneshot::Sender<Result<Vec<Received>>>,
}

impl Receiver {
    /// The next events, at most `max`, as soon as there is one; none if none came within `wait`.
    /// Their locks are journaled.
    pub async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>> {
        let (answer, answered) = oneshot::channel();
        let receive = Receive {
            max,
            until: Instant::now() + wait,
            answer,
        };
        self.ask(Request::Receive(receive), answered).await
    }

    /// Settles what was received. What succeeded is journaled.
    pub async fn settle(&self, settlement: Settlement, tokens: Vec<String>) -> Result<Settled> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Settle {
            settlement,
            tokens,
            answer,
        };
        self.ask(request, answered).await
    }

    async fn ask<T>(&self, request: Request, answered: oneshot::Receiver<Result<T>>) -> Result<T> {
        let ended = || Error::unavailable("the subscription was stopped: try again");
        self.requests.send(request).await.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_one_form() {
        let token = LockToken {
            position: 7,
            count: 1,
            secret: 0xab,
        };
        let text = token.to_string();
        assert_eq!(text, "7-1-00000000000000ab");
        assert_eq!(text.parse(), Ok(token));
        for wrong in [
            "",
            "7",
            "7-1",
            "7-1-ab",
            "07-1-00000000000000ab",
            "7-1-00000000000000AB",
            "7-1-00000000000000ab-",
            "+7-1-00000000000000ab",
            "99999999999999999999-1-00000000000000ab",
        ] {
            assert_eq!(wrong.parse::<LockToken>(), Err(Refused::Bad), "{wrong}");
        }
    }
}
