//! Every public item of mio, with its type written out. What this proves it proves by compiling; a test finds out whether
//! anything of mio's list is missing here.

use std::fmt::Debug;
use std::hash::Hash;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{self as unix, SocketAddr as Name};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::time::Duration;

use mio::event::{Event, Iter, Source};
use mio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use mio::unix::SourceFd;
use mio::unix::pipe::{self, Receiver, Sender};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

// An alias, and two modules that have documentation and nothing else.
#[allow(unused_imports)]
use mio::{event::Events as _, features as _, guide as _};

type Peer<Address> = io::Result<(usize, Address)>;
type Pending = io::Result<Option<io::Error>>;
type TryIo<Socket> = fn(&Socket, fn() -> io::Result<u8>) -> io::Result<u8>;

/// Can be sent to and shared with other threads, and survives a panic.
trait Free: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe {}
impl<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + ?Sized> Free for T {}
fn is_free<T: Free>() {}

fn is_owner<T>()
where
    T: Source
        + AsFd
        + AsRawFd
        + IntoRawFd
        + FromRawFd
        + From<OwnedFd>
        + Into<OwnedFd>
        + Debug
        + Free
        + 'static,
{
}

fn becomes<T, Std: From<T>>() {}

fn reads<T: Read>()
where
    for<'a> &'a T: Read,
{
}

fn writes<T: Write>()
where
    for<'a> &'a T: Write,
{
}

pub fn events() {
    let _: fn(&Event) -> Token = Event::token;
    let _: fn(&Event) -> bool = Event::is_readable;
    let _: fn(&Event) -> bool = Event::is_writable;
    let _: fn(&Event) -> bool = Event::is_error;
    let _: fn(&Event) -> bool = Event::is_read_closed;
    let _: fn(&Event) -> bool = Event::is_write_closed;
    let _: fn(&Event) -> bool = Event::is_priority;
    let _: fn(&Event) -> bool = Event::is_aio;
    let _: fn(&Event) -> bool = Event::is_lio;
    fn is_event<T: Clone + Debug>() {}
    is_event::<Event>();
    is_free::<Event>();

    let _: fn(usize) -> Events = Events::with_capacity;
    let _: fn(&Events) -> usize = Events::capacity;
    let _: fn(&Events) -> bool = Events::is_empty;
    let _: fn(&Events) -> Iter<'_> = Events::iter;
    let _: fn(&mut Events) = Events::clear;
    fn are_events<T: Debug>()
    where
        for<'a> &'a T: IntoIterator<Item = &'a Event, IntoIter = Iter<'a>>,
    {
    }
    are_events::<Events>();
    is_free::<Events>();
    fn iterates<'a, T: Iterator<Item = &'a Event> + Clone + Debug>() {}
    iterates::<Iter<'_>>();
    is_free::<Iter<'_>>();
}

pub fn interests_and_tokens() {
    const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
    let _: [bool; 3] = const { [BOTH.is_readable(), BOTH.is_writable(), BOTH.is_priority()] };
    let _: Interest = Interest::PRIORITY;
    let _: fn(Interest, Interest) -> Interest = Interest::add;
    let _: fn(Interest, Interest) -> Option<Interest> = Interest::remove;
    let _: fn(Interest) -> bool = Interest::is_readable;
    let _: fn(Interest) -> bool = Interest::is_writable;
    let _: fn(Interest) -> bool = Interest::is_priority;
    let _: fn(Interest) -> bool = Interest::is_aio;
    let _: fn(Interest) -> bool = Interest::is_lio;
    fn is_interest<T: Copy + Ord + Debug + BitOr<Output = T> + BitOrAssign>() {}
    is_interest::<Interest>();
    is_free::<Interest>();

    let Token(_): Token = Token(usize::MAX);
    fn is_token<T: Copy + Ord + Hash + Debug + Into<usize>>() {}
    is_token::<Token>();
    is_free::<Token>();
}

pub fn polls() {
    let _: fn() -> io::Result<Poll> = Poll::new;
    let _: fn(&Poll) -> &Registry = Poll::registry;
    let _: fn(&mut Poll, &mut Events, Option<Duration>) -> io::Result<()> = Poll::poll;
    fn is_poll<T: AsRawFd + Debug>() {}
    is_poll::<Poll>();
    is_free::<Poll>();

    type Registers<S> = fn(&Registry, &mut S, Token, Interest) -> io::Result<()>;
    let _: Registers<TcpStream> = Registry::register;
    let _: Registers<dyn Source> = Registry::reregister;
    let _: fn(&Registry, &mut TcpStream) -> io::Result<()> = Registry::deregister;
    let _: fn(&Registry) -> io::Result<Registry> = Registry::try_clone;
    fn is_registry<T: AsFd + AsRawFd + Debug>() {}
    is_registry::<Registry>();
    is_free::<Registry>();

    let _: fn(&Registry, Token) -> io::Result<Waker> = Waker::new;
    let _: fn(&Waker) -> io::Result<()> = Waker::wake;
    fn is_waker<T: Debug>() {}
    is_waker::<Waker>();
    is_free::<Waker>();
}

