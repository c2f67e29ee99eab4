//! The results, as text for people and as JSON for programs.
//!
//! # The JSON
//!
//! One object on one line. Times are in the unit their name ends with; counts are whole numbers.
//!
//! | field | meaning |
//! |---|---|
//! | `service`, `address`, `backend` | what was asked, where, and how this side waited |
//! | `plan` | `{"at_once","each","reconnect","pipeline","bytes","seconds","timeout_seconds"}`; `each`, `bytes` and `seconds` may be `null` |
//! | `seconds` | how long it took |
//! | `requests` | `{"planned","made","answered","failed","unfinished"}`: `made` is the sum of the three behind it; `planned` is `null` if only time bounded the load |
//! | `connections` | `{"attempted","connected","failed"}`: the first is the sum of the others |
//! | `bytes` | `{"received","sent"}`: of verified answers, and of requests |
//! | `per_second` | `{"requests","connections","bytes"}`: answered, connected, received |
//! | `errors` | failed requests by kind: `refused`, `reset`, `timed_out`, `closed_early`, `wrong_answer`, `no_descriptor`, `no_port`, `other` |
//! | `first_error` | the first of them in words, or `null` |
//! | `latency_us`, `connect_us` | `{"count","p50","p90","p99","p99_9","max"}`, or `null` if nothing was measured |
//! | `gave_up` | whether it ended early because nobody was answered, or could be connected |
//! | `signal` | the number of the signal that ended it early, or `null` |

use std::fmt;
use std::time::Duration;

use reactor::Backend;
use reactor::net::Address;
use serde_json::{Map, Value, json};

use super::failure::Kind;
use super::plan::{Plan, Service};
use super::tally::{Latencies, Tally};

/// Percentiles that are reported, and their names in JSON.
const PERCENTILES: [(f64, &str); 4] = [(50.0, "p50"), (90.0, "p90"), (99.0, "p99"), (99.9, "p99_9")];

/// What a load found out.
#[derive(Debug)]
pub struct Report {
    /// What was to be done,
    pub plan: Plan,
    /// where,
    pub address: Address,
    /// and how this side waited.
    pub backend: Backend,
    /// How long it took.
    pub elapsed: Duration,
    /// The signal that ended it early.
    pub signal: Option<i32>,
    /// Whether it ended early because nobody was answered, or could be connected.
    pub gave_up: bool,
    /// What was counted.
    pub tally: Tally,
}

impl Report {
    /// Whether something was asked, and all of it was answered correctly.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.tally.answered > 0 && self.tally.failures() == 0
    }

    /// What went wrong, in one line: `3 of 1500 requests failed: 2 refused, 1 reset; the first: …`.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        if self.is_good() {
            return None;
        }
        let Tally { made, first_failure, .. } = &self.tally;
        let Some(first) = first_failure else {
            return self.signal.is_none().then(|| "nothing was answered".to_owned());
        };
        let kinds = Kind::ALL.into_iter().filter(|kind| self.tally.failed_as(*kind) > 0);
        let kinds: Vec<String> =
            kinds.map(|kind| format!("{} {}", self.tally.failed_as(kind), kind.text())).collect();
        let failed = self.tally.failures();
        let requests = if *made == 1 { "request" } else { "requests" };
        Some(format!(
            "{failed} of {made} {requests} failed: {}; the first: {first}{}",
            kinds.join(", "),
            self.hint()
        ))
    }

    /// What may help.
    fn hint(&self) -> &'static str {
        let failed = |kind| self.tally.failed_as(kind) > 0;
        if self.tally.connected == 0 && failed(Kind::Refused) {
            " (is the server running there?)"
        } else if failed(Kind::NoDescriptor) {
            " (raise the limit with `ulimit -n`, or choose a smaller -c)"
        } else if failed(Kind::NoPort) {
            " (ended connections keep their ports for a minute: make fewer, or leave out --reconnect)"
        } else if failed(Kind::ClosedEarly) && !self.plan.reconnect && self.tally.answered > 0 {
            " (a server that hangs up after each answer wants --reconnect)"
        } else {
            ""
        }
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// For programs; the module says what the fields mean.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (plan, tally) = (&self.plan, &self.tally);
        let errors: Map<String, Value> = Kind::ALL
            .into_iter()
            .map(|kind| (kind.field().to_owned(), tally.failed_as(kind).into()))
            .collect();
        json!({
            "service": plan.service.name(),
            "address": self.address.to_string(),
            "backend": self.backend.to_string(),
            "plan": {
                "at_once": plan.at_once,
                "each": plan.each,
                "reconnect": plan.reconnect,
                "pipeline": plan.pipeline,
                "bytes": (plan.service != Service::Zen).then_some(plan.bytes),
                "seconds": plan.duration.map(|duration| duration.as_secs_f64()),
                "timeout_seconds": plan.timeout.as_secs_f64(),
            },
            "seconds": self.elapsed.as_secs_f64(),
            "requests": {
                "planned": plan.requests(),
                "made": tally.made,
                "answered": tally.answered,
                "failed": tally.failures(),
                "unfinished": tally.unfinished(),
            },
            "connections": {
                "attempted": tally.attempts,
                "connected": tally.connected,
                "failed": tally.attempts - tally.connected,
            },
            "bytes": { "received": tally.received, "sent": tally.sent },
            "per_second": {
                "requests": self.per_second(tally.answered),
                "connections": self.per_second(tally.connected),
                "bytes": self.per_second(tally.received),
            },
            "errors": errors,
            "first_error": tally.first_failure,
            "latency_us": of_latencies(&tally.latency),
            "connect_us": of_latencies(&tally.connect),
            "gave_up": self.gave_up,
            "signal": self.signal,
        })
    }
}

