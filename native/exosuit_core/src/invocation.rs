//! One call from an origin to a target.

use std::time::Instant;

use crate::{Contract, Id, LinkName, Payload};

/// One call from an origin to a target.
#[derive(Debug)]
pub struct Invocation {
    /// Who calls.
    pub origin: Origin,
    /// Who is called.
    pub target: Target,
    /// `Service.Method` for wasmbus; `ns:pkg/iface@version#function` for WIT.
    pub operation: String,
    /// The arguments.
    pub payload: Payload,
    /// What a call inherits from the one that caused it.
    pub context: Context,
}

/// What a call inherits from the one that caused it.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// When the call must be answered.
    pub deadline: Instant,
    /// How many calls it is inside of; 0 for one from outside.
    pub depth: u8,
}

impl Context {
    /// The context of a call from outside.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, depth: 0 }
    }

    /// The context of a call made inside this one: never a later deadline.
    #[must_use]
    pub fn nested(self) -> Self {
        Self {
            deadline: self.deadline,
            depth: self.depth.saturating_add(1),
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The host itself, for a caller in Elixir: no link needed.
    Host,
    /// An actor of this host.
    Actor(Id),
    /// A provider, for the actor that a link joins to it under this contract.
    Provider {
        /// Its id.
        id: Id,
        /// The contract.
        contract: Contract,
        /// Through which link.
        link: LinkName,
    },
    /// An actor or a provider of another host.
    Elsewhere(Remote),
}

/// Who calls from another host, which has vouched for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Its id there.
    pub id: Id,
    /// Its public key, `M…` or `V…`, if it has one besides its id.
    pub key: Option<Id>,
    /// Of a provider: for which contract it calls, through which link.
    pub through: Option<(Contract, LinkName)>,
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// An actor, by id, public key or call alias.
    Actor(String),
    /// A provider of this host, called from another one.
    Provider {
        /// Its id.
        id: Id,
        /// The contract.
        contract: Contract,
        /// Through which link.
        link: LinkName,
    },
    /// What a guest asks for: a contract that a link resolves, or an actor's public key or call alias.
    Import {
        /// Contract, public key or call alias.
        namespace: String,
        /// The link to take, for a contract.
        link: String,
    },
}

/// What the token of an actor says about it, as far as calls need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `M…`; none for an unsigned actor.
    pub public_key: Option<String>,
    /// `A…`: who signed the token; none for an unsigned actor.
    pub issuer: Option<String>,
    /// A name that other actors may call it by.
    pub call_alias: Option<String>,
    /// What it may use.
    pub grants: Grants,
    /// Unix time in seconds from which on its token is no longer good.
    pub expires_at: Option<u64>,
    /// Tells apart the settings that actors of one token run with: equal texts mean equal settings.
    pub settings: String,
}

/// Which capabilities an actor may be linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grants {
    /// Those that its token names: `wasmcloud:keyvalue`.
    Capabilities(Vec<String>),
    /// Any: an unsigned actor that was explicitly allowed has its links as its only grant.
    Links,
}

impl Grants {
    /// Whether the contract may be used.
    pub fn allow(&self, contract: &Contract) -> bool {
        match self {
            Self::Capabilities(names) => names.iter().any(|name| name == contract.as_str()),
            Self::Links => true,
        }
    }
}
