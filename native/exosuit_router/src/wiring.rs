//! Links and providers come and go in any order, and each provider gets its links.
//!
//! A change of a link has two phases. It is checked against the table and prepared by the provider,
//! and only then replaces the old link. If it is refused at any step, nothing has changed. A
//! deletion cancels every earlier put, also one that still waits: none of them takes effect later.
//!
//! Every wait has an end: for the locks of a link, and for each answer of a provider.
//!
//! # The life of a link
//!
//! ```text
//! put_link ──► checked ──► prepared by the provider ──► switched, in force
//!                 │                │
//!                 └── refused      └── refused: the former link serves on
//! ```
//!
//! | status (`LinkStatus`) | meaning |
//! |---|---|
//! | `Waiting` | an end is not on this host; the link is handed over when it comes |
//! | `InForce` | calls go through it |
//! | `Refused` | its provider refused it, its claims do not name it, or other code runs at an end |
//!
//! A link to a provider that is not here is put without a provider. `put_provider` hands it over
//! later.
//!
//! # Why two phases
//!
//! A provider may have to bind a port, open a file or log in before it can serve a link. All of
//! that can fail, and happens in `prepare`, while the former link still serves. `switch` cannot
//! fail. So an update with a wrong setting costs no request.
//!
//! # Why locks by id
//!
//! Two changes of one link must reach its provider in the order of their requests, and a provider
//! that is replaced must release its links before its successor takes them. A change holds the
//! locks of both ends and of the provider. They are acquired in the order of the ids, so two
//! changes never wait for each other. A put that cannot get them within `Options::provider_timeout`
//! is refused with `deadline`, and has changed nothing.
//!
//! A deletion needs no lock to take effect: it revokes the link under the lock of the table, and
//! calls that are decided later do not see it. Only the release by the provider waits for the
//! locks. So an operator who takes a permission away does not wait for a provider that is stuck.

use std::sync::Arc;
use std::time::Instant;

use exosuit_core::{Capability, Error, Id, Link, LinkKey, Notice, bounded};
use futures_util::future::join_all;

use crate::changes::Change;
use crate::keyed_lock::KeyedLock;
use crate::links::Linked;
use crate::provider::Provider;
use crate::table::Placed;
use crate::{Router, refusal};

/// A link that was not handed to a provider, or that the provider refused.
///
/// [`Router::put_provider`] returns these: the provider runs, and serves its other links.
#[derive(Debug, Clone)]
pub struct RefusedLink {
    /// The link. It stays, without effect; putting it again tries again.
    pub link: Arc<Link>,
    /// Why.
    pub error: Error,
}

