//! Where the server listens: from what the command line says to sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::rc::Rc;

use reactor::event_loop::{Incoming, Reactor};
use reactor::net::Address;
use tracing::warn;
use zen_server::services::zen::{Conversation, Service};

use crate::options::Options;

/// Opens every socket the options ask for; where they listen.
///
/// # Errors
/// One line: what could not be done, and what may help.
pub fn listen(
    reactor: &mut Reactor<Conversation>,
    options: &Options,
    service: &Rc<Service>,
) -> Result<Vec<Address>, String> {
    let mut listening = match options.tcp_host() {
        Some(host) => listen_at_host(reactor, host, options.port(), service)?,
        None => Vec::new(),
    };
    if let Some(path) = &options.unix {
        let address = open(reactor, path.as_path().into(), service);
        listening.push(address.map_err(|error| explain_unix(&error, path))?);
    }
    Ok(listening)
}

/// Listens at every address the host has, all at the same port. Those this machine lacks (`localhost` may stand for `::1`
/// where there is no IPv6) are left out, if one is left.
fn listen_at_host(
    reactor: &mut Reactor<Conversation>,
    host: &str,
    mut port: u16,
    service: &Rc<Service>,
) -> Result<Vec<Address>, String> {
    let (mut listening, mut lacking) = (Vec::new(), Vec::new());
    for ip in addresses_of(host)? {
        match open(reactor, (ip, port).into(), service) {
            Ok(address) => {
                if let Address::Inet(address) = &address {
                    port = address.port(); // 0 meant any, but the same for all
                }
                listening.push(address);
                if ip.is_unspecified() {
                    break; // one dual-stack socket hears both families
                }
            }
            Err(error) if is_lacking(&error) => lacking.push(error),
            Err(error) => return Err(explain(&error, port)),
        }
    }
    match lacking.first() {
        Some(error) if listening.is_empty() => return Err(explain(error, port)),
        _ => lacking.iter().for_each(|error| warn!("{error}")),
    }
    Ok(listening)
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

fn open(reactor: &mut Reactor<Conversation>, address: Address, service: &Rc<Service>) -> io::Result<Address> {
    let service = Rc::clone(service);
    let listener = reactor.listen(address, move |incoming: &Incoming<'_>| {
        let peer = match incoming.peer {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        };
        Some(service.converse(peer))
    })?;
    Ok(reactor.local_address(listener).expect("it has just been opened").clone())
}

/// The machine has no such address, or not this family of addresses.
fn is_lacking(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || os_code(error) == Some(libc::EAFNOSUPPORT)
}

/// The kernel's code, which may ride inside an explanation.
fn os_code(error: &io::Error) -> Option<i32> {
    let inner = || match error.get_ref()?.downcast_ref()? {
        reactor::Error::Socket { source, .. } => source.raw_os_error(),
        _ => None,
    };
    error.raw_os_error().or_else(inner)
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
