use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use foretell_types::limits::{TLS_HANDSHAKE_MS, TLS_HANDSHAKES};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::listen::at_once;

type Ready = (TlsStream<TcpStream>, SocketAddr);

/// Gives connections that have shaken hands. A client that is slow or speaks no TLS keeps nobody
/// waiting: handshakes go on side by side, in bounded time and number.
pub struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shaking: JoinSet<Option<Ready>>,
    /// Those begun last, oldest first; some have ended.
    begun: VecDeque<AbortHandle>,
    patience: Duration,
    most: usize,
}

impl TlsListener {
    pub fn new(listener: TcpListener, config: Arc<ServerConfig>) -> TlsListener {
        TlsListener {
            listener,
            acceptor: TlsAcceptor::from(config),
            shaking: JoinSet::new(),
            begun: VecDeque::new(),
            patience: Duration::from_millis(TLS_HANDSHAKE_MS as u64),
            most: TLS_HANDSHAKES,
        }
    }

    fn begin(&mut self, stream: TcpStream, address: SocketAddr) {
        at_once(&stream);
        while self.begun.len() >= self.most {
            if let Some(oldest) = self.begun.pop_front() {
                oldest.abort();
            }
        }
        let shake = self.acceptor.accept(stream);
        let patience = self.patience;
        let begun = self.shaking.spawn(async move {
            match tokio::time::timeout(patience, shake).await {
                Ok(Ok(stream)) => Some((stream, address)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, %address, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!(%address, "a TLS handshake took too long");
                    None
                }
            }
        });
        self.begun.push_back(begun);
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Ready {
        loop {
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.listener) => {
                    self.begin(stream, address);
                }
                Some(ended) = self.shaking.join_next() => {
                    if let Ok(Some(ready)) = ended {
                        return ready;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tls::{config, development};

    async fn listener(folder: &tempfile::TempDir) -> TlsListener {
        let now = foretell_types::Instant::from_nanos(1_800_000_000_000_000_000);
        let (identity, _) = development::certificate(folder.path(), now).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        TlsListener::new(listener, config(identity).unwrap())
    }

    async fn is_closed(stream: &mut TcpStream) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut rest).await;
    }

    #[tokio::test]
    async fn the_slow_and_the_wrong_are_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut listener = listener(&folder).await;
        listener.patience = Duration::from_millis(50);
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move { listener.accept().await.1 });
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        for stream in [&mut silent, &mut half, &mut plain] {
            is_closed(stream).await;
        }
        assert!(!accepting.is_finished());
        accepting.abort();
    }

    #[tokio::test]
    async fn the_oldest_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let mut listener = listener(&folder).await;
        listener.most = 2;
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move { listener.accept().await.1 });
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        is_closed(&mut silent[0]).await;
        accepting.abort();
    }
}
