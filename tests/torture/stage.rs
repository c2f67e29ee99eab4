//! Where a scenario is played: a loop with a listener, its clients, and a host whom the loop may call; all on one thread, step
//! by step. The loop's steps are seen by the interposer, everybody else's are not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reactor::event_loop::{ConnectionId, Incoming, Limits, ListenerId, Reactor, Watermarks};
use reactor::net::Address;
use reactor::{Backend, Trigger};

use crate::bare::Bare;
use crate::blocking::Blocking;
use crate::calls::Call;
use crate::clients::{Client, Door, Host, Listening};
use crate::engine::{Engine, Kind};
use crate::kernel::{self, Interlude, Label};
use crate::ring::Ring;
use crate::zen::{self, Book, SharedBook, Story, Zen};

/// How long a turn waits at most, by the kernel's own clock.
const TICK: Duration = Duration::from_millis(100);
/// Turns that a lasting fault lasts.
pub const UNDER_FAULT: usize = 25;
/// Turns that a run may take more than the one without faults: for rests of a listener, and to find its way back.
pub const MORE_TURNS: usize = 60;
/// Turns without progress that one fault, once, may cause.
pub const MORE_IDLE_TURNS: u64 = 4;

/// What a scenario needs.
#[derive(Clone)]
pub struct Settings {
    pub tcp: bool,
    pub limits: Limits,
    pub watermarks: Watermarks,
    pub small_buffers: bool,
    /// How the loop watches connections, if not as it likes best.
    pub trigger: Option<Trigger>,
    /// The number of a connection that is given no protocol.
    pub refuses: Option<usize>,
    pub engine: Kind,
}

impl Default for Settings {
    fn default() -> Settings {
        let (limits, watermarks) = (Limits::default(), Watermarks::default());
        Settings {
            tcp: false,
            limits,
            watermarks,
            small_buffers: false,
            trigger: None,
            refuses: None,
            engine: Kind::EventLoop,
        }
    }
}

