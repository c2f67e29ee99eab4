//! Addresses of sockets, as the kernel takes and gives them.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
#[cfg(has_abstract_addresses)]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::{self, ffi::OsStrExt};
use std::path::Path;
use std::ptr;

/// Where a Unix socket's name begins in its address.
const UNIX_NAME: usize = mem::offset_of!(libc::sockaddr_un, sun_path);

/// How many bytes a path may have: its NUL must fit in as well.
const LONGEST_NAME: usize = size_of::<libc::sockaddr_un>() - UNIX_NAME - 1;

/// The address of a socket as the kernel takes and gives it.
pub(crate) struct RawAddress {
    pub(super) storage: libc::sockaddr_storage,
    pub(super) length: libc::socklen_t,
}

impl RawAddress {
    pub(super) fn empty() -> RawAddress {
        // SAFETY: all zeroes is a valid `sockaddr_storage`: integers and byte arrays only.
        let storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        RawAddress { storage, length: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// Copies `address`, one of libc's `sockaddr_*` types.
    fn from_part<T: Copy>(address: T, length: usize) -> RawAddress {
        assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>() && length <= size_of::<T>());
        let mut raw = RawAddress::empty();
        // SAFETY: the storage is large enough (asserted) and aligned for every address family (socket(7)).
        unsafe { ptr::from_mut(&mut raw.storage).cast::<T>().write(address) };
        raw.length = length as libc::socklen_t;
        raw
    }

    pub(crate) fn inet(address: SocketAddr) -> RawAddress {
        match address {
            SocketAddr::V4(address) => {
                // SAFETY: all zeroes is a valid `sockaddr_in`.
                let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
                #[cfg(has_sa_len)]
                {
                    raw.sin_len = size_of::<libc::sockaddr_in>() as u8;
                }
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = address.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                RawAddress::from_part(raw, size_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(address) => {
                // SAFETY: all zeroes is a valid `sockaddr_in6`.
                let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                #[cfg(has_sa_len)]
                {
                    raw.sin6_len = size_of::<libc::sockaddr_in6>() as u8;
                }
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = address.port().to_be();
                raw.sin6_flowinfo = address.flowinfo();
                raw.sin6_addr.s6_addr = address.ip().octets();
                raw.sin6_scope_id = address.scope_id();
                RawAddress::from_part(raw, size_of::<libc::sockaddr_in6>())
            }
        }
    }

    /// A path in the file system. The error says when it is too long: the kernel has room for about a hundred bytes (unix(7)).
    pub(crate) fn unix(path: &Path) -> io::Result<RawAddress> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() || bytes.len() > LONGEST_NAME || bytes.contains(&0) {
            let problem = format!("a Unix socket's path has 1 to {LONGEST_NAME} bytes and no NUL");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Ok(RawAddress::unix_name(&[bytes, &[0]].concat()))
    }

    /// What std has as the address of a Unix socket: a path, a name in the abstract namespace, or nothing.
    pub(crate) fn unix_address(address: &unix::net::SocketAddr) -> RawAddress {
        #[cfg(has_abstract_addresses)]
        if let Some(name) = address.as_abstract_name() {
            return RawAddress::unix_name(&[&[0], name].concat());
        }
        match address.as_pathname() {
            Some(path) => RawAddress::unix_name(&[path.as_os_str().as_bytes(), &[0]].concat()),
            None => RawAddress::unix_name(&[]),
        }
    }

    /// Any name of a Unix socket: what stands in `sun_path`, of which the length counts (unix(7), "Address format").
    fn unix_name(name: &[u8]) -> RawAddress {
        // SAFETY: all zeroes is a valid `sockaddr_un`.
        let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        assert!(name.len() <= address.sun_path.len(), "std allows no longer names either");
        for (to, from) in address.sun_path.iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        let length = UNIX_NAME + name.len();
        #[cfg(has_sa_len)]
        {
            address.sun_len = length as u8; // at most as long as the whole
        }
        RawAddress::from_part(address, length)
    }

    pub(crate) fn family(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    /// The Internet address it holds, if it holds one.
    pub(crate) fn to_inet(&self) -> Option<SocketAddr> {
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the family says what the storage holds, and the kernel filled it in whole.
                let address = unsafe { ptr::from_ref(&self.storage).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address = unsafe { ptr::from_ref(&self.storage).cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
                let port = u16::from_be(address.sin6_port);
                Some(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    /// The path it holds: `Some(None)` for a Unix socket without one (unnamed, or in the abstract namespace).
    pub(crate) fn to_unix(&self) -> Option<Option<&Path>> {
        let path = self.name_of_unix()?.split(|&byte| byte == 0).next().unwrap_or_default();
        Some((!path.is_empty()).then(|| Path::new(std::ffi::OsStr::from_bytes(path))))
    }

    /// The same as std has it. A name that std has no room for (the kernel takes a path of 108 bytes without its NUL, unix(7),
    /// "BUGS") becomes none, so that whom a stranger's name names can still be served.
    pub(crate) fn to_unix_address(&self) -> Option<unix::net::SocketAddr> {
        let address = match self.name_of_unix()? {
            #[cfg(has_abstract_addresses)]
            [0, name @ ..] => unix::net::SocketAddr::from_abstract_name(name),
            _ => unix::net::SocketAddr::from_pathname(self.to_unix()?.unwrap_or(Path::new(""))),
        };
        address.or_else(|_| unix::net::SocketAddr::from_pathname("")).ok()
    }

    /// What a Unix socket's address has in `sun_path`, as long as the kernel says. The sender of a datagram that has no name has
    /// no family either: its address is no byte long.
    fn name_of_unix(&self) -> Option<&[u8]> {
        if self.length > 0 && self.family() != libc::AF_UNIX {
            return None;
        }
        let length = (self.length as usize).min(size_of::<libc::sockaddr_storage>());
        let length = length.saturating_sub(UNIX_NAME);
        // SAFETY: `sun_path` starts at this offset, and what follows of the storage is initialised to its end.
        let name = unsafe { ptr::from_ref(&self.storage).cast::<u8>().add(UNIX_NAME) };
        // SAFETY: as above; `length` ends with the storage.
        Some(unsafe { std::slice::from_raw_parts(name, length) })
    }
}
