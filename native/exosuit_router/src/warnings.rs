//! Warnings about parts of a link without effect. Each is reported once.
//!
//! A provider reports settings of its links, and the router reports links that cannot be used.
//!
//! A warning never refuses anything: the link serves, and a setting of it does nothing. It is
//! reported when both sides are known, that is when a link is put, a provider takes it, or its
//! actor is published. The texts are kept per link, so a restart does not repeat them.

use std::sync::Arc;

use exosuit_core::{Id, Link, LinkKey, LinkName, Notice};

use crate::Router;
use crate::actor::Running;
use crate::links::Linked;
use crate::provider::Provider;
use crate::table::ActorEntry;

/// The ends of a link that run.
struct Ends {
    /// `None` if it is not on this host.
    provider: Option<Arc<Provider>>,
    /// Only for a link with a name of its own, as only that can be unusable.
    caller: Option<Arc<Running>>,
}

impl Router {
    /// The warnings about the links of a key, as texts for people.
    ///
    /// All that hold now, also those that were reported before. Empty for an unknown key.
    pub fn link_warnings(&self, key: &LinkKey) -> Vec<String> {
        let links = self.table.read().links.of(key).to_vec();
        let links = links.iter().filter(|linked| !linked.is_revoked());
        links
            .flat_map(|linked| self.warnings(&linked.link))
            .collect()
    }

    /// Observes the warnings about a link that were not reported before.
    pub(crate) fn warn_of(&self, linked: &Linked) {
        let link = &linked.link;
        for text in self.warnings(link) {
            if linked.is_news(&text) {
                self.observe.observe(Notice::LinkWarning {
                    source: link.source.clone(),
                    target: link.target.clone(),
                    contract: link.contract.clone(),
                    name: link.name.clone(),
                    text,
                });
            }
        }
    }

    /// Observes the warnings about the links of an actor that runs now.
    pub(crate) fn warn_of_links_of(&self, actor: &Id) {
        let links: Vec<_> = {
            let table = self.table.read();
            let names = table.actors.get(actor).into_iter();
            let links = table.links_at(names.flat_map(ActorEntry::names));
            links.cloned().collect()
        };
        for linked in &links {
            self.warn_of(linked);
        }
    }

    /// The provider's warnings, and that of the router: a component cannot use a named link. No
    /// lock is held while the provider is asked.
    fn warnings(&self, link: &Arc<Link>) -> Vec<String> {
        let Ends { provider, caller } = self.ends(link);
        let mut warnings = provider.map_or_else(Vec::new, |provider| provider.warnings(link));
        if caller.is_some_and(|caller| !caller.target.names_links()) {
            warnings.push(format!(
                "{} is a component, which uses links named {:?}: the link {:?} is never used",
                link.source,
                LinkName::DEFAULT,
                link.name.as_str()
            ));
        }
        warnings
    }

    /// The provider of a link, and the actor that calls through it by its name.
    fn ends(&self, link: &Link) -> Ends {
        let table = self.table.read();
        // All actors of one public key have the same kind of code.
        let caller = || {
            let named = table.linked_as(link.source.as_str());
            named.entries().first()?.actor.running()
        };
        let has_name = link.name != LinkName::default();
        Ends {
            provider: table.provider_of(link).cloned(),
            caller: has_name.then(caller).flatten(),
        }
    }
}
