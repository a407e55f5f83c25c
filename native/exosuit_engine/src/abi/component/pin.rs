//! Instances that hold resources: those that a call gave to its caller live on in the instance, so that instance
//! serves no other calls, and ends when nobody needs it any more.
//!
//! - [`Pins`]: the pinned instances of an actor, at most one for each caller, and so many in all.
//! - [`Pin`]: one of them. Calls take turns in it. It ends with its last resource, when no call came for the idle
//!   limit, when a call in it traps or is given up, and with the actor.
//! - [`PinTurn`]: the turn of a call.
//! - [`GuestResource`]: what a handle refers to. When it is dropped, its destructor gets a turn on Tokio.
//! - [`Holder`]: those whose pins are counted together.
//! - [`calls`]: the calls that have a turn now, and which of them each is part of.
//!
//! # The life of a pin
//!
//! 1. A function that gives resources is called by a caller without a pin. The pin enters the table before there is
//!    an instance, so that a second call of the caller waits for this one instead of making another.
//! 2. The call runs. If it gave resources, the instance stays in the pin; if not, it goes to the pool of warm
//!    instances, and the pin ends.
//! 3. Further calls with these resources, and destructors, take turns, in the order in which they came.
//! 4. The pin ends once, for the first reason that there is. Handles that still exist know the reason, and a call with
//!    one fails with it.
//!
//! A call that is part of the one that has the turn is refused at once, because it would wait for itself.
//!
//! An instance is not recycled after so many calls, as warm ones are (`calls` of `Instances`): that would end resources
//! that their caller needs. One that goes to the pool of warm instances has served one call.
//!
//! # Locks and threads
//!
//! The lock of Tokio in `pinned` is the turn, and is held across awaits for as long as a call runs. The other locks
//! are held for a look-up. `end` may be called anywhere: on Tokio when a process has died, under a turn, from a drop.
//! So it never waits: it leaves the instance to whoever has the turn, or drops it on Tokio, because dropping an
//! instance takes longer than a scheduler may be blocked.
//!
//! # Bounds
//!
//! An actor has at most as many pins as `instances`, and at most half of its share of the engine's pool, so that
//! other calls find slots. The instances of one actor have at most half of them, all actors together at most three
//! quarters, and all processes of Elixir together too ([`holders`]), so that nobody keeps all from all others. A
//! caller has at most [`MAX_RESOURCES`] resources in its pin. A destructor has as much time as the call that made the
//! pin had, and ends with the pin.

mod calls;
mod holders;
mod resource;
mod turn;

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use exosuit_core::{Context, LogLevel};
use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Mutex as Turns, Notify};
use tokio::task::AbortHandle;
use tokio::time::{sleep_until, timeout_at};
use wasmtime::component::ResourceAny;

use super::super::guest::PoolSlot;
use super::guest::ComponentGuest;
use super::held::MAX_RESOURCES;
use super::kinds::Kind;
use super::state::instance_number;
use crate::Error;
use crate::actor_shared::ActorShared;

pub(super) use self::holders::Holder;
pub(super) use self::resource::GuestResource;
pub(super) use self::turn::PinTurn;

/// The pinned instances of one actor. When it is dropped, they end.
pub(crate) struct Pins {
    /// How many calls may run in the actor at a time.
    instances: AtomicUsize,
    /// The pins by the number of the process or instance that calls.
    by_caller: Mutex<HashMap<u64, Arc<Pin>>>,
}

/// An instance that holds resources for one caller.
pub(crate) struct Pin {
    pub(super) actor: Arc<ActorShared>,
    caller: u64,
    holder: Holder,
    /// Weak, because pins end with the actor, even if handles to their resources remain.
    pins: Weak<Pins>,
    /// Empty while a call runs in it, and after its end.
    pinned: Arc<Turns<Option<Pinned>>>,
    /// The call that had the turn last.
    call: Mutex<Option<NonZeroU64>>,
    /// How many resources callers have.
    resources: AtomicUsize,
    /// Why it has ended. Set once.
    ended: OnceLock<&'static str>,
    /// Gives up a destructor at its end. Calls end by their own futures.
    over: Notify,
    /// How long a destructor may take: as long as the call that pinned the instance.
    patience: Duration,
    /// When a call ran in it last.
    used: Mutex<Instant>,
    /// The task that waits for the idle limit. Set after the first call that gave resources.
    idle: OnceLock<AbortHandle>,
    /// Kept, because a handle may be dropped on a thread outside of Tokio.
    runtime: Runtime,
}

