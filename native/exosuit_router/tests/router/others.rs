//! Fakes of other hosts, and callers from there.

use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::{
    Answer, Destination, Elsewhere, Error, Id, Invocation, LinkName, Local, Origin, Outgoing,
    Remote, Target,
};
use parking_lot::Mutex;

use crate::support::{World, contract, id};

impl World {
    /// Other hosts.
    pub(crate) fn join(&self) -> Arc<Others> {
        let others = Arc::new(Others::default());
        let elsewhere = Arc::clone(&others) as Arc<dyn Elsewhere>;
        self.router.set_elsewhere(elsewhere);
        others
    }

    /// A call that comes from another host.
    pub(crate) async fn call_from_afar(&self, call: Invocation) -> Result<Bytes, Error> {
        self.router.here().deliver(call).await?.into_bytes()
    }
}

/// Other hosts, which remember what they were sent and told, and answer with where it went.
#[derive(Default)]
pub(crate) struct Others {
    pub(crate) sent: Mutex<Vec<Outgoing>>,
    pub(crate) told: Mutex<Vec<String>>,
    /// The error of the next calls.
    pub(crate) fails: Mutex<Option<Error>>,
}

impl Others {
    /// The announcements since the last call of this function.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock())
    }

    /// The call that was sent last.
    pub(crate) fn last(&self) -> Outgoing {
        self.sent.lock().pop().expect("a call was sent")
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.sent.lock().is_empty()
    }
}

impl Elsewhere for Others {
    fn deliver(&self, call: Outgoing) -> Answer {
        let answer = match &*self.fails.lock() {
            Some(error) => Err(error.clone()),
            None => Ok(described(&call.to).into()),
        };
        self.sent.lock().push(call);
        Box::pin(async move { answer })
    }

    fn serve(&self, local: Local) {
        let Local { id, key, contracts } = local;
        let key = key.map_or_else(String::new, |key| format!(" as {key}"));
        let kind = contracts.map_or("actor", |_| "provider");
        self.told.lock().push(format!("serve {kind} {id}{key}"));
    }

    fn withdraw(&self, id: &Id) {
        self.told.lock().push(format!("withdraw {id}"));
    }
}

fn described(to: &Destination) -> String {
    match to {
        Destination::Actor(name) => format!("actor {name}"),
        Destination::Linked(link) => format!("link to {}", link.target),
    }
}

/// An actor of another host.
pub(crate) fn remote_actor(name: &str, key: Option<&str>) -> Origin {
    Origin::Elsewhere(Remote {
        id: id(name),
        key: key.map(id),
        through: None,
    })
}

/// A provider of another host, for this contract.
pub(crate) fn remote_provider(name: &str, key: Option<&str>, what: &str) -> Origin {
    Origin::Elsewhere(Remote {
        id: id(name),
        key: key.map(id),
        through: Some((contract(what), LinkName::default())),
    })
}

/// The target of a call by a contract.
pub(crate) fn asking(what: &str) -> Target {
    Target::Import {
        namespace: what.into(),
        link: LinkName::DEFAULT.into(),
    }
}
