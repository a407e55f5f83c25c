//! The limits of a store.

/// The bounds of a store, of each of its buckets, and of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreLimits {
    pub(crate) bytes: u64,
    /// The limits of a link's bucket, including the buckets inside of it.
    pub(crate) bucket_bytes: u64,
    pub(crate) value_bytes: u64,
    pub(crate) items: u64,
}
