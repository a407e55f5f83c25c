//! The message headers of a signed call. They are not signed, and grant no right. A call with a MAC has the same
//! fields in its own header, see `frame`.
//!
//! | header | on | holds |
//! |---|---|---|
//! | `Exosuit-Timeout-Ms` | a call | how long its caller waits |
//! | `Exosuit-Depth` | a call | how many calls it is inside of |
//! | `traceparent`, `tracestate` | a call | the W3C trace context |
//! | `Exosuit-Code` | an answer | the code of an error |
//!
//! Nobody signs them. So the time has an upper bound here, and the depth decides only whether a call
//! waits for its turn, and how deeply it may call on. Values with other bytes than printable ASCII,
//! or too long ones, count as missing.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use exosuit_core::{Code, Context};

/// How many milliseconds the caller will wait.
const TIMEOUT: &str = "Exosuit-Timeout-Ms";
/// The number of calls that this call is nested in.
const DEPTH: &str = "Exosuit-Depth";
/// The kind of an error.
const CODE: &str = "Exosuit-Code";

const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";

/// Longer than any that the standard asks for.
const MAX_PARENT: usize = 128;
const MAX_STATE: usize = 512;

tokio::task_local! {
    static TRACE: Trace;
}

/// The W3C trace context of a call.
///
/// It belongs to a future: each call over the lattice that is made while that future is polled
/// passes it on.
///
/// ```
/// use exosuit_lattice::Trace;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let trace = Trace { parent: Some("00-abc-def-01".to_owned()), state: None };
/// assert_eq!(Trace::current(), Trace::default());
/// let inside = trace.clone().scope(async { Trace::current() }).await;
/// assert_eq!(inside, trace);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// `traceparent`.
    pub parent: Option<String>,
    /// `tracestate`.
    pub state: Option<String>,
}

impl Trace {
    /// The trace of the running future. Empty outside of [`Self::scope`], also in a task that was
    /// spawned inside.
    pub fn current() -> Self {
        TRACE.try_with(Clone::clone).unwrap_or_default()
    }

    /// Whether it is empty. A call then needs no scope.
    pub(super) fn is_none(&self) -> bool {
        self.parent.is_none() && self.state.is_none()
    }

    /// Runs a call as a part of this trace.
    pub async fn scope<F: Future>(self, call: F) -> F::Output {
        TRACE.scope(self, call).await
    }

    /// Parses these texts, and drops those that must not be passed on.
    pub(super) fn parse(parent: &str, state: &str) -> Self {
        let take = |text: &str, longest| {
            let is_fit = (1..=longest).contains(&text.len()) && is_line(text);
            is_fit.then(|| text.to_owned())
        };
        Self {
            parent: take(parent, MAX_PARENT),
            state: take(state, MAX_STATE),
        }
    }

    /// The trace in the headers of a call.
    fn of(headers: &HeaderMap) -> Self {
        Self {
            parent: text(headers, TRACE_PARENT, MAX_PARENT),
            state: text(headers, TRACE_STATE, MAX_STATE),
        }
    }

    /// Adds it to the headers of a call.
    fn write(self, headers: &mut HeaderMap) {
        for (name, value) in [(TRACE_PARENT, self.parent), (TRACE_STATE, self.state)] {
            if let Some(value) = value.filter(|value| is_line(value)) {
                headers.insert(name, value);
            }
        }
    }
}

/// The headers of a call.
pub(super) fn of_call(context: Context) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TIMEOUT, left(context).to_string());
    headers.insert(DEPTH, context.depth.to_string());
    Trace::current().write(&mut headers);
    headers
}

/// The headers of an answer with an error.
pub(super) fn of_error(code: Code) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CODE, code.as_str());
    headers
}

/// The context of a call from its headers. It waits as long as its caller, but at most `longest`;
/// for `usual` if the caller does not say.
pub(super) fn context(headers: Option<&HeaderMap>, usual: Duration, longest: Duration) -> Context {
    let timeout = headers.and_then(|headers| text(headers, TIMEOUT, 20)?.parse().ok());
    let timeout = timeout.map_or(usual, Duration::from_millis).min(longest);
    let depth = headers.and_then(|headers| text(headers, DEPTH, 3)?.parse().ok());
    Context {
        deadline: Instant::now() + timeout,
        depth: depth.unwrap_or_default(),
        caller: None,
        within: None,
    }
}

/// The milliseconds that are left until a deadline.
pub(super) fn left(context: Context) -> u64 {
    let left = context.deadline.saturating_duration_since(Instant::now());
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

/// The trace of a call, empty without headers.
pub(super) fn trace(headers: Option<&HeaderMap>) -> Trace {
    headers.map(Trace::of).unwrap_or_default()
}

/// The code of an error, if the answer has one that is known here.
pub(super) fn code(headers: Option<&HeaderMap>) -> Option<Code> {
    code_of(&text(headers?, CODE, 64)?)
}

/// The kind of error that has this text.
pub(super) fn code_of(text: &str) -> Option<Code> {
    Code::ALL.iter().find(|code| code.as_str() == text).copied()
}

/// A header of at most this many bytes of printable ASCII.
fn text(headers: &HeaderMap, name: &str, longest: usize) -> Option<String> {
    let value = headers.get(name)?.as_str();
    (value.len() <= longest && is_line(value)).then(|| value.to_owned())
}

/// Whether a value is printable ASCII.
fn is_line(value: &str) -> bool {
    value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(entries: &[(&str, &str)]) -> HeaderMap {
        entries
            .iter()
            .map(|(name, value)| {
                (
                    (*name).parse().expect("a name"),
                    (*value).parse().expect("a value"),
                )
            })
            .collect()
    }

    #[tokio::test]
    async fn a_call_inside_a_call_belongs_to_its_trace() {
        let received = trace(Some(&headers(&[
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
        ])));
        let sent = received
            .clone()
            .scope(async { of_call(Context::until(Instant::now())) })
            .await;
        assert_eq!(trace(Some(&sent)), received);
        assert_eq!(
            trace(Some(&of_call(Context::until(Instant::now())))),
            Trace::default()
        );
    }

    #[test]
    fn what_is_no_trace_is_not_passed_on() {
        let long = "a".repeat(MAX_STATE + 1);
        let received = trace(Some(&headers(&[
            ("traceparent", "é"),
            ("tracestate", &long),
        ])));
        assert_eq!(received, Trace::default());
    }

    #[test]
    fn a_caller_shortens_the_wait_and_does_not_lengthen_it() {
        let (usual, longest) = (Duration::from_secs(2), Duration::from_secs(10));
        for (given, seconds) in [
            (None, 2),
            (Some("500"), 0),
            (Some("5000"), 5),
            (Some("99999999999"), 10),
            (Some("x"), 2),
        ] {
            let headers = given.map(|given| headers(&[(TIMEOUT, given), (DEPTH, "7")]));
            let context = context(headers.as_ref(), usual, longest);
            let left = context.deadline.saturating_duration_since(Instant::now());
            let expected = Duration::from_millis(if seconds == 0 { 500 } else { seconds * 1_000 });
            assert!(
                left <= expected && left + Duration::from_millis(400) > expected,
                "{given:?}: {left:?}"
            );
            assert_eq!(context.depth, if given.is_some() { 7 } else { 0 });
        }
    }

    #[test]
    fn an_error_keeps_its_kind() {
        assert_eq!(
            code(Some(&of_error(Code::Overloaded))),
            Some(Code::Overloaded)
        );
        assert_eq!(code(Some(&headers(&[(CODE, "nonsense")]))), None);
        assert_eq!(code(None), None);
    }
}
