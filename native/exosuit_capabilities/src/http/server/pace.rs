//! Enforces a minimum rate of a client while the server waits for it.
//!
//! Slow clients would otherwise keep connections and buffers at no cost of their own ("slowloris"). Only the time
//! in which the server waits counts: the time of the actor is not held against the client.
//!
//! # The clock
//!
//! It runs only from the first poll that waits until the next byte. When the waiting of a window
//! adds up to its length, the bytes that passed in it are compared with the minimum, and the next
//! window begins. A client that sends nothing is found after one window; one that sends a byte now
//! and then, after the window in which it fell below the rate.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The minimum progress of a client while the server waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tempo {
    /// The waiting time over which bytes are counted. Also the longest wait without any byte.
    window: Duration,
    /// The bytes that must pass in one window.
    least: u64,
}

impl Tempo {
    /// A tempo of at least one byte in each window, and of this rate on average.
    pub(crate) fn new(window: Duration, bytes_per_second: u64) -> Self {
        let milliseconds = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let least = bytes_per_second.saturating_mul(milliseconds) / 1_000;
        Self {
            window,
            least: least.max(1),
        }
    }

    /// The length of a window.
    pub(crate) fn window(&self) -> Duration {
        self.window
    }

    /// The bytes that must pass in a window.
    pub(crate) fn least(&self) -> u64 {
        self.least
    }
}

/// Watches one client. Its clock runs only while the server waits. A client that never keeps the server
/// waiting costs no timer.
///
/// The timer is made with the first wait, and reset afterwards.
pub(crate) struct Pace {
    clock: Clock,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// A client that has not kept anybody waiting.
    pub(crate) fn new(tempo: Tempo) -> Self {
        Self {
            clock: Clock::new(tempo),
            timer: None,
        }
    }

    /// Begins again with another tempo, for example after the first byte.
    pub(crate) fn change(&mut self, tempo: Tempo) {
        self.clock = Clock::new(tempo);
    }

    /// Notes that bytes passed. The clock stops until the next wait.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.clock.passed(bytes, Instant::now);
    }

    /// Ready when the client has been too slow. Poll it whenever the server waits for the client.
    pub(crate) fn poll_slow(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.clock.wait(Instant::now) {
            Wait::GoesOn => {}
            Wait::Until(end) => match &mut self.timer {
                Some(timer) => timer.as_mut().reset(end),
                None => self.timer = Some(Box::pin(sleep_until(end))),
            },
            Wait::IsOver => return Poll::Ready(()),
        }
        while let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(context));
            match self.clock.end() {
                Some(next) => timer.as_mut().reset(next),
                None => break,
            }
        }
        Poll::Ready(())
    }
}

/// The result of beginning to wait.
enum Wait {
    /// It was waiting already.
    GoesOn,
    /// The window ends then.
    Until(Instant),
    /// The client has been too slow.
    IsOver,
}

/// The waiting and the bytes of one window.
struct Clock {
    tempo: Tempo,
    /// Since when the server waits now.
    since: Option<Instant>,
    /// The waiting in this window before `since`.
    waited: Duration,
    passed: u64,
}

impl Clock {
    fn new(tempo: Tempo) -> Self {
        Self {
            tempo,
            since: None,
            waited: Duration::ZERO,
            passed: 0,
        }
    }

    /// Begins to wait, unless it waits already. A window that ended with the last bytes is settled
    /// first: no timer need be so fine that it ends within one wait.
    fn wait(&mut self, now: impl FnOnce() -> Instant) -> Wait {
        if self.since.is_some() {
            return Wait::GoesOn;
        }
        if self.waited >= self.tempo.window {
            if self.passed < self.tempo.least {
                return Wait::IsOver;
            }
            self.next_window();
        }
        let now = now();
        self.since = Some(now);
        Wait::Until(now + self.tempo.window.saturating_sub(self.waited))
    }

    /// Begins a window.
    fn next_window(&mut self) {
        self.passed = 0;
        self.waited = Duration::ZERO;
    }

    fn passed(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now().saturating_duration_since(since);
        }
        self.passed = self.passed.saturating_add(bytes as u64);
    }

    /// Ends the window; gives the end of the next one unless the client was too slow. The next one
    /// began with this wait: a client that stops is found one window after its last byte.
    fn end(&mut self) -> Option<Instant> {
        let since = self.since?;
        if self.passed < self.tempo.least {
            return None;
        }
        self.next_window();
        Some(since + self.tempo.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A client in a time of its own.
    struct Client {
        clock: Clock,
        now: Instant,
        end: Instant,
    }

    impl Client {
        fn new(bytes_per_second: u64) -> Self {
            let now = Instant::now();
            Self {
                clock: Clock::new(Tempo::new(10 * SECOND, bytes_per_second)),
                now,
                end: now,
            }
        }

        /// Keeps the server waiting so long; after how long it was found too slow.
        fn keep_waiting(&mut self, seconds: u32) -> Option<Duration> {
            let (begun, now) = (self.now, self.now);
            match self.clock.wait(|| now) {
                Wait::GoesOn => {}
                Wait::Until(end) => self.end = end,
                Wait::IsOver => return Some(Duration::ZERO),
            }
            self.now += seconds * SECOND;
            while self.end <= self.now {
                match self.clock.end() {
                    Some(next) => self.end = next,
                    None => return Some(self.end - begun),
                }
            }
            None
        }

        fn pass(&mut self, bytes: usize) {
            let now = self.now;
            self.clock.passed(bytes, || now);
        }
    }

    #[test]
    fn a_window_asks_for_its_share_of_the_rate_and_for_one_byte_at_least() {
        for (window, rate, least) in [(10, 240, 2_400), (10, 0, 1), (0, 240, 1)] {
            assert_eq!(Tempo::new(window * SECOND, rate).least, least);
        }
    }

    #[test]
    fn a_client_that_stops_is_found_at_the_end_of_one_window() {
        let mut client = Client::new(100);
        // Bytes of before, however many, are no credit for later.
        client.pass(1 << 30);
        assert_eq!(client.keep_waiting(60), Some(10 * SECOND));
    }

    #[test]
    fn a_client_that_dribbles_is_found_and_one_at_the_rate_is_not() {
        for (bytes, is_slow) in [(99, true), (112, false)] {
            let mut client = Client::new(100);
            let found = (0..100).any(|_| {
                let found = client.keep_waiting(1).is_some();
                client.pass(bytes);
                found
            });
            assert_eq!(found, is_slow, "{bytes} bytes a second");
        }
    }

    #[test]
    fn a_client_that_dribbles_faster_than_timers_are_is_found() {
        let mut client = Client::new(100);
        client.clock.tempo = Tempo {
            window: Duration::from_micros(100),
            least: 1_000,
        };
        for _ in 0..10 {
            let now = client.now;
            assert!(!matches!(client.clock.wait(|| now), Wait::IsOver));
            client.now += Duration::from_micros(10);
            client.pass(1);
        }
        assert!(matches!(client.clock.wait(Instant::now), Wait::IsOver));
    }

    #[test]
    fn the_time_of_others_is_not_the_clients() {
        let mut client = Client::new(100);
        for _ in 0..9 {
            assert_eq!(client.keep_waiting(1), None);
            client.pass(1);
            client.now += 60 * SECOND;
        }
        assert_eq!(client.keep_waiting(2), Some(SECOND));
    }
}
