//! Calls from host to host: with a MAC between hosts of one cluster, and signed between all others,
//! as hosts of the OTP era do it.
//!
//! | file | holds |
//! |---|---|
//! | `calls`, `calls_state` | calls to other hosts, and the state that the calls of one host share |
//! | `hosts`, `remote` | the other hosts, and their providers, as the router sees them |
//! | `serving` | calls from other hosts to this one |
//! | `calling`, `mac_names`, `frame`, `mac` | calls with a MAC: sending, names that accept them, messages, keys |
//! | `wire`, `reader`, `headers` | signed calls: messages, the `MessagePack` parser, message headers |
//! | `address` | subjects, and the names of callers and targets |
//! | `content` | payloads: bytes, typed values, HTTP messages |
//! | `guard`, `replays`, `verify_limiter` | whether a call is authentic, recent and new |
//! | `admission`, `memory` | whether there is room for a call |
//! | `tally` | counts refused calls |
//! | `chunks` | payloads that are too large for a message |
//! | `caller` | makes calls without sending them, for benchmarks and tests |
//!
//! # The life of a call to another host
//!
//! 1. `Hosts::deliver` gets a call that found no target on this host, and chooses an `Address`.
//! 2. `Calls::call` starts a probe if it is time to, and encodes the payload. A large one goes to
//!    the object store.
//! 3. If the name is proven (`mac_names`), the call carries a MAC, otherwise a signature.
//! 4. `Replies` sends it and waits for the answer, until the deadline.
//! 5. On the other host, `serving` checks the call, takes a slot, and delivers it to the router.
//! 6. The router there decides by its own links. The answer goes back the same way.
//!
//! # What is bounded
//!
//! | what | option of `CallOptions` | past it |
//! |---|---|---|
//! | calls from outside that run | `concurrency` | they wait |
//! | calls from outside that wait | `queue` | `overloaded` |
//! | bytes of their messages and payloads | `memory` | `overloaded` |
//! | bytes of gathered outgoing bodies | `memory`, counted apart | `overloaded` |
//! | one payload | `largest_payload` | `too_large` |
//! | the time of a call | `longest_timeout` | `deadline` |
//! | the age of a signature | `freshness` | `stale` |
//! | invalid signatures of unknown senders | 500 per second | `overloaded` |
//!
//! # What an attacker on the bus can do
//!
//! Whoever may publish to the subjects of calls can cost this host the checks of the messages, and
//! those are bounded. That gives no way to make a call, to repeat one, or to change one. Whoever may
//! also publish to the inbox of a host can answer a *signed* call in place of its target, but no
//! call with a MAC. Whoever reads the bus reads payloads: they are authenticated, not encrypted. TLS
//! and the permissions of the NATS server cover that.

mod address;
mod admission;
mod caller;
mod calling;
mod calls;
mod calls_state;
mod chunks;
mod content;
mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
mod guard;
mod headers;
mod hosts;
mod mac;
mod mac_names;
mod memory;
mod options;
mod reader;
mod remote;
mod replays;
mod serving;
mod tally;
mod verify_limiter;
mod wire;

use std::sync::Arc;

use exosuit_core::{Capability, Contract, Deliver, Id};

pub use address::{Address, Served};
pub use caller::{MacCaller, MacRequest};
pub use calls::Calls;
pub use headers::Trace;
pub use hosts::Hosts;
pub use options::CallOptions;
pub use serving::Serving;
pub use tally::{Refusal, Skew};
pub use wire::{Invocation, Response};

use crate::Error;
use remote::RemoteProvider;

impl Calls {
    /// Serves calls from the lattice by `target`. Hosts that serve the same target share its calls.
    ///
    /// A call comes with the origin that its sender authenticated. The target decides whether it
    /// may call.
    ///
    /// Returns once it is subscribed. In the second in which the host started, it waits for the end
    /// of that second, see `guard`.
    ///
    /// # Errors
    ///
    /// `Closed`, if the connection was closed for good.
    pub async fn serve(&self, served: Served, target: Arc<dyn Deliver>) -> Result<Serving, Error> {
        serving::serve(Arc::clone(&self.0), served, target).await
    }

    /// A provider on another host, or in its own process, as a capability for the router. It gets
    /// its links, and is called through them, by its public key on the subjects of the OTP era.
    pub fn provider(&self, id: Id, contracts: Vec<Contract>) -> Arc<dyn Capability> {
        let calls = self.clone();
        Arc::new(RemoteProvider {
            calls,
            id,
            contracts,
        })
    }
}