pub fn sources() {
    type Registers = fn(&mut (dyn Source + 'static), &Registry, Token, Interest) -> io::Result<()>;
    let _: Registers = Source::register;
    let _: Registers = Source::reregister;
    let _: fn(&mut (dyn Source + 'static), &Registry) -> io::Result<()> = Source::deregister;
    fn is_source<T: Source>() {}
    is_source::<Box<dyn Source>>();
    is_source::<Box<TcpStream>>();
    is_source::<SourceFd<'_>>();
    is_free::<SourceFd<'_>>();
    let SourceFd(_): SourceFd<'_> = SourceFd(&(0 as RawFd));
}

pub fn tcp() {
    let _: fn(SocketAddr) -> io::Result<TcpListener> = TcpListener::bind;
    let _: fn(std::net::TcpListener) -> TcpListener = TcpListener::from_std;
    let _: fn(&TcpListener) -> io::Result<(TcpStream, SocketAddr)> = TcpListener::accept;
    let _: fn(&TcpListener) -> io::Result<SocketAddr> = TcpListener::local_addr;
    let _: fn(&TcpListener, u32) -> io::Result<()> = TcpListener::set_ttl;
    let _: fn(&TcpListener) -> io::Result<u32> = TcpListener::ttl;
    let _: fn(&TcpListener) -> Pending = TcpListener::take_error;
    is_owner::<TcpListener>();
    becomes::<TcpListener, std::net::TcpListener>();

    let _: fn(SocketAddr) -> io::Result<TcpStream> = TcpStream::connect;
    let _: fn(std::net::TcpStream) -> TcpStream = TcpStream::from_std;
    let _: fn(&TcpStream) -> io::Result<SocketAddr> = TcpStream::peer_addr;
    let _: fn(&TcpStream) -> io::Result<SocketAddr> = TcpStream::local_addr;
    let _: fn(&TcpStream, Shutdown) -> io::Result<()> = TcpStream::shutdown;
    let _: fn(&TcpStream, bool) -> io::Result<()> = TcpStream::set_nodelay;
    let _: fn(&TcpStream) -> io::Result<bool> = TcpStream::nodelay;
    let _: fn(&TcpStream, u32) -> io::Result<()> = TcpStream::set_ttl;
    let _: fn(&TcpStream) -> io::Result<u32> = TcpStream::ttl;
    let _: fn(&TcpStream) -> Pending = TcpStream::take_error;
    let _: fn(&TcpStream, &mut [u8]) -> io::Result<usize> = TcpStream::peek;
    let _: TryIo<TcpStream> = TcpStream::try_io;
    is_owner::<TcpStream>();
    becomes::<TcpStream, std::net::TcpStream>();
    reads::<TcpStream>();
    writes::<TcpStream>();
}

pub fn udp() {
    let _: fn(SocketAddr) -> io::Result<UdpSocket> = UdpSocket::bind;
    let _: fn(std::net::UdpSocket) -> UdpSocket = UdpSocket::from_std;
    let _: fn(&UdpSocket) -> io::Result<SocketAddr> = UdpSocket::local_addr;
    let _: fn(&UdpSocket) -> io::Result<SocketAddr> = UdpSocket::peer_addr;
    let _: fn(&UdpSocket, SocketAddr) -> io::Result<()> = UdpSocket::connect;
    let _: fn(&UdpSocket, &[u8], SocketAddr) -> io::Result<usize> = UdpSocket::send_to;
    let _: fn(&UdpSocket, &mut [u8]) -> Peer<SocketAddr> = UdpSocket::recv_from;
    let _: fn(&UdpSocket, &mut [u8]) -> Peer<SocketAddr> = UdpSocket::peek_from;
    let _: fn(&UdpSocket, &[u8]) -> io::Result<usize> = UdpSocket::send;
    let _: fn(&UdpSocket, &mut [u8]) -> io::Result<usize> = UdpSocket::recv;
    let _: fn(&UdpSocket, &mut [u8]) -> io::Result<usize> = UdpSocket::peek;
    let _: fn(&UdpSocket, bool) -> io::Result<()> = UdpSocket::set_broadcast;
    let _: fn(&UdpSocket) -> io::Result<bool> = UdpSocket::broadcast;
    let _: fn(&UdpSocket, bool) -> io::Result<()> = UdpSocket::set_multicast_loop_v4;
    let _: fn(&UdpSocket) -> io::Result<bool> = UdpSocket::multicast_loop_v4;
    let _: fn(&UdpSocket, bool) -> io::Result<()> = UdpSocket::set_multicast_loop_v6;
    let _: fn(&UdpSocket) -> io::Result<bool> = UdpSocket::multicast_loop_v6;
    let _: fn(&UdpSocket, u32) -> io::Result<()> = UdpSocket::set_multicast_ttl_v4;
    let _: fn(&UdpSocket) -> io::Result<u32> = UdpSocket::multicast_ttl_v4;
    let _: fn(&UdpSocket, u32) -> io::Result<()> = UdpSocket::set_ttl;
    let _: fn(&UdpSocket) -> io::Result<u32> = UdpSocket::ttl;
    let _: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()> = UdpSocket::join_multicast_v4;
    let _: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()> = UdpSocket::leave_multicast_v4;
    let _: fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()> = UdpSocket::join_multicast_v6;
    let _: fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()> = UdpSocket::leave_multicast_v6;
    let _: fn(&UdpSocket) -> io::Result<bool> = UdpSocket::only_v6;
    let _: fn(&UdpSocket) -> Pending = UdpSocket::take_error;
    let _: TryIo<UdpSocket> = UdpSocket::try_io;
    is_owner::<UdpSocket>();
    becomes::<UdpSocket, std::net::UdpSocket>();
}

pub fn unix_streams() {
    let _: fn(PathBuf) -> io::Result<UnixListener> = UnixListener::bind;
    let _: fn(&Name) -> io::Result<UnixListener> = UnixListener::bind_addr;
    let _: fn(unix::UnixListener) -> UnixListener = UnixListener::from_std;
    let _: fn(&UnixListener) -> io::Result<(UnixStream, Name)> = UnixListener::accept;
    let _: fn(&UnixListener) -> io::Result<Name> = UnixListener::local_addr;
    let _: fn(&UnixListener) -> Pending = UnixListener::take_error;
    is_owner::<UnixListener>();
    becomes::<UnixListener, unix::UnixListener>();

    let _: fn(&'static str) -> io::Result<UnixStream> = UnixStream::connect;
    let _: fn(&Name) -> io::Result<UnixStream> = UnixStream::connect_addr;
    let _: fn(unix::UnixStream) -> UnixStream = UnixStream::from_std;
    let _: fn() -> io::Result<(UnixStream, UnixStream)> = UnixStream::pair;
    let _: fn(&UnixStream) -> io::Result<Name> = UnixStream::local_addr;
    let _: fn(&UnixStream) -> io::Result<Name> = UnixStream::peer_addr;
    let _: fn(&UnixStream) -> Pending = UnixStream::take_error;
    let _: fn(&UnixStream, Shutdown) -> io::Result<()> = UnixStream::shutdown;
    let _: TryIo<UnixStream> = UnixStream::try_io;
    is_owner::<UnixStream>();
    becomes::<UnixStream, unix::UnixStream>();
    reads::<UnixStream>();
    writes::<UnixStream>();
}

pub fn unix_datagrams() {
    let _: fn(&'static Path) -> io::Result<UnixDatagram> = UnixDatagram::bind;
    let _: fn(&Name) -> io::Result<UnixDatagram> = UnixDatagram::bind_addr;
    let _: fn(unix::UnixDatagram) -> UnixDatagram = UnixDatagram::from_std;
    let _: fn(&UnixDatagram, String) -> io::Result<()> = UnixDatagram::connect;
    let _: fn() -> io::Result<UnixDatagram> = UnixDatagram::unbound;
    let _: fn() -> io::Result<(UnixDatagram, UnixDatagram)> = UnixDatagram::pair;
    let _: fn(&UnixDatagram) -> io::Result<Name> = UnixDatagram::local_addr;
    let _: fn(&UnixDatagram) -> io::Result<Name> = UnixDatagram::peer_addr;
    let _: fn(&UnixDatagram, &mut [u8]) -> Peer<Name> = UnixDatagram::recv_from;
    let _: fn(&UnixDatagram, &mut [u8]) -> io::Result<usize> = UnixDatagram::recv;
    let _: fn(&UnixDatagram, &[u8], &'static str) -> io::Result<usize> = UnixDatagram::send_to;
    let _: fn(&UnixDatagram, &[u8]) -> io::Result<usize> = UnixDatagram::send;
    let _: fn(&UnixDatagram) -> Pending = UnixDatagram::take_error;
    let _: fn(&UnixDatagram, Shutdown) -> io::Result<()> = UnixDatagram::shutdown;
    let _: TryIo<UnixDatagram> = UnixDatagram::try_io;
    is_owner::<UnixDatagram>();
    becomes::<UnixDatagram, unix::UnixDatagram>();
}

pub fn pipes() {
    let _: fn() -> io::Result<(Sender, Receiver)> = pipe::new;
    let _: fn(&Sender, bool) -> io::Result<()> = Sender::set_nonblocking;
    let _: TryIo<Sender> = Sender::try_io;
    let _: fn(ChildStdin) -> Sender = Sender::from;
    is_owner::<Sender>();
    writes::<Sender>();
    let _: fn(&Receiver, bool) -> io::Result<()> = Receiver::set_nonblocking;
    let _: TryIo<Receiver> = Receiver::try_io;
    let _: fn(ChildStdout) -> Receiver = Receiver::from;
    let _: fn(ChildStderr) -> Receiver = Receiver::from;
    is_owner::<Receiver>();
    reads::<Receiver>();
}