/// A folder of this process, gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> io::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("zen-torture-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        fs::write(path.join("file"), zen::FILE)?;
        Ok(Scratch(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Writes down which run is in progress, for whoever finds this process dead.
    pub fn note(&self, run: &str) {
        let _ = fs::write(self.path("run"), run); // it is missed only then
    }

    /// The run that a dead process was in, whose folder is removed.
    pub fn of_the_dead(process: u32) -> String {
        let dead = Scratch(std::env::temp_dir().join(format!("zen-torture-{process}")));
        fs::read_to_string(dead.path("run")).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // in the folder for temporary files: somebody else tidies up
    }
}

// --------------------------------------------------------------------------------------------------------------- stage

pub struct Stage {
    settings: Settings,
    scratch: Rc<Scratch>,
    backend: Backend,
    engine: Option<Engine>,
    pub listener: Option<ListenerId>,
    pub book: SharedBook,
    pub clients: Vec<Client>,
    host: Option<Host>,
    pub turns: usize,
    most_turns: usize,
    /// When the first fault hit.
    hit_in: Option<usize>,
    given_up: bool,
    /// Errors the program was told: of turns, and of what it asked for.
    pub errors: Vec<String>,
    /// What must not be.
    pub complaints: Vec<String>,
    /// Descriptors when the loop listened and nobody had come.
    at_rest: BTreeMap<RawFd, Call>,
    pub shed: u64,
    /// Turns with events in which nothing moved.
    pub idle_turns: u64,
}

impl Stage {
    /// Builds a loop and has it listen. What fails is tried once more, when faults are over.
    pub fn open(settings: Settings, backend: Backend, scratch: &Rc<Scratch>, most_turns: usize) -> Stage {
        let book = Book { file: File::open(scratch.path("file")).ok().map(Arc::new), ..Book::default() };
        let mut stage = Stage {
            settings,
            scratch: Rc::clone(scratch),
            backend,
            engine: None,
            listener: None,
            book: Rc::new(RefCell::new(book)),
            clients: Vec::new(),
            host: None,
            turns: 0,
            most_turns,
            hit_in: None,
            given_up: false,
            errors: Vec::new(),
            complaints: Vec::new(),
            at_rest: BTreeMap::new(),
            shed: 0,
            idle_turns: 0,
        };
        kernel::with(|kernel| kernel.small_buffers = stage.settings.small_buffers);
        stage.twice("build", Stage::build);
        stage.twice("listen", Stage::listen);
        stage.note_rest();
        stage
    }

    /// What is open now may stay open, unless it is a connection.
    pub fn note_rest(&mut self) {
        self.at_rest = kernel::with(|kernel| {
            let open = kernel.open.iter().filter(|(fd, _)| !kernel.labels.contains_key(*fd));
            open.map(|(&fd, &by)| (fd, by)).collect()
        });
    }

    /// Does what may fail, because a fault is allowed to be told; without one, it must work.
    pub fn twice<R>(
        &mut self,
        what: &str,
        mut attempt: impl FnMut(&mut Stage) -> io::Result<R>,
    ) -> Option<R> {
        loop {
            let (open, hits) = kernel::with(|kernel| (kernel.open.clone(), kernel.hits.len()));
            let error = match attempt(self) {
                Ok(result) => return Some(result),
                Err(error) => error.to_string(),
            };
            let (now, is_hit) = kernel::with(|kernel| {
                kernel.lift();
                kernel.next_label = None;
                (kernel.open.clone(), kernel.hits.len() > hits)
            });
            if now != open {
                self.complain(format!("{what} failed and left descriptors behind: {now:?}, not {open:?}"));
            }
            self.errors.push(error);
            if !is_hit {
                self.complain(format!("{what} fails although nothing was to"));
                return None;
            }
        }
    }

    fn build(&mut self) -> io::Result<()> {
        let Settings { limits, watermarks, trigger, .. } = self.settings;
        let (backend, book) = (self.backend, Rc::clone(&self.book));
        match self.settings.engine {
            Kind::EventLoop => {}
            Kind::Bare(trigger) => {
                let bare = kernel::armed(|| Bare::new(backend, trigger, &book))?;
                self.engine = Some(Engine::Bare(bare));
                return Ok(());
            }
            Kind::Blocking => {
                let _ = fs::remove_file(self.path()); // of an attempt before
                self.engine = Some(Engine::Blocking(Blocking::new(&self.path(), limits, &book)?));
                return Ok(());
            }
        }
        let builder =
            Reactor::builder().backend(backend).limits(limits).watermarks(watermarks).read_budget(4096);
        let builder = match trigger {
            Some(trigger) => builder.trigger(trigger),
            None => builder,
        };
        let reactor = kernel::armed(|| builder.build())?;
        self.book.borrow_mut().spawner = Some(reactor.spawner());
        self.engine = Some(Engine::EventLoop(reactor));
        Ok(())
    }

    /// Has the loop listen (again).
    pub fn listen(&mut self) -> io::Result<()> {
        let path = self.path();
        match self.engine() {
            Engine::EventLoop(_) => {}
            Engine::Bare(bare) => {
                let _ = fs::remove_file(&path); // of an attempt before
                return kernel::armed(|| bare.listen(&path));
            }
            Engine::Blocking(_) => return Ok(()),
        }
        let at = match self.settings.tcp {
            true => Address::from(([127, 0, 0, 1], 0)),
            false => Address::Unix(self.path()),
        };
        self.listener = Some(self.listen_at(at)?);
        Ok(())
    }

    /// Who gives connections a protocol.
    fn welcome(&self) -> impl FnMut(&Incoming<'_>) -> Option<Zen> + use<> {
        let (book, refuses) = (Rc::clone(&self.book), self.settings.refuses);
        move |_| {
            let number = kernel::with(|kernel| kernel.accepted) - 1;
            (refuses != Some(number)).then(|| Zen::accepted(&book, number))
        }
    }

    /// Has the loop listen somewhere else as well.
    pub fn listen_at(&mut self, at: Address) -> io::Result<ListenerId> {
        let welcome = self.welcome();
        let reactor = self.reactor();
        kernel::armed(|| reactor.listen(at, welcome))
    }

    /// Has the loop listen on a socket of somebody else, whom it wakes alone; nothing where a backend cannot do that.
    pub fn listen_exclusively(&mut self) -> io::Result<Option<ListenerId>> {
        let path = self.side_door();
        let _ = fs::remove_file(&path); // of an attempt before
        let socket = UnixListener::bind(&path)?;
        kernel::with(|kernel| kernel.opened(socket.as_raw_fd(), Call::socket, None));
        let welcome = self.welcome();
        let reactor = self.reactor();
        match kernel::armed(|| reactor.listen_exclusively_on(socket, welcome)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
            result => result.map(Some),
        }
    }

    /// Another path to listen at.
    pub fn side_door(&self) -> PathBuf {
        self.scratch.path("side door")
    }

    /// The loop stops listening there.
    pub fn close_listener(&mut self, listener: ListenerId) {
        kernel::armed(|| self.reactor().close_listener(listener));
    }

    /// What an ended listener may not leave behind, is not there.
    pub fn look_for(&mut self, path: PathBuf) {
        if fs::symlink_metadata(&path).is_ok() {
            self.complain("the listener left its path behind".to_owned());
            let _ = fs::remove_file(path); // so that the next run is not disturbed
        }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path("door")
    }

    /// The loop; whatever is done with it is to be [`kernel::armed`].
    pub fn reactor(&mut self) -> &mut Reactor<Zen> {
        match &mut self.engine {
            Some(Engine::EventLoop(reactor)) => reactor,
            _ => panic!("the scenario is about the event loop"),
        }
    }

    /// The loop on layer 1; likewise.
    pub fn bare(&mut self) -> &mut Bare {
        match &mut self.engine {
            Some(Engine::Bare(bare)) => bare,
            _ => panic!("the scenario is about layer 1"),
        }
    }

    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("it was built")
    }

    pub fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    // --------------------------------------------------------------------------------------------------------- turns

    /// One turn of the loop; then everybody who is not slow takes what is there.
    pub fn turn(&mut self) {
        self.turn_for(Some(TICK));
    }

    /// One turn that ends only when something happens.
    pub fn turn_for_ever(&mut self) {
        self.turn_for(None);
        if kernel::with(|kernel| std::mem::take(&mut kernel.asleep)) {
            self.complain("the loop sleeps for ever although it was called".to_owned());
        }
    }

    fn turn_for(&mut self, limit: Option<Duration>) {
        self.turns += 1;
        kernel::with(kernel::Kernel::begin_turn);
        let result = self.engine().turn(limit);
        (self.shed, self.idle_turns) = self.engine().shed_and_idle();
        if let Err(error) = result {
            self.errors.push(error.to_string());
        }
        let hit = kernel::with(|kernel| {
            kernel.next_label = None;
            !kernel.hits.is_empty()
        });
        if hit && self.turns > *self.hit_in.get_or_insert(self.turns) + UNDER_FAULT {
            kernel::with(kernel::Kernel::lift);
        }
        self.clients.iter_mut().filter(|client| !client.slow).for_each(|client| client.listen(usize::MAX));
        if let Some(host) = &mut self.host {
            host.attend().expect("the host's own sockets work");
        }
    }

    /// Turns until it is so.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&mut Stage) -> bool) {
        while !is_so(self) {
            if self.turns >= self.most_turns {
                if !std::mem::replace(&mut self.given_up, true) {
                    let most = self.most_turns;
                    self.complain(format!("after {most} turns still not: {what}"));
                }
                return;
            }
            self.turn();
        }
    }

    /// Turns until everybody has what was asked for, or will never have it.
    pub fn settle(&mut self) {
        self.until("everybody is answered", |stage| {
            stage.clients.iter().all(|client| client.slow || client.is_settled()) && stage.own_are_over()
        });
    }

    /// Whether the loop's own conversations are.
    fn own_are_over(&self) -> bool {
        let book = self.book.borrow();
        let mut own = book.stories.iter().filter(|(label, _)| matches!(label, Label::Own(_)));
        own.all(|(_, story)| story.reason.is_some())
    }

    /// What happens while the loop waits for the next time.
    pub fn during_the_next_wait(&mut self, interlude: Interlude) {
        kernel::with(|kernel| kernel.during_wait = Some(interlude));
    }

    // ------------------------------------------------------------------------------------------------------- clients

    /// Somebody comes.
    pub fn client(&mut self) -> usize {
        match self.settings.tcp {
            false => self.client_at(&self.path()),
            true => {
                let stream = self.tcp_door().and_then(TcpStream::connect);
                self.let_in(stream.map(|stream| OwnedFd::from(stream).into()))
            }
        }
    }

    /// Somebody comes to this path.
    pub fn client_at(&mut self, path: &Path) -> usize {
        self.let_in(UnixStream::connect(path))
    }

    fn let_in(&mut self, stream: io::Result<UnixStream>) -> usize {
        let stream = stream.and_then(|stream| stream.set_nonblocking(true).map(|()| stream));
        let stream =
            stream.map_err(|error| self.complain(format!("a client could not connect: {error}"))).ok();
        let (asking, expects, heard) = (String::new(), Vec::new(), Vec::new());
        self.clients.push(Client {
            stream,
            asking,
            expects,
            heard,
            ended: None,
            slow: false,
            is_gone: false,
        });
        self.clients.len() - 1
    }

    fn tcp_door(&mut self) -> io::Result<std::net::SocketAddr> {
        let listener = self.listener;
        match listener.and_then(|listener| self.reactor().local_address(listener).cloned()) {
            Some(Address::Inet(address)) => Ok(address),
            _ => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// A client says something. If nobody is there any more, it will find out.
    pub fn say(&mut self, client: usize, text: &str) {
        let client = &mut self.clients[client];
        if let Some(stream) = &mut client.stream {
            let _ = stream.write_all(text.as_bytes());
            client.asking.push_str(text);
            let complete = client.asking.rfind('?').map_or(0, |end| end + 1);
            client.expects.extend(zen::answers(&client.asking[..complete]));
            client.asking.drain(..complete);
        }
    }

    /// A client says what nobody will answer.
    pub fn say_in_vain(&mut self, client: usize, text: &str) {
        if let Some(stream) = &mut self.clients[client].stream {
            let _ = stream.write_all(text.as_bytes());
        }
    }

    /// A client will be told something without having asked.
    pub fn expect(&mut self, client: usize, text: &[u8]) {
        self.clients[client].expects.extend_from_slice(text);
    }

    /// A slow client takes a little.
    pub fn take(&mut self, client: usize, most: usize) {
        self.clients[client].listen(most);
    }

    /// A client has no more questions, and listens on.
    pub fn finish_sending(&mut self, client: usize) {
        if let Some(stream) = &self.clients[client].stream {
            let _ = stream.shutdown(Shutdown::Write); // the loop may have ended it
        }
    }

    /// A client is gone, rudely: what it has not read makes that a reset; over TCP it is told to be one.
    pub fn reset(&mut self, client: usize) {
        let client = &mut self.clients[client];
        client.is_gone = true;
        if let Some(stream) = client.stream.take() {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            let (raw, length) = ((&raw const linger).cast(), size_of::<libc::linger>() as libc::socklen_t);
            // SAFETY: `linger` is readable for its length. (A Unix socket does not mind.)
            unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, raw, length) };
        }
    }

    /// The story of a client's connection.
    pub fn story(&self, client: usize) -> Option<Story> {
        self.book.borrow().stories.get(&Label::Accepted(client)).cloned()
    }

    /// The loop watches a descriptor of the program's: what is written to the other end makes a connection say "Source.".
    pub fn watch_for(&mut self, connection: ConnectionId) -> Option<UnixStream> {
        self.twice("add_source", |stage| {
            let (near, far) = UnixStream::pair()?;
            near.set_nonblocking(true)?;
            kernel::with(|kernel| kernel.opened(near.as_raw_fd(), Call::socketpair, None));
            let reactor = stage.reactor();
            kernel::armed(|| reactor.add_source(Listening { stream: near, connection })).map(|_| far)
        })
    }

    // ---------------------------------------------------------------------------------------------------------- host

    /// Somebody whom the loop may call.
    pub fn host(&mut self) -> Address {
        let (listener, address) = match self.settings.tcp {
            true => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                listener.set_nonblocking(true).expect("it is a socket");
                let address = Address::Inet(listener.local_addr().expect("it is bound"));
                (Door::Tcp(listener), address)
            }
            false => {
                let path = self.scratch.path("host");
                let _ = fs::remove_file(&path); // of the run before
                let listener = UnixListener::bind(&path).expect("a path");
                listener.set_nonblocking(true).expect("it is a socket");
                (Door::Unix(listener), Address::Unix(path))
            }
        };
        self.host = Some(Host { listener, guests: Vec::new() });
        self.book.borrow_mut().host = Some(address.clone());
        address
    }

    /// Nobody is there any more.
    pub fn forget_host(&mut self) {
        self.host = None;
    }

    /// The loop connects to somebody and asks.
    pub fn connect(&mut self, to: &Address, asks: &'static str) {
        self.twice("connect", |stage| {
            let protocol = Zen::asking(&stage.book, asks);
            let result = kernel::armed(|| stage.reactor().connect(to.clone(), protocol));
            result.inspect_err(|_| stage.book.borrow_mut().forget_the_last())
        });
    }

    /// The loop is given a connection to the host, and asks.
    pub fn adopt(&mut self, asks: &'static str) {
        self.twice("adopt", |stage| {
            let (near, far) = UnixStream::pair()?;
            far.set_nonblocking(true)?;
            let protocol = Zen::asking(&stage.book, asks);
            kernel::with(|kernel| {
                let label = kernel.next_label.take();
                kernel.opened(near.as_raw_fd(), Call::socketpair, label);
            });
            let result = kernel::armed(|| stage.reactor().adopt(near, protocol));
            if let (Ok(_), Some(host)) = (&result, &mut stage.host) {
                host.guests.push((far, String::new()));
            }
            result.inspect_err(|_| stage.book.borrow_mut().forget_the_last())
        });
    }

    // ----------------------------------------------------------------------------------------------------------- end

    /// Everybody leaves, a fresh client is served, and nothing is left of anybody.
    pub fn finish(&mut self) {
        for client in 0..self.clients.len() {
            self.clients[client].slow = false;
            self.finish_sending(client);
        }
        self.until("nobody is left", |stage| {
            let is_over = |client: &Client| client.stream.is_none() || client.ended.is_some();
            stage.clients.iter().all(is_over) && stage.engine().connections() == 0
        });
        self.clients.iter_mut().for_each(|client| client.stream = None);
        self.serve_a_fresh_client();
        self.fall_asleep();
        self.close();
    }

    fn serve_a_fresh_client(&mut self) {
        loop {
            let hits = kernel::with(|kernel| kernel.hits.len());
            let fresh = self.client();
            self.say(fresh, zen::QUESTIONS[2]);
            if self.settings.engine == Kind::Blocking {
                self.finish_sending(fresh);
            }
            self.until("a fresh client is answered", |stage| stage.clients[fresh].is_settled());
            self.finish_sending(fresh);
            self.until("the fresh client is gone", |stage| {
                stage.clients[fresh].ended.is_some() && stage.engine().connections() == 0
            });
            self.clients[fresh].stream = None;
            // One that was hit by a fault of its own proves nothing about the next.
            if self.given_up || kernel::with(|kernel| kernel.hits.len()) == hits {
                return;
            }
            kernel::with(kernel::Kernel::lift);
        }
    }

    /// With nobody to serve, no timer may be left, and no connection in the kernel's set.
    fn fall_asleep(&mut self) {
        let first = self.turns;
        let waits = self.settings.engine != Kind::Blocking;
        while waits && !kernel::with(|kernel| kernel.asleep) {
            if self.turns > first + MORE_TURNS {
                return self.complain("the loop does not fall asleep although nobody is there".to_owned());
            }
            self.turn_for(None);
        }
        let timers = self.engine().timers();
        if timers > 0 {
            self.complain(format!("{timers} timers are left"));
        }
        let (open, registered, watched) = kernel::with(|kernel| {
            let in_sets = kernel.registered.keys().map(|&(_, fd)| fd);
            let in_rings = kernel.rings.values().flat_map(Ring::polled);
            let registered: Vec<RawFd> = in_sets.chain(in_rings).collect();
            (kernel.open.clone(), registered, kernel.watched.clone())
        });
        for call in [
            Call::accept4,
            Call::socket,
            Call::socketpair,
            Call::pipe2,
            Call::eventfd,
            Call::epoll_create1,
            Call::io_uring_setup,
        ] {
            let count = |open: &BTreeMap<RawFd, Call>| open.values().filter(|by| **by == call).count();
            if count(&open) != count(&self.at_rest) {
                self.complain(format!(
                    "descriptors of {} are {open:?}, and were {:?}",
                    call.name(),
                    self.at_rest
                ));
            }
        }
        let dangling: Vec<_> =
            registered.iter().chain(&watched).filter(|fd| !open.contains_key(fd)).collect();
        if !dangling.is_empty() {
            self.complain(format!("still watched, and closed: {dangling:?}"));
        }
    }

    /// The loop ends.
    fn close(&mut self) {
        self.book.borrow_mut().spawner = None;
        kernel::with(|kernel| kernel.dropping = true);
        let engine = self.engine.take();
        let is_loop = matches!(engine, Some(Engine::EventLoop(_)));
        match engine {
            Some(Engine::Blocking(blocking)) => drop(blocking), // the listener is the program's
            engine => kernel::armed(|| drop(engine)),
        }
        let open = kernel::with(|kernel| kernel.open.clone());
        if !open.is_empty() {
            self.complain(format!("the loop is gone and left descriptors open: {open:?}"));
            // So that the next run is not disturbed.
            for fd in open.into_keys() {
                // SAFETY: whoever opened it is gone.
                unsafe { libc::close(fd) };
            }
        }
        if !is_loop {
            let _ = fs::remove_file(self.path()); // it is whoever binds it that removes it
        }
        self.look_for(self.path());
    }
}