fn of_latencies(latencies: &Latencies) -> Value {
    let microseconds = |time: Option<Duration>| time.map(|time| time.as_nanos() as f64 / 1000.0);
    let mut fields = Map::new();
    fields.insert("count".to_owned(), latencies.count().into());
    for (percent, name) in PERCENTILES {
        fields.insert(name.to_owned(), microseconds(latencies.percentile(percent)).into());
    }
    fields.insert("max".to_owned(), microseconds(latencies.longest()).into());
    if latencies.count() == 0 { Value::Null } else { fields.into() }
}

/// For people; the first line tells how it ended.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { made, answered, attempts, connected, received, .. } = self.tally;
        write!(f, "{made} requests: {answered} answered correctly, {} failed", self.tally.failures())?;
        match self.tally.unfinished() {
            0 => writeln!(f)?,
            unfinished => writeln!(f, ", {unfinished} unfinished")?,
        }
        writeln!(f, "  service      {} at {} ({})", self.plan.service, self.address, self.backend)?;
        writeln!(f, "  plan         {}", self.plan)?;
        let early = match (self.signal, self.gave_up) {
            (Some(_), _) => ", interrupted",
            (None, true) => ", given up",
            (None, false) => "",
        };
        writeln!(f, "  time         {}{early}", Time(self.elapsed))?;
        writeln!(f, "  requests     {:.1} per second", self.per_second(answered))?;
        write!(f, "  connections  {:.1} per second ({connected} made", self.per_second(connected))?;
        match attempts - connected {
            0 => writeln!(f, ")")?,
            failed => writeln!(f, ", {failed} not)")?,
        }
        writeln!(
            f,
            "  answers      {:.1} bytes per second ({received} received)",
            self.per_second(received)
        )?;
        for kind in Kind::ALL.into_iter().filter(|kind| self.tally.failed_as(*kind) > 0) {
            writeln!(f, "  error        {} {}", self.tally.failed_as(kind), kind.text())?;
        }
        write_latencies(f, "latency", &self.tally.latency)?;
        write_latencies(f, "connecting", &self.tally.connect)
    }
}

fn write_latencies(f: &mut fmt::Formatter<'_>, name: &str, latencies: &Latencies) -> fmt::Result {
    let Some(longest) = latencies.longest() else { return Ok(()) };
    write!(f, "  {name:<11}")?;
    for (percent, time) in PERCENTILES.map(|(percent, _)| (percent, latencies.percentile(percent))) {
        write!(f, "  p{percent} {}", Time(time.unwrap_or_default()))?;
    }
    writeln!(f, "  max {}", Time(longest))
}

/// A time with three digits that count.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (value, unit) = match seconds {
            _ if seconds >= 1.0 => (seconds, "s"),
            _ if seconds >= 1e-3 => (seconds * 1e3, "ms"),
            _ => (seconds * 1e6, "µs"),
        };
        match value {
            _ if value >= 100.0 => write!(f, "{value:.0} {unit}"),
            _ if value >= 10.0 => write!(f, "{value:.1} {unit}"),
            _ => write!(f, "{value:.2} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let plan = Plan {
            service: Service::Bytes,
            at_once: 2,
            each: Some(5),
            bytes: 100,
            reconnect: true,
            pipeline: 1,
            duration: None,
            timeout: Duration::from_secs(10),
        };
        let mut tally =
            Tally { made: 10, answered: 10, attempts: 10, connected: 10, received: 1000, ..Tally::default() };
        for milliseconds in 1..=10 {
            tally.latency.note(Duration::from_millis(milliseconds));
        }
        Report {
            plan,
            address: ([127, 0, 0, 1], 2000).into(),
            backend: Backend::Poll,
            elapsed: Duration::from_secs(2),
            signal: None,
            gave_up: false,
            tally,
        }
    }

    #[test]
    fn people_read_the_outcome_first() {
        let text = report().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "10 requests: 10 answered correctly, 0 failed");
        assert_eq!(lines[1], "  service      bytes at 127.0.0.1:2000 (poll)");
        assert_eq!(lines[2], "  plan         2 at once, 5 connections each, 100 bytes a request");
        assert_eq!(lines[3], "  time         2.00 s");
        assert_eq!(lines[4], "  requests     5.0 per second");
        assert!(lines[7].starts_with("  latency      p50 5.00 ms  p90 9.0"), "{text}");
        assert_eq!(lines.len(), 8, "what was not measured is not shown: {text}");
    }

    #[test]
    fn programs_read_numbers_that_add_up() {
        let json = report().to_json();
        assert_eq!(json["requests"]["planned"], 10);
        assert_eq!(json["per_second"]["bytes"], 500.0);
        assert_eq!(json["latency_us"]["count"], 10);
        assert!((json["latency_us"]["p50"].as_f64().unwrap() - 5000.0).abs() < 5.0);
        assert_eq!(json["connect_us"], Value::Null);
        assert_eq!(json["errors"].as_object().unwrap().len(), Kind::ALL.len());
    }

    #[test]
    fn a_failure_is_told_with_its_kind_its_first_words_and_what_may_help() {
        let mut report = report();
        assert_eq!(report.complaint(), None);
        report.tally.answered = 7;
        report.tally.fail(Kind::Reset, 1, || "oh".to_owned());
        report.tally.fail(Kind::NoPort, 2, || "no".to_owned());
        let complaint = report.complaint().unwrap();
        assert!(
            complaint
                .starts_with("3 of 10 requests failed: 1 reset, 2 without a local port; the first: oh (")
        );
        assert!(!report.is_good());
        assert!(report.to_string().starts_with("10 requests: 7 answered correctly, 3 failed\n"));
    }
}
