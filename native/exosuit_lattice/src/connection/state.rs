//! The state of a connection, and the notices about it.
//!
//! The state answers "is there a connection now". The notices say what happened. A change of state
//! sends its notice first, under the lock of the state, so the two never contradict each other.
//!
//! | call | new state | notice |
//! |---|---|---|
//! | `event(Connected)` | `Connected` | `Connected` |
//! | `lost` | `Connecting(None)` | `Disconnected`, if it was connected |
//! | `failed` | `Connecting(error)` | `Failed(error)`, if the error is another one |
//! | `close` | `Closed`, for good | `Closed` |

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Event, ServerError};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use crate::Error;
use crate::error::clip;

/// How many notices wait for a slow reader; the oldest are dropped first.
const NOTICES: usize = 256;

/// How often a slow consumer is reported. A slow reader may lose thousands of messages a second.
const SLOW_EVERY: Duration = Duration::from_secs(1);

/// Whether there is a connection.
///
/// `Closed` is final: no event changes it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is no connection now. Holds the error of the last attempt.
    Connecting(Option<Error>),
    /// There is a connection.
    Connected,
    /// It was closed for good.
    Closed,
}

/// An event of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A connection was made, for the first time or again.
    Connected,
    /// The connection was lost. Attempts follow.
    Disconnected,
    /// An attempt failed. Reported once while further attempts fail in the same way.
    Failed(Error),
    /// One of our subscriptions was too slow, and lost messages.
    SlowConsumer,
    /// The server reported an error: a missing permission, a slow consumer, too many connections.
    Refused(Error),
    /// The server will stop, and asks for a move to another one.
    LameDuck,
    /// It was closed, for good.
    Closed,
}

/// The state and the notices of one connection. The client's callbacks change it, and all others
/// read.
pub(crate) struct Tower {
    /// The present state.
    state: watch::Sender<State>,
    /// The events. Sending succeeds without receivers, too.
    notices: broadcast::Sender<Notice>,
    /// How often the connection was lost.
    losses: AtomicU64,
    /// The error of the credentials at the last attempt.
    login: Mutex<Option<Error>>,
    /// When a slow consumer was reported last.
    slow: Mutex<Option<Instant>>,
}

impl Tower {
    /// Before the first attempt.
    pub(crate) fn new() -> Self {
        Self {
            state: watch::Sender::new(State::Connecting(None)),
            notices: broadcast::Sender::new(NOTICES),
            losses: AtomicU64::new(0),
            login: Mutex::new(None),
            slow: Mutex::new(None),
        }
    }

    /// The state and its changes.
    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The notices from now on.
    pub(crate) fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Whether messages can be sent now.
    pub(crate) fn is_connected(&self) -> bool {
        *self.state.borrow() == State::Connected
    }

    /// How often the connection was lost. Requests from before the last loss get no answer.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    /// Whether the connection was closed for good.
    pub(crate) fn is_closed(&self) -> bool {
        *self.state.borrow() == State::Closed
    }

    /// Stores the result of preparing the credentials.
    ///
    /// `None` if they were fine. The client hides the reason of a failure; `failed` finds it here.
    pub(crate) fn login(&self, outcome: Option<Error>) {
        *self.login.lock() = outcome;
    }

    /// An attempt to connect failed; `text` is the client's error.
    ///
    /// The error of our own credentials comes first, because the server's text would only say
    /// "authorization violation".
    pub(crate) fn failed(&self, text: &str) {
        let error = self.login.lock().clone().unwrap_or_else(|| classify(text));
        self.turn(
            State::Connecting(Some(error.clone())),
            Notice::Failed(error),
        );
    }

    /// Applies an event of the client. Two kinds are ignored: errors that another event reports,
    /// and the beginning of a drain.
    pub(crate) fn event(&self, event: Event) {
        match event {
            Event::Connected => self.turn(State::Connected, Notice::Connected),
            Event::Disconnected => self.lost(),
            Event::Closed => self.close(),
            Event::LameDuckMode => self.tell(Notice::LameDuck),
            Event::SlowConsumer(_) => self.slow(),
            Event::ServerError(error) => self.tell(Notice::Refused(refusal(&error))),
            // The pool of servers keeps no error for a name that does not resolve.
            Event::ClientError(error) if error.to_string().ends_with("DNS error") => {
                self.failed("DNS error");
            }
            Event::ClientError(_) | Event::Draining => {}
        }
    }

    /// The connection was lost, if there was one.
    ///
    /// It may be called twice for one loss, by an event and before the next attempt. Only the first
    /// call counts it.
    pub(crate) fn lost(&self) {
        self.change(
            State::Connecting(None),
            Notice::Disconnected,
            |state, _to| {
                let was_there = *state == State::Connected;
                if was_there {
                    self.losses.fetch_add(1, Ordering::SeqCst);
                }
                was_there
            },
        );
    }

