//! Calls from host to host: with a MAC between hosts of one cluster, signed as the hosts of the OTP era
//! have it to all others.
//!
//! - [`Calls`]: the calls of one host; [`Hosts`]: all other hosts, as the router knows them; `remote`:
//!   a provider elsewhere as if it ran here; `serving`: what runs here for those elsewhere.
//! - `calling`, `takers`, `frame`, `mac`: calls with a MAC, who takes them, their messages and the keys.
//!   [`MacCaller`]: such calls for those who measure or try a host.
//! - `wire`, `reader`: signed messages. `headers`: what goes along with them. `address`: who is who.
//!   `content`: what they carry.
//! - `guard`, `replays`, `doubt`: whether a call is what it seems. `admission`, `memory`: whether there
//!   is room for it. `tally`: how many were refused.
//! - `chunks`: the way of what is too large for a message.

mod address;
mod admission;
mod caller;
mod calling;
mod calls;
mod chunks;
mod content;
mod doubt;
mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
mod guard;
mod headers;
mod hosts;
mod mac;
mod memory;
mod options;
mod reader;
mod remote;
mod replays;
mod serving;
mod shared;
mod takers;
mod tally;
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
    /// Serves to the lattice what `target` answers. Several hosts that serve the same share the calls.
    ///
    /// A call comes with the origin that its signer gave it; whether that may call is for the target
    /// to say.
    pub async fn serve(&self, served: Served, target: Arc<dyn Deliver>) -> Result<Serving, Error> {
        serving::serve(Arc::clone(&self.0), served, target).await
    }

    /// A provider on another host, or in a process of its own: it is told of links, and called
    /// through them.
    pub fn provider(&self, id: Id, contracts: Vec<Contract>) -> Arc<dyn Capability> {
        let calls = self.clone();
        Arc::new(RemoteProvider {
            calls,
            id,
            contracts,
        })
    }
}
