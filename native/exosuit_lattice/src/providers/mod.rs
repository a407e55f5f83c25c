//! The lattice as built-in providers use it.
//!
//! - [`ProviderLattice`]: messages over the connection for calls, buckets over that for control.
//! - `bucket`: one bucket. `listing`: its keys. `jetstream`: requests to the servers, and
//!   their answers. `names`: names of buckets and keys for NATS.
//!
//! A provider in `exosuit_capabilities` knows only the trait `Lattice` of `exosuit_core`. So the
//! key-value store and messaging need no NATS in their tests, and a host without a lattice passes
//! none.
//!
//! | call of a provider | goes over | waits for |
//! |---|---|---|
//! | `publish` | the connection for calls | room in the client's queue |
//! | `request` | the connection for calls | an answer, until its deadline |
//! | `subscribe` | the connection for calls | nothing |
//! | a bucket's operations | the connection for control | the server, 5 s at most |
//!
//! Subjects of the lattice itself are kept from actors by the provider, which reads `reserved`.

mod bucket;
mod bucket_stream;
mod jetstream;
mod listing;
mod names;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use exosuit_core::{BucketLimits, Done, Id, Lattice, Message, Pending, Subscription};

use crate::{Bus, StreamLimits, bus};
use bucket::ProviderBucket;
use jetstream::JetStream;

/// The lattice as built-in providers use it: messages, and buckets of their own. One per host,
/// shared by all providers.
pub struct ProviderLattice {
    /// Messages of actors.
    calls: Bus,
    /// Requests about streams.
    control: Bus,
    lattice: Id,
    domain: Option<String>,
    /// Prefixes of subjects, besides those that messaging reserves anyway.
    reserved: Vec<String>,
    replicas: usize,
}

impl ProviderLattice {
    /// The lattice for the providers of a host. Messages go over `calls`, buckets are asked for
    /// over `control`, in this domain of its streams.
    pub fn new(calls: Bus, control: Bus, lattice: Id, domain: Option<String>) -> Self {
        Self {
            calls,
            control,
            lattice,
            domain,
            reserved: Vec::new(),
            replicas: StreamLimits::default().replicas,
        }
    }

    /// Sets the number of servers that keep a bucket whose provider does not say its own.
    #[must_use]
    pub fn replicated(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Reserves further subjects, each with all subjects that begin with it: those of a control
    /// interface or a policy service at an unusual place. Actors may not publish there.
    #[must_use]
    pub fn reserve(mut self, subjects: impl IntoIterator<Item = String>) -> Self {
        self.reserved.extend(subjects);
        self
    }
}

impl Lattice for ProviderLattice {
    fn publish(&self, message: Message) -> Done {
        let bus = self.calls.clone();
        Box::pin(async move { Ok(bus.send(message.into()).await?) })
    }

    fn request(&self, subject: &str, body: Bytes, deadline: Instant) -> Pending<Message> {
        let (bus, subject) = (self.calls.clone(), subject.to_owned());
        Box::pin(async move { Ok(bus.ask(&subject, body, deadline).await?.into()) })
    }

    fn subscribe(&self, subject: &str, group: Option<&str>) -> Pending<Subscription> {
        let (bus, subject, group) = (
            self.calls.clone(),
            subject.to_owned(),
            group.map(str::to_owned),
        );
        Box::pin(async move { Ok(bus.listen(&subject, group.as_deref()).await?) })
    }

    fn bucket(&self, name: &Id, limits: BucketLimits) -> Option<Arc<dyn exosuit_core::Bucket>> {
        let name = names::bucket(&self.lattice, name);
        let limits = StreamLimits {
            replicas: limits.replicas.unwrap_or(self.replicas),
            max_bytes: Some(limits.max_bytes),
        };
        let jetstream = JetStream::new(self.control.clone(), self.domain.clone());
        Some(Arc::new(ProviderBucket::new(jetstream, &name, limits)))
    }

    fn check(&self) -> Result<(), exosuit_core::Error> {
        Ok(self.calls.check()?)
    }

    fn reserved(&self) -> &[String] {
        &self.reserved
    }
}

impl From<Message> for bus::Message {
    fn from(message: Message) -> Self {
        Self {
            subject: message.subject,
            reply: message.reply_to,
            payload: message.body,
        }
    }
}

impl From<bus::Message> for Message {
    fn from(message: bus::Message) -> Self {
        Self {
            subject: message.subject,
            reply_to: message.reply,
            body: message.payload,
        }
    }
}