    /// A subscription was too slow.
    ///
    /// At most one notice a second.
    pub(crate) fn slow(&self) {
        let mut told = self.slow.lock();
        if told.is_none_or(|at| at.elapsed() >= SLOW_EVERY) {
            *told = Some(Instant::now());
            self.tell(Notice::SlowConsumer);
        }
    }

    /// Closes it for good. The client is ended by others.
    pub(crate) fn close(&self) {
        self.turn(State::Closed, Notice::Closed);
    }

    /// Changes the state, unless it is closed or the same. An attempt that fails in the same way is
    /// therefore reported once.
    fn turn(&self, to: State, notice: Notice) {
        self.change(to, notice, |state, to| {
            !matches!(state, State::Closed) && state != to
        });
    }

    /// Sends the notice before the new state, so that a reader that waited for the state has the
    /// notice already.
    fn change(&self, to: State, notice: Notice, is_news: impl Fn(&State, &State) -> bool) {
        self.state.send_if_modified(|state| {
            let is_news = is_news(state, &to);
            if is_news {
                self.tell(notice);
                *state = to;
            }
            is_news
        });
    }

    /// Sends a notice.
    fn tell(&self, notice: Notice) {
        // Nobody may be listening.
        let _ = self.notices.send(notice);
    }
}

/// The kind of a failed attempt. The client has only a text, so words decide: a text that is not
/// recognized is `Unreachable`.
fn classify(text: &str) -> Error {
    let lower = text.to_lowercase();
    if lower.contains("authorization violation") || lower.contains("authentication") {
        Error::Unauthorized
    } else if ["tls", "certificate", "alert"]
        .iter()
        .any(|word| lower.contains(word))
    {
        Error::Tls(clip(text))
    } else {
        Error::Unreachable(clip(text))
    }
}

/// The error of a message of the server. "Authentication expired" is how it ends a connection whose
/// token ran out.
fn refusal(error: &ServerError) -> Error {
    match error {
        ServerError::AuthorizationViolation => Error::Unauthorized,
        ServerError::SlowConsumer(_) => Error::NotPermitted("slow consumer".to_owned()),
        ServerError::Other(text) if text.to_lowercase().contains("authentication expired") => {
            Error::ExpiredCredentials("the server ended the connection".to_owned())
        }
        ServerError::Other(text) => Error::NotPermitted(clip(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(notices: &mut broadcast::Receiver<Notice>) -> Vec<Notice> {
        std::iter::from_fn(|| notices.try_recv().ok()).collect()
    }

    #[test]
    fn attempts_that_fail_alike_are_told_once() {
        let tower = Tower::new();
        let mut notices = tower.notices();
        for _ in 0..3 {
            tower.failed("IO error: Connection refused");
        }
        let refused = Error::Unreachable("IO error: Connection refused".to_owned());
        assert_eq!(taken(&mut notices), [Notice::Failed(refused.clone())]);
        assert_eq!(*tower.state().borrow(), State::Connecting(Some(refused)));

        tower.failed("authorization violation: nats: authorization violation");
        assert_eq!(taken(&mut notices), [Notice::Failed(Error::Unauthorized)]);
    }

    #[test]
    fn after_the_end_nothing_is_told() {
        let tower = Tower::new();
        let mut notices = tower.notices();
        tower.event(Event::Connected);
        tower.close();
        tower.failed("IO error");
        tower.event(Event::Connected);
        assert_eq!(taken(&mut notices), [Notice::Connected, Notice::Closed]);
    }

    #[test]
    fn a_connection_is_lost_once() {
        let tower = Tower::new();
        let mut notices = tower.notices();
        tower.event(Event::Connected);
        tower.lost();
        tower.event(Event::Disconnected);
        assert_eq!(
            taken(&mut notices),
            [Notice::Connected, Notice::Disconnected]
        );
    }

    #[test]
    fn a_slow_consumer_is_no_flood_of_notices() {
        let tower = Tower::new();
        let mut notices = tower.notices();
        for _ in 0..1_000 {
            tower.event(Event::SlowConsumer(1));
        }
        assert_eq!(taken(&mut notices), [Notice::SlowConsumer]);
    }

    #[test]
    fn what_we_found_wrong_with_the_credentials_is_the_reason() {
        let tower = Tower::new();
        let expired = Error::ExpiredCredentials("yesterday".to_owned());
        tower.login(Some(expired.clone()));
        tower.failed("failed signing nonce");
        assert_eq!(*tower.state().borrow(), State::Connecting(Some(expired)));
    }

    #[test]
    fn an_expired_user_is_told_from_other_refusals() {
        let expired = refusal(&ServerError::Other(
            "User Authentication Expired".to_owned(),
        ));
        assert_eq!(expired.code(), "expired_credentials");
        let denied = refusal(&ServerError::Other(
            "Permissions Violation for Publish to \"a\"".to_owned(),
        ));
        assert_eq!(denied.code(), "not_permitted");
    }
}
