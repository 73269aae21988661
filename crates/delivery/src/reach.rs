//! Addresses that nothing is delivered to: link-local ones, where clouds keep the credentials of
//! their machines.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use foretell_types::{Error, ErrorKind, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

const SETTING: &str =
    "`allow_internal_addresses = true` below [delivery] in foretell.toml allows it";

/// 169.254.0.0/16 and fe80::/10, also written as the other.
fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Refuses a URL with such an address. A name is looked at when it is resolved.
pub(crate) fn check(url: &reqwest::Url) -> Result<()> {
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(address) if is_link_local(address) => Err(refused(host)),
        _ => Ok(()),
    }
}

fn refused(host: &str) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        format!("a webhook can't be at {host}, which is a link-local address; {SETTING}"),
    )
}

/// Resolves names as the system does, without those addresses.
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let look = move || -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
            let found = (host.as_str(), 0).to_socket_addrs()?;
            let (refuse, allowed): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|found| is_link_local(found.ip()));
            match refuse.first() {
                Some(address) if allowed.is_empty() => {
                    Err(refused(&format!("{host} ({})", address.ip())).into())
                }
                _ => Ok(Box::new(allowed.into_iter())),
            }
        };
        Box::pin(async move { tokio::task::spawn_blocking(look).await? })
    }
}
