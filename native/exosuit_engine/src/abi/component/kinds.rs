//! The types of resources that a component has: those that it exports, and those that it imports from interfaces
//! that links answer. A [`Kind`] is made once per component, so that two are the same if they are one `Arc`.

use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ResourceType};

/// How many types of resources a component may pass. Each function of a component looks through them.
const MAX_KINDS: usize = 256;

/// A type of resources.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The interface without its version, and the name: `acme:shop/carts/cart`.
    pub(super) name: Box<str>,
    pub(super) home: Home,
}

/// Where resources of a type live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// In an instance of this component.
    Here,
    /// With those who answer the import. The number tells the type from others to wasmtime.
    Elsewhere(u32),
}

/// All types of resources of a component that may pass. A list, since there are few; read while the component is
/// prepared, and not during calls.
#[derive(Default)]
pub(super) struct Kinds(Vec<(ResourceType, Arc<Kind>)>);

impl Kinds {
    /// The kind of a type of wasmtime's. `None` for types of WASI, which do not leave the host, and for those beyond
    /// the bound.
    pub(super) fn find(&self, ty: ResourceType) -> Option<&Arc<Kind>> {
        let found = self.0.iter().find(|(known, _kind)| *known == ty);
        found.map(|(_ty, kind)| kind)
    }

    /// Adds a type that an interface for links has, and returns the type that it has to wasmtime. `None` if there are
    /// too many.
    pub(super) fn import(
        &mut self,
        interface: &str,
        name: &str,
        ty: ResourceType,
    ) -> Option<ResourceType> {
        let number = u32::try_from(self.0.len()).ok()?;
        self.add(Some(interface), name, ty, Home::Elsewhere(number))?;
        Some(ResourceType::host_dynamic(number))
    }

    /// Adds the types that the component exports itself.
    pub(super) fn export(&mut self, component: &Component) {
        let engine = component.engine();
        for (name, export) in component.component_type().exports(engine) {
            match export.ty {
                ComponentItem::Resource(ty) => {
                    self.add(None, name, ty, Home::Here);
                }
                ComponentItem::ComponentInstance(interface) => {
                    for (resource, export) in interface.exports(engine) {
                        if let ComponentItem::Resource(ty) = export.ty {
                            self.add(Some(name), resource, ty, Home::Here);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds a type under its name without a version. `None` if it is known, or if there are too many.
    fn add(
        &mut self,
        interface: Option<&str>,
        name: &str,
        ty: ResourceType,
        home: Home,
    ) -> Option<()> {
        // An interface that is exported again names types that are known.
        if self.find(ty).is_some() {
            return None;
        }
        if self.0.len() >= MAX_KINDS {
            return None;
        }
        let name = match interface.and_then(|interface| interface.split('@').next()) {
            Some(interface) => format!("{interface}/{name}"),
            None => name.to_owned(),
        };
        let name = name.into_boxed_str();
        self.0.push((ty, Arc::new(Kind { name, home })));
        Some(())
    }
}
