//! Limits how much an actor may write to the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{Id, LogLevel, Notice, Observe};

/// How many actors have a bucket before quiet ones are removed: more than any host runs.
const MAX_ACTORS: usize = 16_384;

/// How often dropped lines are reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Passes the lines of actors on to [`Observe`], up to a rate.
///
/// One gate serves a host. Each actor has a token bucket in it for its stdout, its stderr and the
/// logging capability together. Dropped lines are counted, and reported at most once a second for
/// each actor: with a later line, by [`settle`](Self::settle) or by [`forget`](Self::forget).
pub struct LogGate {
    observe: Arc<dyn Observe>,
    lines_per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<Id, Bucket>>,
    /// The dropped lines of all actors that are not reported yet. `settle` needs no lock if there
    /// are none.
    unreported: AtomicU64,
}

impl LogGate {
    /// The longest line in bytes; longer ones are cut. Together with the rate it also bounds the
    /// bytes.
    pub const MAX_LINE: usize = 4_096;

    /// A gate that lets each actor write `burst` lines at once, and `lines_per_second` in the long
    /// run.
    pub fn new(observe: Arc<dyn Observe>, lines_per_second: u32, burst: u32) -> Self {
        Self {
            observe,
            lines_per_second: lines_per_second.into(),
            burst: burst.into(),
            buckets: Mutex::default(),
            unreported: AtomicU64::new(0),
        }
    }

    /// Passes a line on, or drops and counts it.
    pub fn write(&self, actor: &Id, level: LogLevel, text: &str) {
        self.write_at(actor, level, text, Instant::now());
    }

    /// Reports dropped lines, unless the last report is less than a second old. It is called at the
    /// end of a call, because no later line may come.
    pub fn settle(&self, actor: &Id) {
        if self.unreported.load(Relaxed) > 0 {
            self.settle_at(actor, Instant::now());
        }
    }

    /// Removes an actor that has stopped, and reports its dropped lines.
    pub fn forget(&self, actor: &Id) {
        let bucket = self.buckets.lock().remove(actor);
        self.report(actor, bucket.map_or(0, |bucket| bucket.dropped));
    }

    fn write_at(&self, actor: &Id, level: LogLevel, text: &str, now: Instant) {
        let (passes, dropped) = {
            let mut buckets = self.buckets.lock();
            let bucket = self.bucket(&mut buckets, actor, now);
            let passes = bucket.acquire(self.lines_per_second, self.burst, now);
            (passes, bucket.dropped_for_long(now))
        };
        self.unreported.fetch_add(u64::from(!passes), Relaxed);
        self.report(actor, dropped);
        if passes {
            self.observe.observe(Notice::Log {
                actor: actor.clone(),
                level,
                text: cut(text),
            });
        }
    }

    fn settle_at(&self, actor: &Id, now: Instant) {
        let mut buckets = self.buckets.lock();
        let dropped = buckets
            .get_mut(actor)
            .map_or(0, |bucket| bucket.dropped_and_due(now));
        drop(buckets);
        self.report(actor, dropped);
    }

    fn bucket<'a>(
        &self,
        buckets: &'a mut HashMap<Id, Bucket>,
        actor: &Id,
        now: Instant,
    ) -> &'a mut Bucket {
        if buckets.len() >= MAX_ACTORS && !buckets.contains_key(actor) {
            let unreported = &self.unreported;
            buckets.retain(|_, bucket| {
                let keep = bucket.filled_at + REPORT_EVERY > now;
                unreported.fetch_sub(if keep { 0 } else { bucket.dropped }, Relaxed);
                keep
            });
        }
        buckets
            .entry(actor.clone())
            .or_insert_with(|| Bucket::full(self.burst, now))
    }

    fn report(&self, actor: &Id, lines: u64) {
        if lines > 0 {
            self.unreported.fetch_sub(lines, Relaxed);
            let actor = actor.clone();
            self.observe.observe(Notice::LogDropped { actor, lines });
        }
    }
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
    dropped: u64,
    dropped_since: Option<Instant>,
    reported_at: Option<Instant>,
}

impl Bucket {
    fn full(burst: f64, now: Instant) -> Self {
        Self {
            tokens: burst,
            filled_at: now,
            dropped: 0,
            dropped_since: None,
            reported_at: None,
        }
    }

