//! Who is who on the lattice: the names of the wire, and those of this host.

use exosuit_claims::invocation::Entity;
use exosuit_claims::{KeyKind, PublicKey};
use exosuit_core::{Contract, Id, LinkName, Origin, Remote, Target};

use crate::Error;

/// What can be served to the lattice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// An actor, by its public key or its id.
    Actor(Id),
    /// A provider, under one of its links' names.
    Provider {
        /// Its key: `V…`.
        id: Id,
        /// What it implements.
        contract: Contract,
        /// The name of the links.
        link: LinkName,
    },
}

impl Served {
    /// How it is called on the wire.
    pub(super) fn entity(&self) -> Entity {
        match self {
            Self::Actor(id) => Entity::actor(id.as_str()),
            Self::Provider { id, contract, link } => Entity {
                public_key: id.to_string(),
                contract: contract.to_string(),
                link: link.to_string(),
            },
        }
    }

    /// Where calls to it are sent.
    pub(super) fn subject(&self, lattice: &Id) -> String {
        match self {
            Self::Actor(id) => format!("wasmbus.rpc.{lattice}.{id}"),
            Self::Provider { id, link, .. } => format!("wasmbus.rpc.{lattice}.{id}.{link}"),
        }
    }

    /// The group of those who serve the same: one of them gets each call.
    pub(super) fn group(&self, lattice: &Id) -> String {
        match self {
            Self::Actor(_) => self.subject(lattice),
            Self::Provider { .. } => "rpc".to_owned(),
        }
    }

    /// How it is called on this host.
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Actor(id) => Target::Actor(id.to_string()),
            Self::Provider { contract, link, .. } => Target::Import {
                namespace: contract.to_string(),
                link: link.to_string(),
            },
        }
    }
}

/// A caller of this host, as it is called on the wire.
pub(super) fn of_origin(origin: &Origin, host: &PublicKey) -> Entity {
    match origin {
        Origin::Host => Entity::actor(host.as_str()),
        Origin::Actor(id) | Origin::Elsewhere(Remote { id, .. }) => Entity::actor(id.as_str()),
        Origin::Provider { id, contract, link } => Entity {
            public_key: id.to_string(),
            contract: contract.to_string(),
            link: link.to_string(),
        },
    }
}

/// A caller from the lattice, as it is called on this host.
///
/// Another host is as good as this one: both sign by the same clusters.
pub(super) fn origin_of(entity: &Entity) -> Result<Origin, Error> {
    let wrong = |error: exosuit_core::InvalidName| Error::malformed("origin", error.to_string());
    let id = Id::parse(&entity.public_key).map_err(wrong)?;
    if !entity.contract.is_empty() {
        let contract = Contract::parse(&entity.contract).map_err(wrong)?;
        let link = LinkName::parse(&entity.link).map_err(wrong)?;
        return Ok(Origin::Provider { id, contract, link });
    }
    let is_host = |key: PublicKey| key.kind() == KeyKind::Server;
    // Only what begins with its letter is worth the parsing.
    let may_be_host = entity.public_key.starts_with(KeyKind::Server.letter());
    if may_be_host && PublicKey::parse(&entity.public_key).is_ok_and(is_host) {
        return Ok(Origin::Host);
    }
    Ok(Origin::Actor(id))
}

#[cfg(test)]
mod tests {
    use exosuit_claims::KeyPair;

    use super::*;

    fn id(text: &str) -> Id {
        Id::parse(text).expect("an id")
    }

    fn keyvalue() -> Served {
        Served::Provider {
            id: id("VA"),
            contract: Contract::parse("wasmcloud:keyvalue").expect("a contract"),
            link: LinkName::default(),
        }
    }

    #[test]
    fn subjects_and_groups_are_those_of_the_peers() {
        let lattice = id("default");
        let actor = Served::Actor(id("MA"));
        assert_eq!(actor.subject(&lattice), "wasmbus.rpc.default.MA");
        assert_eq!(actor.group(&lattice), "wasmbus.rpc.default.MA");
        assert_eq!(
            keyvalue().subject(&lattice),
            "wasmbus.rpc.default.VA.default"
        );
        assert_eq!(keyvalue().group(&lattice), "rpc");
    }

    #[test]
    fn a_caller_is_known_by_the_same_name_on_both_sides() {
        let host = KeyPair::generate(KeyKind::Server);
        let provider = Origin::Provider {
            id: id("VA"),
            contract: Contract::parse("wasmcloud:httpserver").expect("a contract"),
            link: LinkName::default(),
        };
        for origin in [
            Origin::Host,
            Origin::Actor(id("MA")),
            Origin::Actor(id("counter")),
            provider,
        ] {
            let entity = of_origin(&origin, host.public_key());
            assert_eq!(origin_of(&entity), Ok(origin));
        }
    }

    #[test]
    fn what_cannot_be_a_caller_is_refused() {
        let mut entity = keyvalue().entity();
        entity.link = "a.b".to_owned();
        assert!(origin_of(&entity).is_err());
        for key in ["", "*", "M A", "a.>"] {
            assert!(origin_of(&Entity::actor(key)).is_err(), "{key:?}");
        }
    }
}
