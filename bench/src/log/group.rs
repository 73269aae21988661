//! Natural group commit for the peers that have none of their own: one thread takes whatever
//! waits, writes it in one go, syncs, and answers.

use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::engine::Pending;
use crate::Result;

type Waiting<T> = (T, oneshot::Sender<Result<u64>>);

/// Most appends of one group.
const GROUP_APPENDS: usize = 4_096;

#[derive(Debug)]
pub struct GroupWriter<T> {
    requests: Option<mpsc::Sender<Waiting<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> GroupWriter<T> {
    /// `write` makes a group durable; an answer for each append of it, in order.
    pub fn start(
        mut write: impl FnMut(&[T]) -> Result<Vec<Result<u64>>> + Send + 'static,
    ) -> GroupWriter<T> {
        let (requests, receiver) = mpsc::channel::<Waiting<T>>();
        let thread = std::thread::spawn(move || {
            let (mut group, mut replies) = (Vec::new(), Vec::new());
            while let Ok(first) = receiver.recv() {
                let others = receiver.try_iter().take(GROUP_APPENDS - 1);
                for (request, reply) in std::iter::once(first).chain(others) {
                    group.push(request);
                    replies.push(reply);
                }
                let answers = write(&group).unwrap_or_else(|error| {
                    let text = error.to_string();
                    group.iter().map(|_| Err(text.clone().into())).collect()
                });
                group.clear();
                for (reply, answer) in replies.drain(..).zip(answers) {
                    let _ = reply.send(answer);
                }
            }
        });
        GroupWriter {
            requests: Some(requests),
            thread: Some(thread),
        }
    }

    pub fn append(&self, request: T) -> Result<u64> {
        self.send(request)?.blocking_recv()?
    }

    pub fn begin(&self, request: T) -> Result<Pending> {
        let answer = self.send(request)?;
        Ok(Box::pin(async move { answer.await? }))
    }

    fn send(&self, request: T) -> Result<oneshot::Receiver<Result<u64>>> {
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or("the writer has stopped")?;
        let sent = requests.send((request, reply));
        sent.map_err(|_| "the writer has stopped")?;
        Ok(answer)
    }
}

impl<T> Drop for GroupWriter<T> {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
