use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use foretell_types::{Error, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use super::engine::EngineService;
use super::service::Monitor;
use crate::engine::Deployment;
use crate::limits::MESSAGE_BYTES;
use crate::proto::engine_server::EngineServer;
use crate::proto::resource_monitor_server::ResourceMonitorServer;

/// The services of one run of a program, on a free port of the loopback.
pub struct Listening {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Listening {
    pub async fn start(deployment: Arc<Deployment>) -> Result<Listening> {
        let failed = |error| Error::io("can't listen for the program", error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let monitor = ResourceMonitorServer::new(Monitor::new(deployment.clone()))
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let engine = EngineServer::new(EngineService::new(deployment))
            .max_decoding_message_size(MESSAGE_BYTES);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Server::builder()
            .add_service(monitor)
            .add_service(engine)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                // Also if the sender is gone.
                let _ = stopped.await;
            });
        Ok(Listening {
            address,
            stop: Some(stop),
            serving: tokio::spawn(serving),
        })
    }

    /// Stops listening once the calls under way are answered.
    pub async fn close(mut self) {
        self.stop.take().map(|stop| stop.send(()));
        // A connection that the program left open must not hold it.
        let grace = crate::limits::STOP_TIMEOUT;
        if tokio::time::timeout(grace, &mut self.serving)
            .await
            .is_err()
        {
            self.serving.abort();
        }
    }
}
