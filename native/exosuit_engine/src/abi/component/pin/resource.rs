//! A resource that lives in a pinned instance, as its handles refer to it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use exosuit_core::Held;
use wasmtime::component::ResourceAny;

use super::Pin;
use crate::abi::component::kinds::Kind;

/// A resource of a guest. When it is dropped, its destructor gets a turn in its instance.
pub(in crate::abi::component) struct GuestResource {
    pub(in crate::abi::component) pin: Arc<Pin>,
    pub(in crate::abi::component) kind: Arc<Kind>,
    pub(in crate::abi::component) resource: ResourceAny,
    /// Whether the guest has it back.
    is_given: AtomicBool,
}

impl GuestResource {
    pub(in crate::abi::component) fn new(
        pin: &Arc<Pin>,
        kind: &Arc<Kind>,
        resource: ResourceAny,
    ) -> Self {
        pin.count_resource();
        Self {
            pin: Arc::clone(pin),
            kind: Arc::clone(kind),
            resource,
            is_given: AtomicBool::new(false),
        }
    }

    /// The guest has it back: it needs no destructor of ours.
    pub(in crate::abi::component) fn give(&self) {
        if !self.is_given.swap(true, SeqCst) {
            self.pin.forget_resource();
        }
    }
}

impl Held for GuestResource {
    fn kind(&self) -> Option<&str> {
        Some(&self.kind.name)
    }

    fn is_of(&self, kind: &str) -> bool {
        &*self.kind.name == kind
    }

    fn maker(&self) -> Option<&str> {
        Some(self.pin.actor.id.as_str())
    }

    fn ended(&self) -> Option<String> {
        self.pin.ended().map(str::to_owned)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for GuestResource {
    fn drop(&mut self) {
        if !*self.is_given.get_mut() {
            self.pin.destroy_later(self.resource, &self.kind);
        }
    }
}
