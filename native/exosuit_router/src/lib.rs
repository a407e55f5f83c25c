//! Decides whether an invocation is allowed and where its target is: the one function that every invocation goes
//! through.
//!
//! [`Router`] is the table of the actors, providers and links of one host. A call passes it in this
//! order, each step a file:
//!
//! 1. `decide`: is there such a target, does a link join the two, do the claims allow it? The
//!    result is a `route`.
//! 2. `admission`: does one more call fit into the actor?
//! 3. `actor`: does the actor run, or is it worth waiting for?
//! 4. `router`: deliver it, until its deadline or the end of its target.
//!
//! A call that had to wait in 2 or 3 is decided again, because it may no longer be allowed.
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::{Duration, Instant};
//! use exosuit_core::{Answer, Code, Context, Deliver, Id, Invocation, Notice, Observe, Reply};
//! # use exosuit_core::{Grants, Identity, Origin, Target};
//! use exosuit_router::{ActorLimits, Options, Router};
//!
//! /// An actor that answers with its payload; in a host this is code in the engine.
//! struct Echo;
//!
//! impl Deliver for Echo {
//!     fn deliver(&self, call: Invocation) -> Answer {
//!         Box::pin(async move { call.payload.into_bytes().map(Reply::Bytes) })
//!     }
//! }
//! # struct Silent;
//! # impl Observe for Silent {
//! #     fn observe(&self, _notice: Notice) {}
//! # }
//! # fn call() -> Invocation {
//! #     Invocation {
//! #         origin: Origin::Host,
//! #         target: Target::Actor("echo".to_owned()),
//! #         operation: "Echo.Say".to_owned(),
//! #         payload: bytes::Bytes::from_static(b"hello").into(),
//! #         context: Context::until(Instant::now() + Duration::from_secs(10)),
//! #     }
//! # }
//! # let identity = Identity {
//! #     public_key: None,
//! #     issuer: None,
//! #     call_alias: None,
//! #     grants: Grants::Links,
//! #     expires_at: None,
//! #     settings: String::new(),
//! # };
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! # runtime.block_on(async {
//!
//! // `call()` is a call of the host to the actor `echo`.
//! let options = Options { restart_wait: Duration::ZERO, ..Options::default() };
//! let router = Router::new(options, Arc::new(Silent));
//! let refused = router.deliver(call()).await;
//! assert_eq!(refused.map(drop).map_err(|error| error.code), Err(Code::UnknownTarget));
//!
//! // An entry, and something that serves its calls.
//! let echo = Id::parse("echo")?;
//! let limits = ActorLimits { instances: 10, queue: 100, deadline: None };
//! router.specify_actor(echo.clone(), limits)?;
//! let publication = router.publish_actor(&echo, identity, Arc::new(Echo))?;
//! assert_eq!(router.deliver(call()).await?.into_bytes()?, "hello");
//!
//! // Its process has ended: calls wait for a successor, here for no time at all.
//! router.retract_actor(&publication);
//! let refused = router.deliver(call()).await;
//! assert_eq!(refused.map(drop).map_err(|error| error.code), Err(Code::Unavailable));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The other files:
//!
//! | file | holds |
//! |---|---|
//! | `table` | the entries; `names`, `links`, `providers` and `remote_claims` are its indices |
//! | `naming` | which actor may have a name, and which one a name refers to |
//! | `wiring` | hands links to providers, and takes them back; a `keyed_lock` keeps the order |
//! | `changes` | the puts of links that are not finished |
//! | `lineage`, `bound` | bind links to the code that they were made for |
//! | `state`, `warnings` | the status of each link, and settings without effect |
//! | `other_hosts` | announces to other hosts what they may call here, and takes their calls |
//! | `in_flight` | counts calls, so that a host can wait for the last one |
//!
//! # Locks
//!
//! 1. The lock of the announcements to other hosts, held while they are sent, so that they arrive
//!    in order.
//! 2. The lock of the table. It is never held across an await, nor while foreign code runs: targets
//!    and capabilities are called, observed and dropped outside of it.
//!
//! Keyed locks are asynchronous, and come before both. They are taken in the order of their ids,
//! and only by changes of links and providers, never by a call.
//!
//! # What is bounded
//!
//! | what | by | past it |
//! |---|---|---|
//! | calls that run in an actor | `ActorLimits::instances` | they wait in the queue |
//! | calls that wait for a slot | `ActorLimits::queue` | `overloaded` |
//! | calls that wait for an actor to restart | `Options::max_restart_waiters` | `unavailable` |
//! | the time of that wait | `Options::restart_wait` | `unavailable` |
//! | the nesting of calls | `Options::max_depth` | `depth` |
//! | each answer of a provider about a link | `Options::provider_timeout` | `deadline`, and nothing changed |
//! | the claims of remote actors | 65,536 | the oldest are forgotten |
//! | the quoted text of a guest in an error | 255 bytes | it is cut |
//!
//! The number of actors, links and providers is not bounded here: whoever deploys them bounds it.
//!
//! # Who calls this crate
//!
//! `exosuit_nif` owns one `Router` per host, and Elixir changes it through that crate. Calls come
//! from actors in `exosuit_engine`, from providers in `exosuit_capabilities`, from other hosts
//! through `exosuit_lattice`, and from Elixir. All of them go through the trait `Deliver`, which
//! the router implements, and the router knows its targets by the traits `Deliver`, `Capability`
//! and `Elsewhere`. So this crate depends on `exosuit_core` only, and its tests need neither a
//! guest nor a server.

#![forbid(unsafe_code)]

mod actor;
mod admission;
mod bound;
mod changes;
mod count;
mod decide;
mod in_flight;
mod keyed_lock;
mod lineage;
mod links;
mod names;
mod naming;
mod options;
mod other_hosts;
mod provider;
mod providers;
mod refusal;
mod remote_claims;
mod route;
mod router;
mod state;
mod table;
mod warnings;
mod wiring;

pub use actor::{ActorState, Publication};
pub use options::{ActorLimits, Clock, Options};
pub use router::Router;
pub use state::{LinkState, LinkStatus};
pub use wiring::RefusedLink;
