//! A provider on another host, or in a process of its own, as if it ran here.
//!
//! The protocol is that of the OTP era. A provider gets its links by `…linkdefs.put` and
//! `…linkdefs.del`, which it does not answer, and calls on `wasmbus.rpc.<lattice>.<V…>.<link>`. So
//! whether it took a link is never known here: `prepare` checks the connection, and `switch` sends.

use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Contract, Done, Id, Link, LinkName, Pending, Prepared,
};
use rmp::encode;

use super::address::Address;
use super::calls::Calls;
use super::calls_state::CallsState;
use crate::connection::unsent;
use crate::store::keys::link_id;

/// A provider on another host, or in a process of its own, as the router's `Capability`.
pub(super) struct RemoteProvider {
    pub(super) calls: Calls,
    /// Its public key, which its subjects have.
    pub(super) id: Id,
    pub(super) contracts: Vec<Contract>,
}

impl Capability for RemoteProvider {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    /// Sends a call. Without a link there is no subject to send it to.
    fn invoke(&self, call: CapabilityCall) -> Answer {
        let (calls, id) = (self.calls.clone(), self.id.clone());
        Box::pin(async move {
            let link = call.link.ok_or_else(|| {
                exosuit_core::Error::new(
                    Code::MissingLink,
                    "a provider of the lattice is called through a link",
                )
            })?;
            let to = Address::Provider {
                id,
                contract: link.contract.clone(),
                link: link.name.clone(),
            };
            calls
                .forward(&to, None, call.invocation, Code::Provider)
                .await
        })
    }

    /// Fails without a connection, with `unavailable`: the link would not reach the provider.
    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        let connected = self.calls.0.connection.client().map(drop);
        let told = self.tell("put", &link);
        Box::pin(async move {
            connected?;
            // The provider does not answer to links.
            Ok(Prepared::new(async move { drop(told.await) }))
        })
    }

    /// Tells the provider, and does not wait for it.
    fn unlink(&self, link: Arc<Link>) -> Done {
        self.tell("del", &link)
    }
}

impl RemoteProvider {
    /// Publishes a link to the provider. There is no answer.
    fn tell(&self, what: &'static str, link: &Link) -> Done {
        let subject = link_subject(&self.calls.0, &self.id, &link.name, what);
        let (shared, message) = (Arc::clone(&self.calls.0), link_definition(link, &self.id));
        Box::pin(async move {
            let sent = shared.connection.client()?.publish(subject, message).await;
            sent.map_err(|error| unsent(&error).into())
        })
    }
}

/// The subject of a change of a link.
fn link_subject(shared: &CallsState, provider: &Id, name: &LinkName, what: &str) -> String {
    format!(
        "wasmbus.rpc.{}.{provider}.{name}.linkdefs.{what}",
        shared.options.lattice
    )
}

/// A link in the form of the OTP era, in `MessagePack`. That form knows an actor and a provider; so
/// whichever end calls, the other end than the provider is the actor.
fn link_definition(link: &Link, provider: &Id) -> Bytes {
    const MEMORY: &str = "memory takes what is written";
    let (values, actor) = link.seen_from(provider);
    let id = link_id(actor.as_str(), link.contract.as_str(), link.name.as_str());
    let fields = [
        ("id", id.as_str()),
        ("actor_id", actor.as_str()),
        ("provider_id", provider.as_str()),
        ("link_name", link.name.as_str()),
        ("contract_id", link.contract.as_str()),
    ];
    let mut out = Vec::new();
    encode::write_map_len(&mut out, 6).expect(MEMORY);
    for (name, value) in fields {
        encode::write_str(&mut out, name).expect(MEMORY);
        encode::write_str(&mut out, value).expect(MEMORY);
    }
    encode::write_str(&mut out, "values").expect(MEMORY);
    encode::write_map_len(&mut out, u32::try_from(values.len()).unwrap_or(u32::MAX)).expect(MEMORY);
    for (name, value) in values {
        encode::write_str(&mut out, name).expect(MEMORY);
        encode::write_str(&mut out, value).expect(MEMORY);
    }
    out.into()
}
