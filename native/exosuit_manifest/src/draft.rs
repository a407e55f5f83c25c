//! Components without their traits: links are parsed once all components are known.

use std::collections::HashMap;

use exosuit_core::{Contract, Id, LinkName};

use crate::diagnostic::Place;
use crate::image::Image;
use crate::model::Configured;
use crate::value::Value;

/// The kinds of components.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Actor,
    Provider,
}

/// A component without its traits: links are parsed once all components are known. A field that was
/// reported is `None`.
pub(crate) struct Draft<'a> {
    /// Its name, which is unique in the manifest.
    pub(crate) name: Option<&'a str>,
    pub(crate) kind: Option<Kind>,
    pub(crate) id: Option<Id>,
    pub(crate) image: Option<Image>,
    pub(crate) contract: Option<Contract>,
    pub(crate) link_name: LinkName,
    /// The component itself, for messages.
    pub(crate) at: Value<'a>,
    /// The place of its name, or of the component if it has none.
    pub(crate) name_at: Value<'a>,
    pub(crate) config: Configured,
    pub(crate) image_place: Place,
    /// The traits, not yet parsed.
    pub(crate) traits: Vec<Value<'a>>,
}

/// All components of a manifest in their order.
pub(crate) struct Drafts<'a> {
    pub(crate) list: Vec<Draft<'a>>,
    /// The index of each name.
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Drafts<'a> {
    /// The drafts, with an index by name. Of two with one name, the last is found; both were
    /// reported.
    pub(crate) fn new(list: Vec<Draft<'a>>) -> Self {
        let names = list.iter().enumerate();
        let by_name = names
            .filter_map(|(index, draft)| Some((draft.name?, index)))
            .collect();
        Self { list, by_name }
    }

    /// The component of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Draft<'a>> {
        self.list.get(*self.by_name.get(name)?)
    }

    /// All names, for suggestions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.list.iter().filter_map(|draft| draft.name)
    }
}
