//! Addresses on the lattice: the subjects to which calls are sent, and on which targets are served; and the names of
//! callers.
//!
//! | what | subject | group | payload |
//! |---|---|---|---|
//! | an actor by its key | `wasmbus.rpc.<lattice>.<M…>` | the subject | bytes |
//! | a provider by its key | `wasmbus.rpc.<lattice>.<V…>.<link>`, served by a wildcard | `rpc` | bytes |
//! | either by key or id | `exosuit.rpc.<lattice>.<name>` | the subject | any, see `content` |
//! | the same, with a MAC | `exosuit.rpc.<lattice>.<name>.mac.<key id>` | the subject | any, see `content` |
//!
//! The first two are those of the OTP era. A key id is that of a cluster's seed in this lattice, see `mac`. A host
//! with another seed, or an older one, does not listen there, and a caller learns that there is no responder.
//!
//! # Which subject a call takes
//!
//! A payload of bytes to a public key takes the subject of the OTP era, because the host that has
//! the key may be of that era. Everything else takes Exosuit's own subject: ids, and payloads that
//! those hosts cannot decode. Each host of Exosuit listens on both.

use exosuit_claims::invocation::Entity;
use exosuit_claims::{KeyKind, PublicKey};
use exosuit_core::{
    Contract, Destination, Id, InvalidName, LinkName, Local, Origin, Payload, Remote, Target,
};

use super::content::Form;
use super::mac::{KeyId, MacKeys};
use crate::Error;

/// The target of a call between hosts, and the subject that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An actor by its public key, on the subject of the OTP era.
    Actor(Id),
    /// A provider by its public key, on the subject of the OTP era.
    Provider {
        /// `V…`.
        id: Id,
        /// The contract.
        contract: Contract,
        /// The name of the link.
        link: LinkName,
    },
    /// An actor or provider by id or key, on Exosuit's own subject.
    Named {
        /// The name.
        name: Id,
        /// The contract and link of a call through a link.
        through: Option<(Contract, LinkName)>,
    },
}

impl Address {
    /// The address for a destination. The subject of the OTP era is taken wherever it will do.
    pub(super) fn of(destination: Destination, payload: &Payload) -> Self {
        let is_bytes = matches!(payload, Payload::Bytes(_));
        let kind = |name: &Id| KeyKind::of_key(name.as_str()).filter(|_| is_bytes);
        match destination {
            Destination::Actor(id) if kind(&id) == Some(KeyKind::Module) => Self::Actor(id),
            Destination::Actor(name) => Self::Named {
                name,
                through: None,
            },
            Destination::Linked(link) => {
                let id = link.target.clone();
                let through = (link.contract.clone(), link.name.clone());
                match kind(&id) {
                    Some(KeyKind::Module) => Self::Actor(id),
                    Some(KeyKind::Provider) => {
                        let (contract, link) = through;
                        Self::Provider { id, contract, link }
                    }
                    _ => Self::Named {
                        name: id,
                        through: Some(through),
                    },
                }
            }
        }
    }

    /// The target in the signed part of the call.
    pub(super) fn entity(&self) -> Entity {
        match self {
            Self::Actor(id)
            | Self::Named {
                name: id,
                through: None,
            } => Entity::actor(id.as_str()),
            Self::Provider { id, contract, link }
            | Self::Named {
                name: id,
                through: Some((contract, link)),
            } => entity(id, contract, link),
        }
    }

    pub(super) fn subject(&self, lattice: &Id) -> String {
        match self {
            Self::Actor(id) => format!("wasmbus.rpc.{lattice}.{id}"),
            Self::Provider { id, link, .. } => format!("wasmbus.rpc.{lattice}.{id}.{link}"),
            Self::Named { name, .. } => format!("exosuit.rpc.{lattice}.{name}"),
        }
    }

    /// The subject on which a host of the same cluster accepts calls with this key.
    pub(super) fn mac_subject(&self, lattice: &Id, key: KeyId) -> String {
        mac_subject(lattice, self.name(), key)
    }

