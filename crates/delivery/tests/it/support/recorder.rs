//! A handler that records its calls, and what it may be called with and answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use foretell_delivery::{
    Failure, FailureKind, Handler, Invocation, Outcome, OutputBlob, OutputEvent,
};
use foretell_types::{Data, NewEvent};
use tokio::sync::Semaphore;

pub fn event(number: u64, subject: Option<String>) -> NewEvent {
    NewEvent {
        id: number.to_string(),
        source: "/test".into(),
        event_type: "thing.happened".into(),
        subject,
        data: Data::json(format!("{{\"number\":{number}}}")),
        ..NewEvent::default()
    }
}

pub fn busy() -> Failure {
    Failure::new(FailureKind::Busy, "busy")
}

/// One blob named by the event's position and one event for `results`, both with this text.
pub fn outputs(invocation: &Invocation, text: &str) -> Outcome {
    let position = invocation.event.position;
    let mut event = event(1, Some(format!("r{position}")));
    event.data = Data::json(format!("\"{text}\""));
    Outcome {
        events: vec![OutputEvent {
            topic: "results".into(),
            event,
        }],
        blobs: vec![OutputBlob {
            container: "results".into(),
            name: format!("{position}.txt"),
            content: text.to_owned().into(),
        }],
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

/// Records its calls (position and attempts before) and answers as it is told.
pub struct Recorder {
    pub calls: Mutex<Vec<(u64, u32)>>,
    answer: Box<dyn Fn(Invocation) -> Answer + Send + Sync>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recorder")
    }
}

impl Recorder {
    pub fn new<F>(answer: impl Fn(Invocation) -> F + Send + Sync + 'static) -> Arc<Recorder>
    where
        F: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        Arc::new(Recorder {
            calls: Mutex::default(),
            answer: Box::new(move |invocation| Box::pin(answer(invocation))),
        })
    }

    /// Answers at once.
    pub fn at_once(
        answer: impl Fn(&Invocation) -> Result<Outcome, Failure> + Send + Sync + 'static,
    ) -> Arc<Recorder> {
        Recorder::new(move |invocation| std::future::ready(answer(&invocation)))
    }

    pub fn fine() -> Arc<Recorder> {
        Recorder::at_once(|_| Ok(Outcome::default()))
    }

    pub fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// The positions that were called, in order.
    pub fn positions(&self) -> Vec<u64> {
        self.calls.lock().unwrap().iter().map(|(p, _)| *p).collect()
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure> {
        let call = (invocation.event.position.get(), invocation.attempts);
        self.calls.lock().unwrap().push(call);
        (self.answer)(invocation).await
    }
}

/// Answers as often as the gate lets it.
pub fn gated(gate: &Arc<Semaphore>) -> Arc<Recorder> {
    let gate = gate.clone();
    Recorder::new(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(Outcome::default())
        }
    })
}
