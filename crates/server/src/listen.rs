use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use foretell_types::{Error, ErrorKind, Result};
use tokio::net::TcpListener;

use crate::Node;

/// Time that requests in flight have when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// A bound address.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Binds an address. Beyond the loopback nothing would be encrypted: that is refused unless
/// `foretell.toml` asks for it in so many words.
pub async fn listen(node: &Node, address: &str) -> Result<Listening> {
    let resolved = tokio::net::lookup_host(address)
        .await
        .map_err(|error| {
            Error::invalid(format!(
                "{address:?} is not an address to listen on: {error}"
            ))
        })?
        .next()
        .ok_or_else(|| Error::invalid(format!("{address:?} is not an address to listen on")))?;
    if !resolved.ip().is_loopback() && !node.access().allow_insecure_network {
        return Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "{address} lies beyond the loopback and nothing is encrypted: listen on 127.0.0.1 behind a proxy with TLS, or set `allow_insecure_network = true` below [access] in foretell.toml"
            ),
        ));
    }
    let listener = TcpListener::bind(resolved).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                ": another program listens there, choose another port with --listen"
            }
            _ => "",
        };
        Error::io(format_args!("can't listen on {address}{hint}"), error)
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::io(format_args!("can't listen on {address}"), error))?;
    Ok(Listening { listener, address })
}

/// Serves until `stop` is ready, then finishes the requests in flight, the deliveries in flight
/// and the node.
pub async fn serve(
    node: Arc<Node>,
    listening: Listening,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    if let Err(error) = node.announce(&listening.url()) {
        node.close().await;
        return Err(error);
    }
    node.validate_subscriptions();
    let router = crate::router(node.clone());
    let stopping = Arc::new(tokio::sync::Notify::new());
    let told = stopping.clone();
    let closing = node.clone();
    let graceful = async move {
        stop.await;
        closing.begin_stop();
        told.notify_one();
    };
    // A small answer, an event that is followed, must not wait for the next.
    let listener = listening.listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection can't be set to send at once");
        }
    });
    let server =
        axum::serve(listener, tower::make::Shared::new(router)).with_graceful_shutdown(graceful);
    let served = tokio::select! {
        served = async { server.await } => served,
        () = async { stopping.notified().await; tokio::time::sleep(STOP_GRACE).await } => {
            tracing::warn!("requests that did not end in time were cut off");
            Ok(())
        }
    };
    node.close().await;
    served.map_err(|error| Error::io("the server failed", error))
}
