//! A TLS echo server in the manner of rustls's own example for mio: one loop, a state machine for each connection, and an
//! interest that follows what rustls wants next.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);

/// A certificate for `localhost`, and who believes it.
pub struct Authority {
    certified: CertifiedKey<KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        Authority { certified: generate_simple_self_signed(["localhost".to_owned()]).unwrap() }
    }

    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certified.cert.der().clone()]
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.certified.signing_key.serialize_der()).unwrap()
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.chain());
        roots
    }

    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::new(ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth())
    }

    fn server(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder().with_no_client_auth();
        Arc::new(builder.with_single_cert(self.chain(), self.key()).unwrap())
    }
}

/// A server in a thread of its own, until it is stopped.
pub struct Server {
    address: SocketAddr,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
}

impl Server {
    pub fn start(authority: &Authority) -> io::Result<Server> {
        let config = authority.server();
        let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let (address, poll) = (listener.local_addr()?, Poll::new()?);
        let waker = Waker::new(poll.registry(), STOP)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let thread = thread::spawn(move || serve(poll, listener, &config));
        Ok(Server { address, waker, thread })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn stop(self) {
        self.waker.wake().unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

fn serve(mut poll: Poll, listener: TcpListener, config: &Arc<ServerConfig>) -> io::Result<()> {
    let (mut events, mut connections, mut last) = (Events::with_capacity(16), HashMap::new(), STOP.0);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                STOP => return Ok(()),
                LISTENER => accept_all(&listener, config, poll.registry(), &mut connections, &mut last)?,
                token => {
                    let Some(connection) = connections.get_mut(&token) else { continue };
                    let connection: &mut Connection = connection;
                    connection.ready(event.is_readable(), event.is_writable());
                    if connection.is_over() {
                        poll.registry().deregister(&mut connection.socket)?;
                        connections.remove(&token);
                    } else {
                        let interest = connection.interest();
                        poll.registry().reregister(&mut connection.socket, token, interest)?;
                    }
                }
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    registry: &Registry,
    connections: &mut HashMap<Token, Connection>,
    last: &mut usize,
) -> io::Result<()> {
    loop {
        let mut socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        *last += 1;
        let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        tls.set_buffer_limit(None); // the clients wait for their bytes before they send more
        registry.register(&mut socket, Token(*last), Interest::READABLE)?;
        connections.insert(Token(*last), Connection { socket, tls, failed: false });
    }
}

struct Connection {
    socket: TcpStream,
    tls: ServerConnection,
    failed: bool,
}

impl Connection {
    fn ready(&mut self, readable: bool, writable: bool) {
        if readable && self.read_and_echo().is_err() {
            self.failed = true;
        }
        if (writable || readable) && self.write().is_err() {
            self.failed = true;
        }
    }

    /// Reads until there is no more or rustls has enough, and sends back what it deciphered.
    fn read_and_echo(&mut self) -> io::Result<()> {
        let mut plain = Vec::new();
        while self.tls.wants_read() {
            match self.tls.read_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(0) => {
                    self.failed = true;
                    break;
                }
                result => result?,
            };
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            if state.plaintext_bytes_to_read() > 0 {
                let start = plain.len();
                plain.resize(start + state.plaintext_bytes_to_read(), 0);
                self.tls.reader().read_exact(&mut plain[start..])?;
                self.tls.writer().write_all(&plain[start..])?;
            }
            if state.peer_has_closed() {
                self.tls.send_close_notify();
                break;
            }
            self.write()?; // what is ciphered is bounded
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                result => result?,
            };
        }
        Ok(())
    }

    fn interest(&self) -> Interest {
        match (self.tls.wants_read(), self.tls.wants_write()) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (false, true) => Interest::WRITABLE,
            _ => Interest::READABLE,
        }
    }

    fn is_over(&self) -> bool {
        self.failed
    }
}

/// A blocking client: sends a lot, in pieces, and reads it back.
pub fn echoed(config: Arc<ClientConfig>, address: SocketAddr, number: u8) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let name = "localhost".try_into().unwrap();
    let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(tls, std::net::TcpStream::connect(address)?);
    let (mut sent, mut heard) = (Vec::new(), Vec::new());
    for turn in 1..=20 {
        let piece = vec![number.wrapping_mul(turn); 3000 * usize::from(turn)];
        stream.write_all(&piece)?;
        stream.flush()?;
        let start = heard.len();
        heard.resize(start + piece.len(), 0);
        stream.read_exact(&mut heard[start..])?;
        sent.extend(piece);
    }
    Ok((sent, heard))
}
