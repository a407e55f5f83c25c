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
    pub async fn serve(&self, served: Served, target: Arc<dyn Deliver>) -> Result<Serving, Error> {
        serving::serve(Arc::clone(&self.0), served, target).await
    }

    /// A provider on another host, or in its own process. It gets its links, and is called through
    /// them.
    pub fn provider(&self, id: Id, contracts: Vec<Contract>) -> Arc<dyn Capability> {
        let calls = self.clone();
        Arc::new(RemoteProvider {
            calls,
            id,
            contracts,
        })
    }
}
