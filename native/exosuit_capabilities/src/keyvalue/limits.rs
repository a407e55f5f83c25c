//! The limits of a store.

/// The bounds of a store, of each of its buckets, and of a value.
#[derive(Debug, Clone, Copy)]
/// The limits of a store, of each of its buckets, and of a value.
///
/// Sizes are those of records: key, value, and 64 bytes for each. Limits that hold for every store,
/// such as the length of a key, are constants of `space` and `changes`.
pub(crate) struct StoreLimits {
    /// The size of all data of the provider.
    pub(crate) bytes: u64,
    /// The limits of a link's bucket, including the buckets inside of it.
    pub(crate) bucket_bytes: u64,
    /// The size of a value, or of an item of a list.
    pub(crate) value_bytes: u64,
    /// The number of items of a list, or members of a set.
    pub(crate) items: u64,
}
