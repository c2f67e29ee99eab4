//! What a model cannot do, and why: the table that is looked through before anything is opened.
//!
//! A limit that is accepted and does not hold is worse than one that is refused, so each of these says what stands against it.

use reactor::Backend;

use super::Model;
use crate::options::{Accept, Options, Trigger};

/// Why a model does not do what the options ask for, in one line.
pub fn refusal(options: &Options) -> Option<String> {
    let model = options.model;
    let why = match options {
        Options { max_connections: None, .. } if matches!(model, Model::Threads | Model::Fork) => {
            "needs --max-connections: each connection costs a thread or a process, and who connects often enough would end it all"
        }
        Options { max_connections: Some(_), .. } if model.has_workers() => {
            "holds as many connections as it has workers: say --workers instead of --max-connections"
        }
        Options { max_connections: Some(_), .. } if matches!(model, Model::Single | Model::Inetd) => {
            "holds one connection at a time, or as many as come: --max-connections does not go with it"
        }
        Options { max_connections: Some(most), .. } if (*most as usize) < options.workers() => {
            "divides --max-connections among its --workers: there must be one for each at least"
        }
        Options { max_per_ip: Some(_), .. } if model == Model::Prefork || model == Model::Inetd => {
            "cannot count --max-per-ip: its processes accept without knowing of each other"
        }
        Options { max_per_ip: Some(_), .. } if model.is_reactor() && options.workers() > 1 => {
            "cannot count --max-per-ip with several --workers: its loops share nothing"
        }
        Options { workers: Some(_), .. } if !model.has_workers() && !model.is_reactor() => {
            "has no workers to choose a number of: --workers does not go with it"
        }
        Options { queue: Some(_), .. } if model != Model::Pool => "has no queue: --queue is for --model pool",
        Options { accept: Accept::Exclusive | Accept::Reuseport, .. } if !model.has_acceptors() => {
            "has one acceptor: --accept does not go with it"
        }
        Options { accept: Accept::Exclusive, .. } if !model.is_reactor() => {
            "blocks in accept(2), where the kernel wakes one waiter anyway: --accept exclusive is for loops"
        }
        Options { accept: Accept::Exclusive, backend, .. }
            if !matches!(backend.resolve(), Ok(Backend::Epoll | Backend::IoUring)) =>
        {
            "needs --backend epoll or io-uring for --accept exclusive: no other interface wakes only one"
        }
        Options { accept: Accept::Reuseport, unix: Some(_), .. } => {
            "cannot have --accept reuseport with --unix: a path is bound once"
        }
        Options { backend, .. }
            if *backend != Backend::Auto && !model.is_reactor() && model != Model::Inetd =>
        {
            "waits in accept(2) and recv(2), not for readiness: --backend does not go with it"
        }
        Options { trigger: Some(_), .. } if !model.is_reactor() && model != Model::Inetd => {
            "blocks in accept(2) and recv(2) until something comes: --trigger is for loops"
        }
        Options { trigger: Some(Trigger::Edge), backend, .. }
            if matches!(backend.resolve(), Ok(Backend::Select | Backend::Poll | Backend::Polling)) =>
        {
            "needs --backend epoll or io-uring for --trigger edge: the others have no edges of their own"
        }
        Options { trace: true, .. } if matches!(model, Model::Callback | Model::Framed) => {
            "is the reactor in other clothes: --trace is for --model reactor"
        }
        Options { trace: true, .. } if !model.is_reactor() && model != Model::Single => {
            "does several things at a time: --trace is for --model single and for a single loop"
        }
        Options { trace: true, .. } if options.workers() > 1 => {
            "does several things at a time: --trace is for one worker"
        }
        Options { host, port, unix, .. }
            if model == Model::Inetd && (host.is_some() || port.is_some() || unix.is_some()) =>
        {
            "is given its socket by whoever starts it: HOST, --port and --unix do not go with it"
        }
        _ => return None,
    };
    Some(format!("--model {} {why}", model.name()))
}