/// The instance, with its permit of the engine's pool.
struct Pinned {
    guest: ComponentGuest,
    slot: PoolSlot,
}

/// The error of a call that would wait for itself.
const ENTERED: &str = "the instance of the resource is in the middle of a call that this call is part of: use the \
     resource after that call has returned";

// The reasons for its end, as callers read them.
const BROKEN: &str = "a call of its instance trapped, reached a limit or was given up";
const UNUSED: &str = "no call came within the idle limit of resources (`resource_idle`)";
const OVER: &str = "its instance holds no resource of its caller any more";
const STOPPED: &str = "its actor was stopped, restarted or updated";

impl Pins {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            instances: AtomicUsize::new(1),
            by_caller: Mutex::default(),
        })
    }

    /// Sets how many instances may be pinned: as many as calls may run.
    pub(crate) fn set_instances(&self, instances: usize) {
        self.instances.store(instances, SeqCst);
    }

    /// The turn of a call that gives resources to its caller: in the instance that is pinned for it already, or in
    /// one that is yet to be made.
    pub(super) async fn turn_for_caller(
        self: &Arc<Self>,
        actor: &Arc<ActorShared>,
        holder: &Holder,
        context: Context,
    ) -> Result<PinTurn, Error> {
        let caller = context.caller.unwrap_or_else(instance_number).get();
        loop {
            let known = self.by_caller.lock().get(&caller).cloned();
            let Some(pin) = known else {
                match self.pin(actor, caller, holder, context)? {
                    Some(turn) => return Ok(turn),
                    // Another call of the caller was faster.
                    None => continue,
                }
            };
            let turn = pin.turn(context.within).await?;
            if turn.guest.is_some() {
                return Ok(turn);
            }
            // It has ended meanwhile.
            turn.leave_ended();
        }
    }

    /// Makes a pin for a caller, with its first turn. `None` if the caller has one by now; the error `overloaded` if
    /// there are as many as may be, or its holder has as many as it may.
    fn pin(
        self: &Arc<Self>,
        actor: &Arc<ActorShared>,
        caller: u64,
        holder: &Holder,
        context: Context,
    ) -> Result<Option<PinTurn>, Error> {
        let max = self.instances.load(SeqCst).min(actor.share.half());
        let now = Instant::now();
        let pinned = Arc::new(Turns::new(None));
        let cell = Arc::clone(&pinned)
            .try_lock_owned()
            .map_err(|_| Error::Setup("a new lock is taken".to_owned()))?;
        let pin = Arc::new(Pin {
            actor: Arc::clone(actor),
            caller,
            holder: holder.clone(),
            pins: Arc::downgrade(self),
            pinned,
            call: Mutex::default(),
            resources: AtomicUsize::new(0),
            ended: OnceLock::new(),
            over: Notify::new(),
            patience: context.deadline.saturating_duration_since(now),
            used: Mutex::new(now),
            idle: OnceLock::new(),
            runtime: Runtime::current(),
        });
        let mut by_caller = self.by_caller.lock();
        if by_caller.contains_key(&caller) {
            return Ok(None);
        }
        holder.check(by_caller.values().map(|pin| &pin.holder), max)?;
        by_caller.insert(caller, Arc::clone(&pin));
        drop(by_caller);
        Ok(Some(PinTurn::begin(pin, cell, context.within)))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for (_caller, pin) in self.by_caller.get_mut().drain() {
            pin.end(STOPPED);
        }
    }
}

impl Pin {
    /// Waits for the turn of a call that is part of the call `within`. If the instance has ended, the turn is without
    /// a guest. An error at once if the turn could only come after the end of the call itself.
    pub(super) async fn turn(
        self: &Arc<Self>,
        within: Option<NonZeroU64>,
    ) -> Result<PinTurn, Error> {
        let call = *self.call.lock();
        if call.is_some_and(|call| calls::is_part(within, call)) {
            return Err(Error::Input(ENTERED.to_owned()));
        }
        Ok(self.wait(within).await)
    }

