//! The physical limit: the same requests, sent by a loop that does nothing else.

use std::time::Instant;

use tokio::task::LocalSet;

use super::sink::{Sink, path};
use crate::Result;
use crate::client::Connection;

pub const NAME: &str = "raw client loop";

/// Requests a second of so many connections that each send a sample again and again, to another
/// endpoint of the sink.
pub async fn requests_per_s(
    sink: &Sink,
    sample: &[u8],
    endpoint: usize,
    connections: usize,
    each: usize,
) -> Result<f64> {
    let mut request = sample.to_vec();
    let place = memchr::memmem::find(&request, b"/hook/").ok_or("the sample has no path")?;
    let path = path(endpoint);
    request[place..place + path.len()].copy_from_slice(path.as_bytes());
    let senders = LocalSet::new();
    let mut running = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(sink.address()).await?;
        let request = request.clone();
        running.push(senders.spawn_local(async move {
            for _ in 0..each {
                connection.publish(&request).await?;
            }
            Ok::<(), crate::Error>(())
        }));
    }
    let start = Instant::now();
    senders.await;
    for sender in running {
        sender.await??;
    }
    Ok((connections * each) as f64 / start.elapsed().as_secs_f64())
}