    fn acquire(&mut self, per_second: f64, burst: f64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * per_second).min(burst);
        self.filled_at = now;
        let passes = self.tokens >= 1.0;
        if passes {
            self.tokens -= 1.0;
        } else {
            self.dropped += 1;
            self.dropped_since.get_or_insert(now);
        }
        passes
    }

    /// The lines to report while others still come: those of a second, so that a flood makes one
    /// report.
    fn dropped_for_long(&mut self, now: Instant) -> u64 {
        match self.dropped_since {
            Some(since) if now >= since + REPORT_EVERY => self.take_dropped(now),
            _ => 0,
        }
    }

    fn dropped_and_due(&mut self, now: Instant) -> u64 {
        match self.reported_at {
            Some(reported) if now < reported + REPORT_EVERY => 0,
            _ => self.take_dropped(now),
        }
    }

    fn take_dropped(&mut self, now: Instant) -> u64 {
        if self.dropped > 0 {
            self.reported_at = Some(now);
        }
        self.dropped_since = None;
        std::mem::take(&mut self.dropped)
    }
}

fn cut(text: &str) -> String {
    if text.len() <= LogGate::MAX_LINE {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(LogGate::MAX_LINE)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<Notice>>);

    impl Observe for Seen {
        fn observe(&self, notice: Notice) {
            self.0.lock().push(notice);
        }
    }

    impl Seen {
        fn lines(&self) -> usize {
            let seen = self.0.lock();
            let line = |notice: &&Notice| matches!(notice, Notice::Log { .. });
            seen.iter().filter(line).count()
        }

        fn dropped(&self) -> Vec<u64> {
            let seen = self.0.lock();
            let dropped = |notice: &Notice| match notice {
                Notice::LogDropped { lines, .. } => Some(*lines),
                _ => None,
            };
            seen.iter().filter_map(dropped).collect()
        }
    }

    fn gate(lines_per_second: u32, burst: u32) -> (LogGate, Arc<Seen>, Id) {
        let seen = Arc::new(Seen::default());
        let gate = LogGate::new(seen.clone(), lines_per_second, burst);
        (gate, seen, Id::parse("talker").expect("an id"))
    }

    fn write(gate: &LogGate, actor: &Id, lines: usize, now: Instant) {
        for _ in 0..lines {
            gate.write_at(actor, LogLevel::Info, "a line", now);
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (gate, seen, actor) = gate(10, 5);
        let start = Instant::now();

        write(&gate, &actor, 20, start);
        assert_eq!(seen.lines(), 5);

        write(&gate, &actor, 20, start + Duration::from_millis(300));
        assert_eq!(seen.lines(), 8);
    }

    #[test]
    fn actors_do_not_share_a_bucket() {
        let (gate, seen, actor) = gate(1, 5);
        let now = Instant::now();

        write(&gate, &actor, 20, now);
        write(&gate, &Id::parse("other").expect("an id"), 3, now);

        assert_eq!(seen.lines(), 8);
    }

    #[test]
    fn drops_are_reported_once_a_second_while_lines_come() {
        let (gate, seen, actor) = gate(1, 1);
        let start = Instant::now();

        for tenth in 0..=25 {
            write(
                &gate,
                &actor,
                10,
                start + Duration::from_millis(tenth * 100),
            );
        }

        assert_eq!(seen.dropped().len(), 2);
    }

    #[test]
    fn every_line_is_passed_or_reported() {
        let (gate, seen, actor) = gate(10, 5);
        let start = Instant::now();

        write(&gate, &actor, 100, start);
        gate.settle_at(&actor, start);
        assert_eq!(seen.dropped(), [95]);

        write(&gate, &actor, 100, start);
        gate.settle_at(&actor, start);
        assert_eq!(seen.dropped(), [95], "a second report within a second");

        gate.forget(&actor);
        assert_eq!(seen.dropped(), [95, 100]);
        assert_eq!(gate.unreported.load(Relaxed), 0);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let (gate, seen, actor) = gate(1, 1);

        gate.write(&actor, LogLevel::Info, &"é".repeat(LogGate::MAX_LINE));

        let notices = seen.0.lock();
        let Some(Notice::Log { text, .. }) = notices.first() else {
            panic!("no line");
        };
        assert_eq!(text.len(), LogGate::MAX_LINE + '…'.len_utf8());
    }

    #[test]
    fn actors_that_went_quiet_make_room() {
        let (gate, _, _) = gate(1, 1);
        let start = Instant::now();

        for n in 0..MAX_ACTORS {
            write(&gate, &Id::parse(&n.to_string()).expect("an id"), 2, start);
        }
        let later = start + REPORT_EVERY;
        write(&gate, &Id::parse("late").expect("an id"), 1, later);

        assert_eq!(gate.buckets.lock().len(), 1);
        assert_eq!(gate.unreported.load(Relaxed), 0);
    }
}
