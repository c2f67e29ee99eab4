//! What is counted while a load runs.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::failure::Kind;

/// Decimal digits of a latency that are kept: an error of a thousandth at most.
const DIGITS: u8 = 3;

/// Counts and latencies of a load, so far or at its end.
///
/// Every request has one fate, so `made = answered + failed + unfinished`.
#[derive(Debug)]
pub struct Tally {
    /// Requests that were begun. An attempt to connect that failed took one request with it.
    pub made: u64,
    /// Requests that were answered in full and correctly.
    pub answered: u64,
    /// Requests that failed, by [`Kind`].
    pub failed: [u64; Kind::ALL.len()],
    /// Attempts to connect, those to be repeated because the server's backlog was full not counted.
    pub attempts: u64,
    /// Connections that stood.
    pub connected: u64,
    /// Bytes of answers that came and were correct, those of answers that stayed incomplete included.
    pub received: u64,
    /// Bytes of requests handed to the loop.
    pub sent: u64,
    /// The first failure, in words.
    pub first_failure: Option<String>,
    /// From the moment a request was handed to the loop to that when the last byte of its answer was verified.
    pub latency: Latencies,
    /// From the first attempt to connect to the moment the connection stood.
    pub connect: Latencies,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            made: 0,
            answered: 0,
            failed: [0; Kind::ALL.len()],
            attempts: 0,
            connected: 0,
            received: 0,
            sent: 0,
            first_failure: None,
            latency: Latencies::new(),
            connect: Latencies::new(),
        }
    }
}

impl Tally {
    /// Requests that failed, of every kind.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Requests that failed in this way.
    #[must_use]
    pub fn failed_as(&self, kind: Kind) -> u64 {
        self.failed[kind as usize]
    }

    /// Requests that have no fate (yet).
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.made - self.answered - self.failures()
    }

    pub(super) fn fail(&mut self, kind: Kind, requests: u64, why: impl FnOnce() -> String) {
        self.failed[kind as usize] += requests;
        self.first_failure.get_or_insert_with(why);
    }
}

/// How long things took: a histogram whose memory does not grow with the number of things.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> Latencies {
        // From a nanosecond to an hour. Only digits that do not exist could be refused.
        let longest = Duration::from_secs(60 * 60).as_nanos() as u64;
        Latencies(Histogram::new_with_max(longest, DIGITS).expect("three digits are allowed"))
    }

    /// Notes one; what is longer than an hour counts as an hour.
    pub(super) fn note(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What so many percent of them did not exceed.
    ///
    /// ```
    /// let tally = zen_client::load::Tally::default();
    /// assert_eq!(tally.latency.percentile(50.0), None, "nothing was measured");
    /// ```
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.0.value_at_percentile(percent)))
    }

    /// The longest.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.0.max()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_a_thousandth() {
        let mut latencies = Latencies::new();
        for milliseconds in 1..=1000 {
            latencies.note(Duration::from_millis(milliseconds));
        }
        for (percent, milliseconds) in [(50.0, 500.0), (90.0, 900.0), (99.0, 990.0), (99.5, 995.0)] {
            let found = latencies.percentile(percent).unwrap().as_secs_f64() * 1000.0;
            assert!((found / milliseconds - 1.0_f64).abs() <= 0.001, "p{percent} is {found} ms");
        }
        assert_eq!(latencies.count(), 1000);
    }

    #[test]
    fn what_takes_too_long_for_the_histogram_is_noted_as_its_end() {
        let mut latencies = Latencies::new();
        latencies.note(Duration::from_secs(1_000_000));
        assert!(latencies.longest().unwrap() >= Duration::from_secs(3600));
    }
}
