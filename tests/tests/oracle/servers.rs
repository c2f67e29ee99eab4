//! All the ways in which a conversation is waited for: every model, and the loops over each backend with each trigger.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use zen_tests::{Model, Process, Server, backends, command, wait_until};

use super::client::{pair, play};
use super::reference::{Outcome, Setup, reason_in};
use super::script::{Script, Service};

/// One way.
#[derive(Clone, Debug)]
pub struct Way {
    /// `reactor, epoll, edge`
    pub name: String,
    model: &'static str,
    pub trigger: Option<&'static str>,
    arguments: Vec<&'static str>,
}

impl Way {
    fn of_model(name: &'static str) -> Way {
        Way {
            name: name.to_owned(),
            model: name,
            trigger: None,
            arguments: Model::named(name).arguments.to_vec(),
        }
    }

    fn of_loop(model: &'static str, backend: &'static str, trigger: &'static str) -> Way {
        let options = ["--backend", backend, "--trigger", trigger];
        let arguments = [Model::named(model).arguments, &options].concat();
        Way { name: format!("{model}, {backend}, {trigger}"), model, trigger: Some(trigger), arguments }
    }

    fn inetd() -> Way {
        Way { name: "inetd".to_owned(), model: "inetd", trigger: None, arguments: vec!["inetd"] }
    }
}

/// The triggers that a loop can run on over this backend.
pub fn triggers(backend: &str) -> &'static [&'static str] {
    match backend {
        "epoll" | "io-uring" => &["edge", "level", "one-shot"],
        _ => &["level", "one-shot"],
    }
}

/// The models that are loops.
const LOOPS: [&str; 4] = ["reactor", "reactor_workers", "callback", "framed"];

/// All of them: loops over each backend with each trigger, and the models that block.
pub fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for model in LOOPS {
        for backend in backends() {
            ways.extend(triggers(backend).iter().map(|trigger| Way::of_loop(model, backend, trigger)));
        }
    }
    ways.extend(Model::NAMES.into_iter().filter(|name| !LOOPS.contains(name)).map(Way::of_model));
    ways.push(Way::inetd());
    ways
}

/// The same without those that differ from others in their dress only.
pub fn ways_undressed() -> Vec<Way> {
    ways().into_iter().filter(|way| way.model == "reactor" || !LOOPS.contains(&way.model)).collect()
}

/// Somebody who can be talked to.
#[derive(Debug)]
pub enum Host {
    Running(Server),
    /// Started by each client.
    Inetd(Vec<String>),
}

/// A conversation of which only the server's last word is missing.
#[derive(Debug)]
pub struct Played<'a> {
    heard: Vec<u8>,
    staying: Option<TcpStream>,
    peer: String,
    log: Log<'a>,
}

#[derive(Debug)]
enum Log<'a> {
    /// What this server logs behind so many bytes.
    Behind(&'a Server, usize),
    /// What this process logs.
    Of(Process),
}

impl Host {
    pub fn start(way: &Way, service: Service, setup: Setup) -> Host {
        let setup = setup.arguments();
        let service = ["--service", service.name(), "--model"];
        let all = service.iter().chain(&way.arguments).copied().chain(setup.iter().map(String::as_str));
        match way.model == "inetd" {
            true => Host::Inetd(all.map(str::to_owned).collect()),
            false => Host::Running(Server::start(&all.collect::<Vec<_>>())),
        }
    }

    /// Plays the client.
    pub fn play(&self, script: &Script, due: &[usize]) -> Played<'_> {
        match self {
            Host::Running(server) => {
                let log = Log::Behind(server, server.log().len());
                let stream = TcpStream::connect(server.address()).expect("the server listens");
                let peer = stream.local_addr().expect("it is connected").to_string();
                let (heard, staying) = play(stream, script, due);
                Played { heard, staying, peer, log }
            }
            Host::Inetd(arguments) => {
                let (ours, theirs) = pair();
                let peer = theirs.local_addr().expect("it is connected").to_string();
                let process = started_with(ours.into(), arguments);
                let (heard, staying) = play(theirs, script, due);
                Played { heard, staying, peer, log: Log::Of(process) }
            }
        }
    }
}

/// What the server calls whoever has no address.
const NOBODY: &str = "the Unix socket";

/// The server with this as its standard input and output, as inetd does it.
fn started_with(socket: OwnedFd, arguments: &[String]) -> Process {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command("zen-server", &arguments);
    command.stdout(socket.try_clone().expect("a descriptor is left")).stderr(Stdio::piped());
    Process::start(command.stdin(Stdio::from(socket)))
}

impl Played<'_> {
    /// How it went, as soon as the server has said why it is over.
    pub fn outcome(self) -> Outcome {
        let Played { heard, staying, peer, log } = self;
        let mut reason = None;
        match log {
            Log::Behind(server, start) => wait_until("the server logs the end of a conversation", || {
                let log = server.log();
                reason = log[start..].lines().find_map(|line| reason_in(line, &peer));
                reason.is_some()
            }),
            Log::Of(mut process) => {
                let lines = BufReader::new(process.stderr()).lines().map_while(Result::ok);
                // Who was gone before the process began had no name any more.
                let reason_of = |line: String| reason_in(&line, &peer).or_else(|| reason_in(&line, NOBODY));
                reason = lines.filter_map(reason_of).next();
                process.wait();
            }
        }
        drop(staying);
        Outcome { heard, reason: reason.expect("the end is logged") }
    }
}
