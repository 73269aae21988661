use std::sync::{Arc, mpsc};

use foretell_types::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Threads that a local account's files are read and written on. Few: more would only queue for
/// the same folder's lock in the kernel.
const THREADS: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// A few threads of an account's own, without a runtime, so that `object_store` works in place
/// where a runtime would make it hop threads for every call.
#[derive(Clone, Debug)]
pub struct Threads {
    jobs: mpsc::Sender<Job>,
}

impl Threads {
    pub fn start() -> Result<Threads> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..THREADS {
            let receiver = receiver.clone();
            std::thread::Builder::new()
                .name("foretell-blobs".to_owned())
                .spawn(move || {
                    loop {
                        let job = receiver.lock().recv();
                        match job {
                            Ok(job) => job(),
                            // The last account of these threads is gone.
                            Err(_) => return,
                        }
                    }
                })
                .map_err(|error| Error::io("can't start a thread for blobs", error))?;
        }
        Ok(Threads { jobs })
    }

    /// Runs a future of `object_store` to its end on one of the threads.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Who asked may be gone.
            let _ = sender.send(futures::executor::block_on(work));
        });
        let gone = || Error::unavailable("the threads for blobs are gone");
        self.jobs.send(job).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())
    }
}
