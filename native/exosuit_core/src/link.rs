//! Links: who may use whose capability.

use std::collections::BTreeMap;

use crate::{Contract, Id, LinkName};

/// The settings of one end of a link, or of a provider.
pub type Configuration = BTreeMap<String, String>;

/// A link from source to target for one contract, with settings for both ends.
///
/// A contract of the OTP era has no interfaces, and its `values` are `target_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The caller: an actor, or a provider that calls actors (an HTTP server of 1.x).
    pub source: Id,
    /// The called actor or provider.
    pub target: Id,
    /// Distinguishes links of one source for one contract.
    pub name: LinkName,
    /// The contract.
    pub contract: Contract,
    /// The interfaces of the contract that it covers. Empty means all.
    pub interfaces: Vec<String>,
    /// Settings for the source.
    pub source_config: Configuration,
    /// Settings for the target.
    pub target_config: Configuration,
}

/// The key of a link. Links with the same key must cover different interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey {
    /// The end that calls.
    pub source: Id,
    /// The contract.
    pub contract: Contract,
    /// The name, which distinguishes several links of one source for one contract.
    pub name: LinkName,
}

impl Link {
    /// The key of the link.
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source: self.source.clone(),
            contract: self.contract.clone(),
            name: self.name.clone(),
        }
    }

    /// Whether the link joins these two, by the names in the link, in either direction.
    ///
    /// ```
    /// use exosuit_core::{Configuration, Contract, Id, Link, LinkName};
    ///
    /// let kv = Id::parse("kv")?;
    /// let link = Link {
    ///     source: Id::parse("shop")?,
    ///     target: kv.clone(),
    ///     name: LinkName::default(),
    ///     contract: Contract::parse("wasi:keyvalue")?,
    ///     interfaces: vec![],
    ///     source_config: Configuration::new(),
    ///     target_config: [("bucket".to_owned(), "a".to_owned())].into(),
    /// };
    /// assert!(link.joins("kv", "shop") && !link.joins("kv", "other"));
    /// let (settings, actor) = link.seen_from(&kv);
    /// assert_eq!((settings["bucket"].as_str(), actor.as_str()), ("a", "shop"));
    /// # Ok::<(), exosuit_core::InvalidName>(())
    /// ```
    pub fn joins(&self, one: &str, other: &str) -> bool {
        let ends = (self.source.as_str(), self.target.as_str());
        ends == (one, other) || ends == (other, one)
    }

    /// The settings for `end`, and the id of the other end.
    pub fn seen_from(&self, end: &Id) -> (&Configuration, &Id) {
        if *end == self.source {
            (&self.source_config, &self.target)
        } else {
            (&self.target_config, &self.source)
        }
    }
}