impl Router {
    /// Creates a link, or changes its settings. Its ends need not exist yet. An error changes
    /// nothing.
    ///
    /// The put counts from this call, not from the first poll: a deletion that is requested later
    /// cancels it.
    ///
    /// Putting the same link again is a success without effect. A link of the same key with another
    /// target, and with an interface in common, is a conflict: delete it first, or use another
    /// name.
    ///
    /// Poll the future to its end. A new link is in the table while its provider prepares it. If the
    /// future is dropped then, the link stays there without a provider, until it is put again or
    /// deleted.
    ///
    /// # Errors
    ///
    /// | code | reason |
    /// |---|---|
    /// | `conflict` | another link of this key covers one of its interfaces with another target |
    /// | `invalid_link` | both ends are providers, the provider has other contracts, or a setting is wrong |
    /// | `missing_claim` | the claims of the actor do not name the contract |
    /// | `deadline` | other changes of its ends, or the provider, did not end in time |
    /// | `dropped` | the link was deleted after this put was requested |
    ///
    /// Any other error is the provider's: a port in use, a file that cannot be read.
    pub fn put_link(&self, link: Link) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (router, link) = (self.shared(), Arc::new(link));
        let change = self.changes.begin(link.key());
        async move {
            let result = router.try_put_link(&link, &change).await;
            if let Err(error) = &result {
                router.observe_refused_link(&link, error);
            }
            result
        }
    }

    /// Checks whether a link would be accepted now. Changes nothing; a refusal is observed.
    ///
    /// It waits for the same locks as a put, so the answer holds for the state after all earlier
    /// changes. The errors are those of [`Self::put_link`], except `dropped`.
    pub fn check_link(&self, link: Link) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (router, link) = (self.shared(), Arc::new(link));
        async move {
            let result = router.try_check_link(&link).await;
            if let Err(error) = &result {
                router.observe_refused_link(&link, error);
            }
            result
        }
    }

    /// The check itself. The provider prepares the link and drops what it prepared, unless it has a
    /// cheaper way.
    async fn try_check_link(&self, link: &Arc<Link>) -> Result<(), Error> {
        let _lock = self.link_lock_in_time(link).await?;
        let provider = self.table.read().check_place(link)?;
        match provider {
            Some(provider) => provider.check(link).await,
            None => Ok(()),
        }
    }

    /// Deletes the links of a key, for all calls that are decided from now on, and cancels every
    /// earlier put of the key. The future ends when all their providers have released them, and
    /// returns the number of links. There may be none.
    ///
    /// No call that is decided after this function has returned goes through the links. Running
    /// calls are not ended. Dropping the future leaves them revoked, and in the table until the
    /// next change of the key.
    ///
    /// # Errors
    ///
    /// The first error of a provider that could not release its link. All links of the key are gone
    /// nevertheless.
    pub fn delete_link(
        &self,
        key: &LinkKey,
    ) -> impl Future<Output = Result<usize, Error>> + Send + use<> {
        self.delete_links(key, &|_link| true)
    }

    /// Deletes those links of a key that `goes` selects. The others stay, and keep their bindings.
    ///
    /// `goes` is called under the lock of the table, so it must not call the router. All earlier
    /// puts of the key are cancelled, also those of links that stay.
    pub fn delete_links(
        &self,
        key: &LinkKey,
        goes: &dyn Fn(&Link) -> bool,
    ) -> impl Future<Output = Result<usize, Error>> + Send + use<> {
        let router = self.shared();
        let links = self.revoke_links(key, goes);
        async move {
            let removing = links.iter().map(|linked| router.remove_locked(linked));
            let results = join_all(removing).await;
            results.into_iter().collect::<Result<(), _>>()?;
            Ok(links.len())
        }
    }

    /// Waits without a bound of its own: each holder of a lock is bounded by `provider_timeout`.
    async fn remove_locked(&self, linked: &Arc<Linked>) -> Result<(), Error> {
        let _lock = self.link_lock(&linked.link).await;
        self.remove_link(linked).await
    }

    /// Stops calls through the selected links of a key, and cancels the puts of the key.
    ///
    /// Voiding and revoking are one step under the write lock. A put checks `is_void` under the
    /// same lock before it inserts, so it comes either before both or after both.
    fn revoke_links(&self, key: &LinkKey, goes: &dyn Fn(&Link) -> bool) -> Vec<Arc<Linked>> {
        // A put needs the same lock to take effect, so each put is either cancelled or revoked.
        let mut table = self.table.write();
        self.changes.void(key);
        let group = table.links.of(key).iter();
        let links: Vec<_> = group.filter(|linked| goes(&linked.link)).cloned().collect();
        for linked in &links {
            table.links.revoke(linked);
        }
        links
    }

    /// Registers a provider in place of one with the same id, and hands it its links. They may name
    /// it by id or by its `key`, `V…`. Returns the links that it refuses; they do not keep it from
    /// serving the others.
    ///
    /// The predecessor is stopped before the successor is registered, as both may need the same
    /// port. In between, calls through the links are refused with `unavailable`.
    ///
    /// A link with a claim that is missing is handed over, and is among the refused ones: its
    /// listener answers, and each call is refused until the actor is signed with the claim.
    ///
    /// # Errors
    ///
    /// `conflict` if the id or the key is a name of an actor or of another provider. The
    /// predecessor is gone then, too.
    pub async fn put_provider(
        &self,
        id: Id,
        key: Option<Id>,
        capability: Arc<dyn Capability>,
    ) -> Result<Vec<RefusedLink>, Error> {
        let _lock = self.provider_lock(&id, key.as_ref()).await;
        // An error of the predecessor's stop must not keep the successor from starting.
        let _ = self.remove_provider(&id).await;
        let timeout = self.options.provider_timeout;
        let provider = Provider::new(id, key, self.next_number(), capability, timeout);
        let provider = Arc::new(provider);
        let links = self.table.write().add_provider(&provider)?;
        let mut refused = Vec::new();
        for linked in links {
            if let Err(error) = self.hand_over(&linked, &provider).await {
                self.observe_refused_link(&linked.link, &error);
                if !linked.is_taken_by(&provider) {
                    linked.set_refused(&error);
                }
                let link = Arc::clone(&linked.link);
                refused.push(RefusedLink { link, error });
            }
        }
        self.announce(&provider.id);
        Ok(refused)
    }

    /// Removes a provider: no call reaches it from now on, it releases its links, and stops. Its
    /// links stay in the table and wait for its return.
    ///
    /// An unknown id is a success.
    ///
    /// # Errors
    ///
    /// The first error of its `unlink` and `stop`, `deadline` among them. The provider is removed
    /// nevertheless, and the calls that still run in it are dropped.
    pub async fn delete_provider(&self, id: &Id) -> Result<(), Error> {
        if let Some(provider) = self.table.read().providers.get(id) {
            provider.revoke();
        }
        self.announce(id);
        let _lock = self.provider_lock(id, None).await;
        self.remove_provider(id).await
    }

    /// Removes this provider, unless another one has its id by now.
    ///
    /// A provider that fails is ended by the process that watches it. By then its supervisor may
    /// have started a successor under the same id, which must not be removed. The registrations are
    /// told apart by the address of the capability.
    pub async fn end_provider(
        &self,
        id: &Id,
        capability: &Arc<dyn Capability>,
    ) -> Result<(), Error> {
        if let Some(provider) = self.registration(id, capability) {
            provider.revoke();
        }
        self.announce(id);
        let _lock = self.provider_lock(id, None).await;
        match self.registration(id, capability) {
            Some(_provider) => self.remove_provider(id).await,
            None => Ok(()),
        }
    }

    /// The entry of this id, if it is still this provider.
    fn registration(&self, id: &Id, capability: &Arc<dyn Capability>) -> Option<Arc<Provider>> {
        let table = self.table.read();
        let provider = table.providers.get(id)?;
        Arc::ptr_eq(&provider.capability, capability).then(|| Arc::clone(provider))
    }

    /// The steps, each of which may end the put without a trace:
    ///
    /// 1. Acquire the locks of the link.
    /// 2. Finish the deletion of former links of this key and target.
    /// 3. Check the link and insert it if it is new, unless the put was voided.
    /// 4. Let the provider prepare it, and switch, unless the put was voided.
    /// 5. Take it into force, or remove it again if it was deleted during the switch.
    async fn try_put_link(&self, link: &Arc<Link>, change: &Change) -> Result<(), Error> {
        let _lock = self.link_lock_in_time(link).await?;
        // The provider must release a link that is being deleted before it takes its successor.
        let revoked = self.table.read().revoked(&link.key());
        for linked in revoked
            .iter()
            .filter(|linked| linked.link.target == link.target)
        {
            self.remove_link(linked).await?;
        }
        let placed = {
            let mut table = self.table.write();
            if change.is_void() {
                return Err(refusal::deleted_meanwhile(link));
            }
            table.place(link)?
        };
        let Some(placed) = placed else {
            return Ok(());
        };
        let result = match &placed.provider {
            Some(provider) => self.prepare_and_switch(provider, link, change).await,
            None => Ok(()),
        };
        if self.finish_put(&placed, &result, change) {
            if result.is_ok() {
                self.warn_of(&placed.linked);
            }
            return result;
        }
        self.remove_link(&placed.linked).await?;
        Err(refusal::deleted_meanwhile(link))
    }

    /// Completes a put in the table. Returns whether the link stays: it does not if it was deleted
    /// while its provider switched to it.
    ///
    /// A deletion may come while the provider switches, which cannot be undone. Then the link is
    /// revoked here, and the caller has the provider release it.
    fn finish_put(&self, placed: &Placed, result: &Result<(), Error>, change: &Change) -> bool {
        let mut table = self.table.write();
        table.finish_put(placed, result);
        let stays = result.is_err() || !change.is_void();
        if !stays {
            table.links.revoke(&placed.linked);
        }
        stays
    }

    /// Has the provider prepare a link and switch to it, unless the link was deleted in the
    /// meantime.
    ///
    /// The check between the two phases saves a switch. It is not what makes a deletion safe:
    /// `finish_put` checks again, under the lock.
    async fn prepare_and_switch(
        &self,
        provider: &Provider,
        link: &Arc<Link>,
        change: &Change,
    ) -> Result<(), Error> {
        let prepared = provider.prepare(link).await?;
        if change.is_void() {
            return Err(refusal::deleted_meanwhile(link));
        }
        provider.switch(prepared).await;
        Ok(())
    }

    /// Hands an existing link to a provider that starts.
    ///
    /// The ends are checked first, so that a provider never sees a link for a contract that it does
    /// not implement. The claims are checked and reported, and the link is handed over all the
    /// same.
    ///
    /// # Errors
    ///
    /// `invalid_link` or the provider's error if it did not take the link; `missing_claim` if it
    /// did.
    async fn hand_over(&self, linked: &Arc<Linked>, provider: &Provider) -> Result<(), Error> {
        let allowed = {
            let table = self.table.read();
            let actor = table.check_ends(&linked.link)?;
            actor.map_or(Ok(()), |actor| table.check_claims(&linked.link, actor))
        };
        let prepared = provider.prepare(&linked.link).await?;
        provider.switch(prepared).await;
        linked.set_taken(Some(provider));
        self.warn_of(linked);
        // A missing claim is reported but does not hold up the provider: each call is checked
        // again, and a listener that refuses calls is better than none.
        allowed
    }

    /// Waits for the locks of a link, at most as long as a provider may take.
    ///
    /// # Errors
    ///
    /// `deadline`, with a text that asks to put the link again.
    async fn link_lock_in_time(&self, link: &Link) -> Result<KeyedLock<'_>, Error> {
        let timeout = self.options.provider_timeout;
        let lock = async { Ok(self.link_lock(link).await) };
        let lock = bounded(lock, Instant::now() + timeout, None).await;
        lock.map_err(|_late| refusal::busy(link, timeout))
    }

    /// Waits for the locks of a link: of both ends as the link names them, and of the provider's
    /// id. If the provider has changed by then, waits again.
    ///
    /// A link may name its provider by key. The lock of the provider's id is what orders it against
    /// changes by other names. Which provider that is may change during the wait, so it is compared
    /// afterwards.
    async fn link_lock(&self, link: &Link) -> KeyedLock<'_> {
        let provider_of = || {
            let table = self.table.read();
            table.provider_of(link).map(|provider| provider.id.clone())
        };
        loop {
            let provider = provider_of();
            let id = provider.as_ref().unwrap_or(&link.target);
            let lock = self.locks.acquire([&link.source, &link.target, id]).await;
            if provider_of() == provider {
                return lock;
            }
        }
    }

    /// Waits for the locks of a provider: of its id, and of the key that it has or gets.
    ///
    /// The key is locked as well, because links that name the provider by its key lock that.
    async fn provider_lock(&self, id: &Id, key: Option<&Id>) -> KeyedLock<'_> {
        let key_of = || self.table.read().providers.get(id)?.key.clone();
        loop {
            let current = key_of();
            let old = current.as_ref().unwrap_or(id);
            let lock = self.locks.acquire([id, old, key.unwrap_or(id)]).await;
            if key_of() == current {
                return lock;
            }
        }
    }

    /// Removes a link, and has its provider release it. The caller holds the locks of the link.
    ///
    /// A link that another task has removed already is a success. The link is out of the table
    /// before the provider hears of it, so a failure of the provider does not bring it back.
    async fn remove_link(&self, linked: &Arc<Linked>) -> Result<(), Error> {
        let provider = {
            let mut table = self.table.write();
            if !table.links.remove(linked) {
                return Ok(());
            }
            table.taker_of(linked).cloned()
        };
        match provider {
            Some(provider) => provider.unlink(&linked.link).await,
            None => Ok(()),
        }
    }

    /// Removes a provider, and stops it. The caller holds the locks of the provider.
    ///
    /// The order matters. First the provider leaves the table, so that no new call reaches it. Then
    /// other hosts are told. Then all of its links are released at the same time, each within
    /// `provider_timeout`, and last it is stopped.
    async fn remove_provider(&self, id: &Id) -> Result<(), Error> {
        let (provider, links) = {
            let mut table = self.table.write();
            let Some(provider) = table.providers.remove(id) else {
                return Ok(());
            };
            let links = provider.names().flat_map(|name| table.links.at(name));
            let links: Vec<_> = links.cloned().collect();
            (provider, links)
        };
        self.announce(id);
        let taken: Vec<_> = links
            .iter()
            .filter(|linked| linked.leave(&provider))
            .collect();
        let unlinking = taken.iter().map(|linked| provider.unlink(&linked.link));
        let results = join_all(unlinking).await;
        let result = results.into_iter().collect::<Result<(), _>>();
        result.and(provider.stop().await)
    }

    /// Sends the notice of a refused link to the host's log and events. It is called without any
    /// lock.
    pub(crate) fn observe_refused_link(&self, link: &Link, error: &Error) {
        self.observe.observe(Notice::LinkRefused {
            source: link.source.clone(),
            target: link.target.clone(),
            contract: link.contract.clone(),
            name: link.name.clone(),
            error: error.clone(),
        });
    }
}
