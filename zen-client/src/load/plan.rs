//! What to ask for, of whom, and how much of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use zen_server::services::{bytes, echo, zen};

/// Which conversation to hold.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Questions of the zen service, each of its three in turn.
    Zen,
    /// Counts, answered with as many bytes.
    Bytes,
    /// Bytes, answered with the same bytes.
    Echo,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 3] = [Service::Zen, Service::Bytes, Service::Echo];

    /// The port of the classic texts.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Service::Zen => zen::DEFAULT_PORT,
            Service::Bytes => bytes::DEFAULT_PORT,
            Service::Echo => echo::DEFAULT_PORT,
        }
    }

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Service::Zen => "zen",
            Service::Bytes => "bytes",
            Service::Echo => "echo",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(name: &str) -> Result<Service, String> {
        let found = Service::ALL.into_iter().find(|service| service.name() == name);
        found.ok_or_else(|| {
            format!("no service of that name; there are {}", Service::ALL.map(Service::name).join(", "))
        })
    }
}

/// A load: so many callers at once, each of which asks one thing after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which conversation to hold.
    pub service: Service,
    /// Callers, each with one connection at a time.
    pub at_once: u32,
    /// Requests of each caller; `None`: as many as fit into `duration`.
    pub each: Option<u64>,
    /// Bytes of each answer; the zen service answers in its own words.
    pub bytes: u64,
    /// A connection for each request, or one for all of a caller's.
    pub reconnect: bool,
    /// Requests under way at once on one connection.
    pub pipeline: usize,
    /// For how long requests are begun; `None`: until all are made.
    pub duration: Option<Duration>,
    /// How long to wait for a connection, and for the end of each answer.
    pub timeout: Duration,
}

impl Plan {
    /// Requests in all; `None` if time alone bounds them.
    #[must_use]
    pub fn requests(&self) -> Option<u64> {
        self.each.map(|each| each.saturating_mul(self.at_once.into()))
    }

    /// Requests that one connection carries at most.
    pub(super) fn per_connection(&self, left: u64) -> u64 {
        if self.reconnect { left.min(1) } else { left }
    }
}

/// `15 at once, 100 connections each, 4096 bytes a request`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at once", self.at_once)?;
        let things = if self.reconnect { "connection" } else { "request" };
        match self.each {
            Some(each) => write!(f, ", {each} {things}{} each", if each == 1 { "" } else { "s" })?,
            None => write!(f, ", one {things} after the other")?,
        }
        if self.service != Service::Zen {
            write!(f, ", {} byte{} a request", self.bytes, if self.bytes == 1 { "" } else { "s" })?;
        }
        if self.pipeline > 1 {
            write!(f, ", {} under way", self.pipeline)?;
        }
        match self.duration {
            Some(duration) => write!(f, ", for {duration:?}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_name() {
        for service in Service::ALL {
            assert_eq!(service.name().parse(), Ok(service));
        }
        let told = "Zen".parse::<Service>().unwrap_err();
        assert_eq!(told, "no service of that name; there are zen, bytes, echo");
    }
}
