//! A provider in the table. Each call to its capability ends in bounded time.
//!
//! Capabilities are foreign code: built-in providers with sockets and files, or processes in Elixir that may be
//! stuck. The router waits for none of them longer than `provider_timeout`, since a wait holds the lock of a link.
//! After a timeout the provider may still finish the work; what it does then has no effect on the table.
//!
//! | function | the provider's | a timeout means |
//! |---|---|---|
//! | `prepare` | first phase of a link | the put fails, the former link serves |
//! | `check` | check of a link | the check fails |
//! | `switch` | second phase | nothing: the new link counts as taken |
//! | `unlink` | release of a link | the deletion reports it; the link is gone |
//! | `stop` | end | the deletion reports it; running calls are dropped |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use exosuit_core::{Capability, Code, Contract, Error, Id, Link, Pending, Prepared, bounded};
use tokio_util::sync::CancellationToken;

use crate::names::both;

/// One registration of a provider. A later one under the same id is another `Provider`.
pub(crate) struct Provider {
    /// The id that it was registered by.
    pub(crate) id: Id,
    /// `V…`, unless that is its id.
    pub(crate) key: Option<Id>,
    /// Distinguishes registrations. It is never 0.
    pub(crate) number: u64,
    /// The implementation. It is called outside of the lock of the table.
    pub(crate) capability: Arc<dyn Capability>,
    /// Copied at the registration, as the table reads them under its lock.
    pub(crate) contracts: Vec<Contract>,
    /// Ends the calls that still run in it.
    pub(crate) stopped: CancellationToken,
    /// The provider is being deleted: no new call goes to it.
    revoked: AtomicBool,
    timeout: Duration,
}

impl Provider {
    /// A registration with this number.
    ///
    /// A key that equals the id is dropped, so that no index holds one name twice.
    pub(crate) fn new(
        id: Id,
        key: Option<Id>,
        number: u64,
        capability: Arc<dyn Capability>,
        timeout: Duration,
    ) -> Self {
        Self {
            key: key.filter(|key| *key != id),
            id,
            number,
            contracts: capability.contracts().to_vec(),
            capability,
            stopped: CancellationToken::new(),
            revoked: AtomicBool::new(false),
            timeout,
        }
    }

    /// Closes the provider to new calls, before it is asked to stop. Needs no lock.
    ///
    /// It stays in the table until its locks are acquired and its links are released.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Whether it is being deleted.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// The names that links may use for it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        both(&self.id, self.key.as_ref().map(Id::as_str))
    }

    /// Has the provider prepare a link, in place of its former one. If the result is dropped, the
    /// provider keeps the former one.
    ///
    /// # Errors
    ///
    /// The provider's own error: a setting, a port, a file. `deadline` after `timeout`.
    pub(crate) async fn prepare(&self, link: &Arc<Link>) -> Result<Prepared, Error> {
        self.in_time(self.capability.prepare(self.own(link))).await
    }

    /// Asks the provider whether it would take a link now.
    pub(crate) async fn check(&self, link: &Arc<Link>) -> Result<(), Error> {
        self.in_time(self.capability.check(self.own(link))).await
    }

    /// Switches to the prepared link. This cannot fail: a provider that is slow to release its
    /// former link serves the new one in any case.
    pub(crate) async fn switch(&self, prepared: Prepared) {
        let switch = async {
            prepared.switch().await;
            Ok(())
        };
        let _slow = self.in_time(Box::pin(switch)).await;
    }

    /// Has the provider release a link.
    pub(crate) async fn unlink(&self, link: &Arc<Link>) -> Result<(), Error> {
        self.in_time(self.capability.unlink(self.own(link))).await
    }

    /// The settings of a link that have no effect, in words.
    pub(crate) fn warnings(&self, link: &Arc<Link>) -> Vec<String> {
        self.capability.warnings(&self.own(link))
    }

    /// The link with the provider's id in place of its key, because the capability knows only its
    /// id.
    ///
    /// Without that, a capability would keep two records of one link that was put by key and
    /// deleted by id.
    fn own(&self, link: &Arc<Link>) -> Arc<Link> {
        let is_me = |end: &Id| self.key.as_ref() == Some(end);
        if !is_me(&link.source) && !is_me(&link.target) {
            return Arc::clone(link);
        }
        let mut own = Link::clone(link);
        for end in [&mut own.source, &mut own.target] {
            if is_me(end) {
                *end = self.id.clone();
            }
        }
        Arc::new(own)
    }

    /// Stops the provider. Calls that it does not end itself are dropped.
    ///
    /// The token is cancelled after the capability has ended or run out of time, so that it can
    /// answer its last calls itself.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        let ended = self.in_time(self.capability.stop()).await;
        self.stopped.cancel();
        ended
    }

    /// Waits for the provider, but not forever: it would hold its lock for good.
    ///
    /// The text of a timeout names the provider. Any other error is passed on as it is.
    async fn in_time<T>(&self, work: Pending<T>) -> Result<T, Error> {
        let result = bounded(work, Instant::now() + self.timeout, None).await;
        result.map_err(|error| match error.code {
            Code::Deadline => {
                let detail = format!("provider {} did not answer in {:?}", self.id, self.timeout);
                Error::new(Code::Deadline, detail)
            }
            _ => error,
        })
    }
}
