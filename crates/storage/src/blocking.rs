use std::future::Future;
use std::sync::{OnceLock, mpsc};

use foretell_types::{Error, Result};
use tokio::runtime::{Builder, Runtime};

/// Does work of tasks for who blocks: a thread of its own drives it, so that nothing of the runtime
/// of who asks is needed, if there is one. A call may come from any thread.
pub(crate) struct Blocking {
    name: &'static str,
    /// Made at the first call.
    runtime: OnceLock<Result<Runtime>>,
}

impl Blocking {
    pub fn new(name: &'static str) -> Blocking {
        Blocking {
            name,
            runtime: OnceLock::new(),
        }
    }

    pub fn call<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let runtime = self.runtime.get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            let builder = builder.worker_threads(1).thread_name(self.name);
            let built = builder.enable_all().build();
            built.map_err(|error| Error::io("can't start a thread for blobs", error))
        });
        let runtime = runtime.as_ref().map_err(Clone::clone)?;
        let (sender, receiver) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // Who asked waits.
            let _ = sender.send(work.await);
        });
        let answer = receiver.recv();
        answer.map_err(|_| Error::unavailable("the work on blobs was cut off"))?
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // The last one may be let go where nothing may block.
        if let Some(Ok(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
