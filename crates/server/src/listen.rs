use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use foretell_types::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream};

use crate::Node;
use crate::node::TlsSetting;
use crate::tls::{Tls, TlsListener};

/// Time that requests in flight have when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// A bound address.
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url())
    }
}

impl Listening {
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate that clients of a development certificate have to trust.
    pub fn authority(&self) -> Option<&Path> {
        self.tls.as_ref()?.authority.as_deref()
    }
}

/// How a server listens.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// `HOST:PORT`; port 0 takes any free one.
    pub address: String,
    /// Speak https although `foretell.toml` doesn't say so. A port speaks one of the two.
    pub tls: bool,
}

impl From<&str> for ListenOptions {
    fn from(address: &str) -> ListenOptions {
        ListenOptions {
            address: address.to_owned(),
            tls: false,
        }
    }
}

/// Binds an address. Beyond the loopback nothing is said in clear, unless `foretell.toml` asks
/// for it in so many words.
pub async fn listen(node: &Node, options: impl Into<ListenOptions>) -> Result<Listening> {
    let ListenOptions { address, tls } = options.into();
    let resolved = tokio::net::lookup_host(&address)
        .await
        .map_err(|error| {
            Error::invalid(format!(
                "{address:?} is not an address to listen on: {error}"
            ))
        })?
        .next()
        .ok_or_else(|| Error::invalid(format!("{address:?} is not an address to listen on")))?;
    let set = match &node.access().tls {
        Some(TlsSetting::Development(set)) => *set,
        Some(TlsSetting::Own(_)) => true,
        None => false,
    };
    let tls = match tls || set {
        true => Some(Tls::of(node).await?),
        false => None,
    };
    let encrypted = tls.is_some() || node.access().allow_insecure_network;
    if !resolved.ip().is_loopback() && !encrypted {
        return Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "{address} lies beyond the loopback and nothing is encrypted: use --tls, or `tls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}` below [access] in foretell.toml; or listen on 127.0.0.1 behind a proxy with TLS; or set `allow_insecure_network = true` there"
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
    Ok(Listening {
        listener,
        address,
        tls,
    })
}

/// A small answer, an event that is followed, must not wait for the next.
pub(crate) fn at_once(connection: &TcpStream) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "a connection can't be set to send at once");
    }
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
    let closing = node.clone();
    let stop = async move {
        stop.await;
        closing.begin_stop();
    };
    let served = match listening.tls {
        Some(tls) => {
            answer(
                &node,
                TlsListener::new(listening.listener, tls.config),
                stop,
            )
            .await
        }
        None => {
            let listener = listening.listener.tap_io(|connection| at_once(connection));
            answer(&node, listener, stop).await
        }
    };
    node.close().await;
    served.map_err(|error| Error::io("the server failed", error))
}

async fn answer<L: Listener<Addr: std::fmt::Debug>>(
    node: &Arc<Node>,
    listener: L,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = crate::router(node.clone());
    let stopping = Arc::new(tokio::sync::Notify::new());
    let told = stopping.clone();
    let graceful = async move {
        stop.await;
        told.notify_one();
    };
    let server =
        axum::serve(listener, tower::make::Shared::new(router)).with_graceful_shutdown(graceful);
    tokio::select! {
        served = async { server.await } => served,
        () = async { stopping.notified().await; tokio::time::sleep(STOP_GRACE).await } => {
            tracing::warn!("requests that did not end in time were cut off");
            Ok(())
        }
    }
}
