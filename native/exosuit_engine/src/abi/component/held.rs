//! The resources of providers and other actors that an instance holds. To wasmtime each is a number.

use exosuit_core::Handle;

/// How many things the host keeps for a guest: streams, headers, requests under way; resources that it has of others;
/// and resources of its own that others have. With the bounds on the size of each, all of them are no more than what
/// guests have of memory.
pub(super) const MAX_RESOURCES: usize = 4_096;

/// The resources of others that an instance holds, by their numbers.
#[derive(Default)]
pub(super) struct HeldResources {
    handles: Vec<Option<Handle>>,
    free: Vec<u32>,
}

impl HeldResources {
    /// Keeps a resource, if there is room.
    pub(super) fn insert(&mut self, handle: Handle) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            self.handles[number as usize] = Some(handle);
            return Some(number);
        }
        if self.handles.len() >= MAX_RESOURCES {
            return None;
        }
        self.handles.push(Some(handle));
        u32::try_from(self.handles.len() - 1).ok()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Handle> {
        self.handles.get(number as usize)?.as_ref()
    }

    /// Replaces a handle by another one.
    pub(super) fn replace(&mut self, number: u32, handle: Handle) {
        if let Some(slot) = self.handles.get_mut(number as usize) {
            *slot = Some(handle);
        }
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Handle> {
        let handle = self.handles.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(handle)
    }
}
