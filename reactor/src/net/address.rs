//! Addresses: what a stream socket is bound to or talks to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::sys::RawAddress;

/// Where a stream socket listens or whom it talks to: an Internet address or a path in the file system.
///
/// ```
/// use reactor::net::Address;
/// let address = Address::from(([127, 0, 0, 1], 1060));
/// assert_eq!(address.to_string(), "127.0.0.1:1060");
/// assert_eq!(Address::from(std::path::Path::new("/run/zen.sock")).to_string(), "/run/zen.sock");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Inet(SocketAddr),
    /// A Unix socket's path; empty for a socket without one, as connecting ones usually are.
    Unix(PathBuf),
}

impl Address {
    /// The host part, with an IPv4 address mapped into IPv6 told as what it is.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Inet(address) => Some(address.ip().to_canonical()),
            Address::Unix(_) => None,
        }
    }

    pub(crate) fn to_raw(&self) -> std::io::Result<RawAddress> {
        match self {
            Address::Inet(address) => Ok(RawAddress::inet(*address)),
            Address::Unix(path) => RawAddress::unix(path),
        }
    }
}

impl From<&RawAddress> for Address {
    /// What is neither (there is nothing else behind our sockets) is told as a Unix socket without a path.
    fn from(raw: &RawAddress) -> Address {
        match raw.to_inet() {
            Some(address) => Address::Inet(address),
            None => Address::Unix(raw.to_unix().flatten().map(Path::to_path_buf).unwrap_or_default()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Inet(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Address {
    fn from(host_and_port: (I, u16)) -> Address {
        Address::Inet(host_and_port.into())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Address {
        Address::Unix(path)
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Address {
        Address::Unix(path.to_path_buf())
    }
}

impl fmt::Display for Address {
    /// `127.0.0.1:1060`, `[::1]:1060`, `/run/zen.sock`, `(unnamed)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(SocketAddr::V6(address)) => match address.ip().to_ipv4_mapped() {
                Some(ip) => write!(f, "{ip}:{}", address.port()),
                None => write!(f, "{address}"),
            },
            Address::Inet(address) => write!(f, "{address}"),
            Address::Unix(path) if path.as_os_str().is_empty() => f.write_str("(unnamed)"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
