//! Where the server listens: from what the command line says to sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, process};

use reactor::net::{self, Address};
use rustix::net::Shutdown;
use tracing::warn;

use crate::options::{Accept, Options};

/// A socket that listens. Dropped, it takes its path away, if it has one.
#[derive(Debug)]
pub struct Door {
    socket: OwnedFd,
    address: Address,
    /// The process that made the path (a child that inherited the socket leaves it alone), and what it put there.
    made: (u32, Option<(u64, u64)>),
    closed: AtomicBool,
}

impl Door {
    fn open(address: &Address, reuse_port: bool) -> io::Result<Door> {
        let socket = net::listen(address, reuse_port)?;
        let address = match address {
            // Port 0 has become one.
            Address::Inet(_) => Address::Inet(rustix::net::getsockname(&socket)?.try_into()?),
            Address::Unix(_) => address.clone(),
        };
        let made = (process::id(), identity(&address));
        Ok(Door { socket, address, made, closed: AtomicBool::new(false) })
    }

    /// Another socket at the same address, with a backlog of its own. Both must reuse the port.
    pub fn another(&self) -> io::Result<Door> {
        Door::open(&self.address, true)
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A duplicate of the socket, for whoever accepts from it on their own.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    /// Whether accepting waits until somebody comes.
    pub fn set_blocking(&self, blocking: bool) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&self.socket, !blocking)?;
        if let Address::Inet(_) = self.address {
            // What is accepted inherits it. All that one call of a protocol writes goes out at once.
            rustix::net::sockopt::set_tcp_nodelay(&self.socket, true)?;
        }
        Ok(())
    }

    /// Nobody comes in any more, and who blocks in accept(2), in whatever thread or process, is woken with `EINVAL`.
    pub fn close(&self) {
        // In this order: who is woken may end the process.
        self.remove_path();
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Read); // refused only if it was done before
    }

    /// Takes the path away, once: somebody else may listen there next.
    pub fn remove_path(&self) {
        if let (Address::Unix(path), false) = (&self.address, self.closed.swap(true, Ordering::Relaxed)) {
            // Somebody may have put another socket there.
            if self.made == (process::id(), identity(&self.address)) {
                let _ = fs::remove_file(path); // it may be gone already
            }
        }
    }
}

/// Which file stands at an address, if it is a path.
fn identity(address: &Address) -> Option<(u64, u64)> {
    let Address::Unix(path) = address else { return None };
    path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.remove_path();
    }
}

/// Opens every socket the options ask for.
///
/// # Errors
/// One line: what could not be done, and what may help.
pub fn open(options: &Options) -> Result<Vec<Door>, String> {
    let reuse_port = options.accept == Accept::Reuseport;
    let mut doors = match options.tcp_host() {
        Some(host) => open_at_host(host, options.port(), reuse_port)?,
        None => Vec::new(),
    };
    if let Some(path) = &options.unix {
        let door = Door::open(&path.as_path().into(), false);
        doors.push(door.map_err(|error| explain_unix(&error, path))?);
    }
    Ok(doors)
}

/// Listens at every address the host has, all at the same port. Those this machine lacks (`localhost` may stand for `::1`
/// where there is no IPv6) are left out, if one is left.
fn open_at_host(host: &str, mut port: u16, reuse_port: bool) -> Result<Vec<Door>, String> {
    let (mut doors, mut lacking) = (Vec::new(), Vec::new());
    for ip in addresses_of(host)? {
        match Door::open(&(ip, port).into(), reuse_port) {
            Ok(door) => {
                if let Address::Inet(address) = door.address() {
                    port = address.port(); // 0 meant any, but the same for all
                }
                doors.push(door);
                if ip.is_unspecified() {
                    break; // one dual-stack socket hears both families
                }
            }
            Err(error) if is_lacking(&error) => lacking.push(error),
            Err(error) => return Err(explain(&error, port)),
        }
    }
    match lacking.first() {
        Some(error) if doors.is_empty() => return Err(explain(error, port)),
        _ => lacking.iter().for_each(|error| warn!("{error}")),
    }
    Ok(doors)
}

/// The addresses a host name stands for. The empty name stands for all interfaces: IPv6's wildcard, whose socket hears IPv4
/// clients as well, and IPv4's for machines without IPv6.
fn addresses_of(host: &str) -> Result<Vec<IpAddr>, String> {
    if host.is_empty() {
        return Ok(vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()]);
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = (bare, 0).to_socket_addrs().map_err(|error| match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => {
            format!("unknown host {host:?}: write the port as an option: {name} -p {port}")
        }
        _ => format!("unknown host {host:?}: {error}"),
    })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|address: SocketAddr| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// The machine has no such address, or not this family of addresses.
fn is_lacking(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || reactor::errno(error) == Some(libc::EAFNOSUPPORT)
}

/// The error, and what most likely helps.
fn explain(error: &io::Error, port: u16) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another server runs there: stop it, or choose another port with -p",
        io::ErrorKind::PermissionDenied if port < 1024 => {
            "; ports below 1024 are reserved: choose another with -p, for example -p 1060"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address: '' stands for all it has",
        _ => "",
    };
    format!("{error}{hint}")
}

/// The same for a Unix socket. What a killed server left behind was replaced; what is still in use is in the way.
fn explain_unix(error: &io::Error, path: &Path) -> String {
    let is_socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse if is_socket => {
            "; another server listens there: stop it, or choose another path"
        }
        io::ErrorKind::AddrInUse => {
            "; there is a file of that name, and it is no socket: choose another path"
        }
        _ => "",
    };
    format!("{error}{hint}")
}