    async fn wait(self: &Arc<Self>, within: Option<NonZeroU64>) -> PinTurn {
        let cell = Arc::clone(&self.pinned).lock_owned().await;
        PinTurn::begin(Arc::clone(self), cell, within)
    }

    /// Its caller has one more resource in it.
    fn count_resource(&self) {
        self.resources.fetch_add(1, SeqCst);
    }

    /// Its caller has one less: it was destroyed, or given back.
    fn forget_resource(&self) {
        self.resources.fetch_sub(1, SeqCst);
    }

    /// Has a resource destroyed, on Tokio, when its instance has time.
    fn destroy_later(self: &Arc<Self>, resource: ResourceAny, kind: &Kind) {
        if self.ended().is_none() {
            let destroying = Arc::clone(self).destroy(resource, kind.name.clone());
            self.runtime.spawn(destroying);
        }
    }

    /// The reason why it has ended, or `None`.
    pub(super) fn ended(&self) -> Option<&'static str> {
        self.ended.get().copied()
    }

    /// Whether its caller has the maximum number of resources in it, after this number is given back.
    pub(super) fn is_full(&self, given_back: usize) -> bool {
        self.resources.load(SeqCst) >= MAX_RESOURCES + given_back
    }

    /// Ends the instance: at once, or after the call that runs in it.
    fn end(&self, why: &'static str) {
        if self.ended.set(why).is_err() {
            return;
        }
        if let Some(pins) = self.pins.upgrade() {
            let mut by_caller = pins.by_caller.lock();
            let is_this = |pin: &Arc<Self>| std::ptr::eq(&raw const **pin, self);
            if by_caller.get(&self.caller).is_some_and(is_this) {
                by_caller.remove(&self.caller);
            }
        }
        if let Some(idle) = self.idle.get() {
            idle.abort();
        }
        self.over.notify_waiters();
        self.clear();
    }

    /// Drops the guest of an ended instance on Tokio, unless a call runs in it.
    fn clear(&self) {
        if let Ok(mut cell) = self.pinned.try_lock()
            && let Some(pinned) = cell.take()
        {
            self.runtime.spawn(async move { drop(pinned) });
        }
    }

    /// Destroys a resource after its last handle was dropped.
    async fn destroy(self: Arc<Self>, resource: ResourceAny, name: Box<str>) {
        // Nobody waits for it, so it is part of no other call.
        let mut turn = self.wait(None).await;
        let over = self.over.notified();
        let guest = turn.guest.take().filter(|_guest| self.ended().is_none());
        let Some(guest) = guest else {
            turn.leave_ended();
            return;
        };
        let deadline = Instant::now() + self.patience;
        let mut guest = guest.with(turn.context(Context::until(deadline))).await;
        let mut dropping = Box::pin(resource.resource_drop_async(&mut guest.store));
        let dropped = self.actor.engine.ticker().during(dropping.as_mut());
        // No call waits for it, so nothing else would stop a destructor with its actor.
        let dropped = tokio::select! {
            dropped = timeout_at(deadline.into(), dropped) => Some(dropped),
            () = over => None,
        };
        drop(dropping);
        let Some(dropped) = dropped else {
            turn.leave_ended();
            return;
        };
        let state = guest.store.data();
        state.conclude();
        let dropped = dropped.map(|dropped| dropped.map_err(|error| state.explain(&error)));
        let failure = match dropped {
            Ok(Ok(())) => {
                self.forget_resource();
                turn.guest = Some(guest);
                turn.finish();
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_late) => Error::Deadline.to_string(),
        };
        let text = format!("the destructor of a resource {name} failed: {failure}");
        self.actor
            .log
            .write(&self.actor.id, LogLevel::Warning, &text);
    }

    /// Ends the instance when no call came for the idle limit.
    async fn watch(pin: Weak<Self>, idle: Duration) {
        loop {
            let Some(used) = pin.upgrade().map(|pin| *pin.used.lock()) else {
                return;
            };
            let until = used + idle;
            if Instant::now() < until {
                sleep_until(until.into()).await;
                continue;
            }
            let Some(pin) = pin.upgrade() else { return };
            if pin.pinned.try_lock().is_ok() {
                pin.end(UNUSED);
                return;
            }
            // A call runs, or waits for its turn.
            *pin.used.lock() = Instant::now();
        }
    }
}
