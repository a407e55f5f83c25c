//! One call from an origin to a target.

use std::num::NonZeroU64;
use std::time::Instant;

use crate::{Contract, Id, LinkName, Payload};

/// One call from an origin to a target.
#[derive(Debug)]
pub struct Invocation {
    /// The caller.
    pub origin: Origin,
    /// The target.
    pub target: Target,
    /// `Service.Method` for wasmbus; `ns:pkg/iface@version#function` for WIT.
    pub operation: String,
    /// The arguments.
    pub payload: Payload,
    /// The deadline and depth.
    pub context: Context,
}

/// The part of a call that nested calls inherit.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// When the call must be answered.
    pub deadline: Instant,
    /// How deeply the call is nested; 0 for a call from outside.
    pub depth: u8,
    /// The process or the instance that calls, as a number that no other one has. It owns the resources that the
    /// call gives it.
    pub caller: Option<NonZeroU64>,
    /// The innermost call that this one is part of and that runs in an instance which holds resources, as a number
    /// that no other one has. `None` beyond the host.
    pub within: Option<NonZeroU64>,
}

impl Context {
    /// The context of a call from outside.
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            depth: 0,
            caller: None,
            within: None,
        }
    }

    /// The context of a call that is made inside this one. Its deadline is not later than this one's. It has no caller yet.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use exosuit_core::Context;
    ///
    /// let outer = Context::until(Instant::now() + Duration::from_secs(1));
    /// let inner = outer.nested();
    /// assert_eq!((inner.depth, inner.deadline), (1, outer.deadline));
    /// ```
    #[must_use]
    pub fn nested(self) -> Self {
        Self {
            deadline: self.deadline,
            depth: self.depth.saturating_add(1),
            caller: None,
            within: self.within,
        }
    }
}

/// The caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The host, for a caller in Elixir. It needs no link.
    Host,
    /// An actor of this host.
    Actor(Id),
    /// A provider. A link joins it to the called actor under this contract.
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

/// A caller on another host, which that host has authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Its id there.
    pub id: Id,
    /// Its public key, `M…` or `V…`, if it has one besides its id.
    pub key: Option<Id>,
    /// The contract and the link of a provider's call.
    pub through: Option<(Contract, LinkName)>,
}

/// The target.
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
    /// The import of a guest: a contract that a link resolves, or an actor's public key or call
    /// alias.
    Import {
        /// Contract, public key or call alias.
        namespace: String,
        /// The name of the link, for a contract.
        link: String,
    },
}

/// The claims of an actor, as far as calls need them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `M…`; `None` for an unsigned actor.
    pub public_key: Option<String>,
    /// `A…`: the account that signed the token; `None` for an unsigned actor.
    pub issuer: Option<String>,
    /// A name that other actors may call it by.
    pub call_alias: Option<String>,
    /// The capabilities that it may use.
    pub grants: Grants,
    /// When its token expires, in Unix seconds.
    pub expires_at: Option<u64>,
    /// Identifies the settings of actors with one token: equal texts mean equal settings.
    pub settings: String,
}

/// Which capabilities an actor may be linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grants {
    /// The capabilities in its token: `wasmcloud:keyvalue`.
    Capabilities(Vec<String>),
    /// All: the links of an unsigned actor that was explicitly allowed are its only grant.
    Links,
}

impl Grants {
    /// Whether the contract may be used.
    ///
    /// ```
    /// use exosuit_core::{Contract, Grants};
    ///
    /// let grants = Grants::Capabilities(vec!["wasi:http".to_owned()]);
    /// assert!(grants.allow(&Contract::parse("wasi:http")?));
    /// assert!(!grants.allow(&Contract::parse("wasi:keyvalue")?));
    /// # Ok::<(), exosuit_core::InvalidName>(())
    /// ```
    pub fn allow(&self, contract: &Contract) -> bool {
        match self {
            Self::Capabilities(names) => names.iter().any(|name| name == contract.as_str()),
            Self::Links => true,
        }
    }
}