    /// How payloads are encoded there.
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Actor(_) | Self::Provider { .. } => Form::Plain,
            Self::Named { .. } => Form::Tagged,
        }
    }

    /// For people to read.
    pub(super) fn name(&self) -> &Id {
        match self {
            Self::Actor(id) | Self::Provider { id, .. } | Self::Named { name: id, .. } => id,
        }
    }
}

/// One name of an actor or provider on this host, in one form: one subscription for signed calls,
/// and for the tagged form one for each MAC key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    name: Id,
    form: Form,
    callee: Callee,
}

/// The actor or provider, by its id on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Callee {
    Actor(Id),
    Provider(Id),
}

impl Served {
    /// Everything by which an actor or a provider can be called from the lattice: its id and its
    /// key in the tagged form, and its key in the plain form.
    ///
    /// ```
    /// use exosuit_core::{Id, Local};
    /// use exosuit_lattice::Served;
    ///
    /// let id = Id::parse("echo")?;
    /// let unsigned = Local { id: id.clone(), key: None, contracts: None };
    /// assert_eq!(Served::all(&unsigned).len(), 1);
    /// # Ok::<(), exosuit_core::InvalidName>(())
    /// ```
    pub fn all(local: &Local) -> Vec<Self> {
        let callee = match &local.contracts {
            None => Callee::Actor(local.id.clone()),
            Some(_) => Callee::Provider(local.id.clone()),
        };
        let kind = match callee {
            Callee::Actor(_) => KeyKind::Module,
            Callee::Provider(_) => KeyKind::Provider,
        };
        let key = local.key.as_ref().filter(|key| **key != local.id);
        let names = std::iter::once(&local.id).chain(key);
        let served = |name: &Id, form| Self {
            name: name.clone(),
            form,
            callee: callee.clone(),
        };
        names
            .flat_map(|name| {
                let is_key = KeyKind::of_key(name.as_str()) == Some(kind);
                let plain = is_key.then(|| served(name, Form::Plain));
                plain.into_iter().chain([served(name, Form::Tagged)])
            })
            .collect()
    }

    /// Where calls to it are sent.
    pub(super) fn subject(&self, lattice: &Id) -> String {
        let name = &self.name;
        match (self.form, &self.callee) {
            (Form::Tagged, _) => format!("exosuit.rpc.{lattice}.{name}"),
            (Form::Plain, Callee::Actor(_)) => format!("wasmbus.rpc.{lattice}.{name}"),
            // Other messages of wasmCloud hosts to a provider have two tokens more.
            (Form::Plain, Callee::Provider(_)) => format!("wasmbus.rpc.{lattice}.{name}.*"),
        }
    }

    /// The subjects of calls with a MAC: one for each key of the host. None for the plain form.
    pub(super) fn mac_subjects(&self, lattice: &Id, keys: &MacKeys) -> Vec<String> {
        match self.form {
            Form::Tagged => keys
                .ids()
                .map(|key| mac_subject(lattice, &self.name, key))
                .collect(),
            Form::Plain => Vec::new(),
        }
    }

    /// The queue group. All hosts that serve the same name are in one, and one of them gets each
    /// call.
    pub(super) fn group(&self, lattice: &Id) -> String {
        match (self.form, &self.callee) {
            (Form::Plain, Callee::Provider(_)) => "rpc".to_owned(),
            _ => self.subject(lattice),
        }
    }

    /// How payloads are written there.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// For people to read.
    pub(super) fn name(&self) -> &Id {
        &self.name
    }

    /// The target of a call that came by this subject. The signed target must fit the subject.
    ///
    /// # Errors
    ///
    /// `Misdirected`, `Malformed` for a contract or link that is not valid.
    pub(super) fn target(&self, subject: &str, called: &Entity) -> Result<Target, Error> {
        let misdirected = || Error::Misdirected {
            claimed: crate::error::clip(&called.url()),
            actual: self.name.to_string(),
        };
        if called.public_key != self.name.as_str() {
            return Err(misdirected());
        }
        match &self.callee {
            Callee::Actor(id) => {
                let is_bare = called.contract.is_empty() && called.link.is_empty();
                if self.form == Form::Plain && !is_bare {
                    return Err(misdirected());
                }
                Ok(Target::Actor(id.to_string()))
            }
            Callee::Provider(id) => {
                let (contract, link) = through(called).map_err(|why| malformed("target", &why))?;
                let at = subject.rsplit('.').next();
                if self.form == Form::Plain && at != Some(link.as_str()) {
                    return Err(misdirected());
                }
                let id = id.clone();
                Ok(Target::Provider { id, contract, link })
            }
        }
    }
}

