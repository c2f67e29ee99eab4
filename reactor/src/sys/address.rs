//! Addresses of sockets, as the kernel takes and gives them.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

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
            SocketAddr::V4(address) => RawAddress::from_part(
                libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                },
                size_of::<libc::sockaddr_in>(),
            ),
            SocketAddr::V6(address) => RawAddress::from_part(
                libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                },
                size_of::<libc::sockaddr_in6>(),
            ),
        }
    }

    /// A path in the file system. The error says when it is too long: the kernel has room for 107 bytes (unix(7)).
    pub(crate) fn unix(path: &Path) -> io::Result<RawAddress> {
        // SAFETY: all zeroes is a valid `sockaddr_un`.
        let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() || bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
            let problem = "a Unix socket's path has 1 to 107 bytes and no NUL";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        for (to, from) in address.sun_path.iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        let length = mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
        Ok(RawAddress::from_part(address, length))
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
        if self.family() != libc::AF_UNIX {
            return None;
        }
        let offset = mem::offset_of!(libc::sockaddr_un, sun_path);
        let length = (self.length as usize).saturating_sub(offset);
        // SAFETY: `sun_path` starts at `offset` and the kernel reported `length` bytes of it, all within the storage.
        let path = unsafe {
            std::slice::from_raw_parts(ptr::from_ref(&self.storage).cast::<u8>().add(offset), length)
        };
        let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
        Some((!path.is_empty()).then(|| Path::new(std::ffi::OsStr::from_bytes(path))))
    }
}