/// A caller of this host for the signed part: by its key, if it has one, and the id that goes along
/// with the key.
///
/// # Errors
///
/// `Malformed`, for a caller of another host, and for an actor whose name is the key of a host.
pub(super) fn of_origin<'a>(
    origin: &'a Origin,
    key: Option<&'a Id>,
    host: &PublicKey,
) -> Result<(Entity, Option<&'a Id>), Error> {
    let id = match origin {
        Origin::Host => return Ok((Entity::actor(host.as_str()), None)),
        Origin::Actor(id) | Origin::Provider { id, .. } => id,
        Origin::Elsewhere(remote) => {
            return Err(malformed(
                "origin",
                &format!("{} is on another host", remote.id),
            ));
        }
    };
    let name = key.unwrap_or(id);
    let entity = match origin {
        Origin::Provider { contract, link, .. } => entity(name, contract, link),
        _ => Entity::actor(name.as_str()),
    };
    // A host may call every target, so no actor or provider may have the name of a host.
    if is_host(&entity) {
        return Err(malformed("origin", &format!("{name} is the key of a host")));
    }
    Ok((entity, (name != id).then_some(id)))
}

/// The caller in a call from the lattice, with the id that was signed for it.
///
/// A call in the name of another host is a host call here: both sign by the same clusters, so the
/// other host could sign for any actor anyway.
pub(super) fn origin_of(called: &Entity, id: Option<&str>) -> Result<Origin, Error> {
    if is_host(called) {
        return Ok(Origin::Host);
    }
    let wrong = |why: InvalidName| malformed("origin", &why);
    let name = Id::parse(&called.public_key).map_err(wrong)?;
    // Only what begins with its letter is worth the parsing.
    let is_provider = name.as_str().starts_with(KeyKind::Provider.letter())
        && KeyKind::of_key(name.as_str()) == Some(KeyKind::Provider);
    let is_bare = called.contract.is_empty() && called.link.is_empty();
    let through = if called.is_actor() || is_bare && !is_provider {
        None
    } else {
        Some(through(called).map_err(wrong)?)
    };
    let id = id.map(Id::parse).transpose().map_err(wrong)?;
    let (id, key) = match id.filter(|id| *id != name) {
        Some(id) => (id, Some(name)),
        None => (name, None),
    };
    Ok(Origin::Elsewhere(Remote { id, key, through }))
}

/// The subject of calls with a MAC to a name.
fn mac_subject(lattice: &Id, name: &Id, key: KeyId) -> String {
    format!("exosuit.rpc.{lattice}.{name}.mac.{key}")
}

/// Whether this is the key of a host. Only a text that begins with its letter is parsed.
fn is_host(called: &Entity) -> bool {
    // Only what begins with its letter is worth the parsing.
    called.contract.is_empty()
        && called.link.is_empty()
        && called.public_key.starts_with(KeyKind::Server.letter())
        && KeyKind::of_key(&called.public_key) == Some(KeyKind::Server)
}

/// The contract and link of a provider's call.
fn through(called: &Entity) -> Result<(Contract, LinkName), InvalidName> {
    let contract = Contract::parse(&called.contract)?;
    Ok((contract, LinkName::parse(&called.link)?))
}

/// An entity that is called or calls through a link.
fn entity(name: &Id, contract: &Contract, link: &LinkName) -> Entity {
    Entity {
        public_key: name.to_string(),
        contract: contract.to_string(),
        link: link.to_string(),
    }
}

fn malformed(what: &'static str, why: &dyn std::fmt::Display) -> Error {
    Error::malformed(what, crate::error::clip(&why.to_string()))
}

#[cfg(test)]
mod tests;
