//! How entries are laid out in records. This is the format of the file: it may grow, never change.
//!
//! | record | key | value |
//! |---|---|---|
//! | an entry's head | `K` bucket key | [`Head`] |
//! | an item of a list | `I` bucket key number | the item |
//! | a member of a set | `I` bucket key member | nothing |
//! | when a value expires | `X` time, and its head's key | nothing |
//! | the bytes in use | `U` | a number |
//! | those of a bucket, with the buckets inside of it | `B` name | a number |
//!
//! Buckets and, before an item, keys have their length in front, so that none is the beginning of
//! another. Numbers are big-endian, so that their order is that of the records.
//!
//! # Example
//!
//! A value `9` under `visits` in the bucket `shop`, which expires, is two records:
//!
//! ```text
//! K 04 shop visits                    t <expires> 9
//! X <expires> K 04 shop visits
//! ```
//!
//! A list `log` with two items is three. The numbers of items grow and are not used again, so their
//! order is that of the records:
//!
//! ```text
//! K 04 shop log                       l <next = 2> <count = 2>
//! I 04 shop 0003 log <0>              first
//! I 04 shop 0003 log <1>              second
//! ```
//!
//! All keys of a bucket begin with the same bytes, so a page of keys is a scan. The expiry index is
//! ordered by time, so expired entries of all buckets are at its beginning.

use exosuit_core::{Code, Error};

/// The key of the number of bytes in use.
pub(crate) const USAGE: &[u8] = b"U";

/// The key of the number of bytes that a bucket has in use.
pub(crate) fn usage_key(bucket: &[u8]) -> Vec<u8> {
    [b"B", bucket].concat()
}

/// The bucket of a link that a record belongs to: that which holds the one in its key.
pub(crate) fn bucket_of(record_key: &[u8]) -> Result<&[u8], Error> {
    let head_key = match record_key.strip_prefix(EXPIRY) {
        Some(_) => split_expiry_key(record_key)?.1,
        None => record_key,
    };
    let [b'K' | b'I', length, rest @ ..] = head_key else {
        return Err(damaged());
    };
    let bucket = rest.get(..usize::from(*length)).ok_or_else(damaged)?;
    let end = bucket.iter().position(|byte| *byte == b'/');
    Ok(&bucket[..end.unwrap_or(bucket.len())])
}

/// The beginning of the keys of the expiry index.
pub(crate) const EXPIRY: &[u8] = b"X";

/// The first record of an entry: its kind, and its value if it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Head {
    /// A value, and when it expires in milliseconds since 1970; 0 for never. Text, if it came by
    /// `wasmcloud:keyvalue`.
    Value {
        /// When it expires.
        expires: u64,
        /// The bytes.
        value: Vec<u8>,
    },
    /// A list: the number that its next item gets, and how many it has.
    List {
        /// The number of the next item.
        next: u64,
        /// How many items there are.
        count: u64,
    },
    /// A set.
    Set {
        /// How many members it has.
        count: u64,
    },
}

impl Head {
    /// As it stands in a record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Value { expires, value } => [b"t", &expires.to_be_bytes()[..], value].concat(),
            Self::List { next, count } => {
                [b"l", &next.to_be_bytes()[..], &count.to_be_bytes()].concat()
            }
            Self::Set { count } => [b"s", &count.to_be_bytes()[..]].concat(),
        }
    }

    /// Reads a record.
    pub(crate) fn decode(record: &[u8]) -> Result<Self, Error> {
        let (kind, rest) = record.split_first().ok_or_else(damaged)?;
        let (first, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let first = u64::from_be_bytes(*first);
        match kind {
            b't' => Ok(Self::Value {
                expires: first,
                value: rest.to_vec(),
            }),
            b'l' => Ok(Self::List {
                next: first,
                count: number(rest)?,
            }),
            b's' => Ok(Self::Set { count: first }),
            _ => Err(damaged()),
        }
    }

    /// When it expires; 0 for never.
    pub(crate) fn expires(&self) -> u64 {
        match self {
            Self::Value { expires, .. } => *expires,
            Self::List { .. } | Self::Set { .. } => 0,
        }
    }

    /// When the entry of this record expires, without a copy of it; 0 for never.
    pub(crate) fn expiry(record: &[u8]) -> Result<u64, Error> {
        let (kind, rest) = record.split_first().ok_or_else(damaged)?;
        let (first, _) = rest.split_first_chunk().ok_or_else(damaged)?;
        let is_value = *kind == b't';
        Ok(if is_value {
            u64::from_be_bytes(*first)
        } else {
            0
        })
    }

    /// Whether the entry of this record is still there, without a copy of it.
    pub(crate) fn lives(record: &[u8], now: u64) -> Result<bool, Error> {
        Ok(unexpired(Self::expiry(record)?, now))
    }

    /// Whether this record is that of a value, which has no items beside it.
    pub(crate) fn is_value(record: &[u8]) -> bool {
        record.first() == Some(&b't')
    }

    /// The name of its kind in an error.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Value { .. } => "value",
            Self::List { .. } => "list",
            Self::Set { .. } => "set",
        }
    }
}

/// Whether an entry that expires at `expires` still exists at `now`. 0 means that it never expires.
pub(crate) fn unexpired(expires: u64, now: u64) -> bool {
    expires == 0 || expires > now
}

/// The beginning of the keys of a bucket's heads.
pub(crate) fn heads_key(bucket: &str) -> Vec<u8> {
    [b"K", &bucket_part(bucket)[..]].concat()
}

/// The key of an entry's head.
pub(crate) fn head_key(bucket: &str, key: &str) -> Vec<u8> {
    [&heads_key(bucket)[..], key.as_bytes()].concat()
}

/// The beginning of the keys of an entry's items.
pub(crate) fn items_key(bucket: &str, key: &str) -> Vec<u8> {
    let length = u16::try_from(key.len()).expect("a key's length is checked before it is used");
    let bucket = bucket_part(bucket);
    [b"I", &bucket[..], &length.to_be_bytes(), key.as_bytes()].concat()
}

/// The key of one item.
pub(crate) fn item_key(bucket: &str, key: &str, item: &[u8]) -> Vec<u8> {
    [&items_key(bucket, key)[..], item].concat()
}

/// The key of the expiry index for an entry.
pub(crate) fn expiry_key(expires: u64, head_key: &[u8]) -> Vec<u8> {
    [EXPIRY, &expires.to_be_bytes(), head_key].concat()
}

/// The time and the head's key in a key of the expiry index.
pub(crate) fn split_expiry_key(key: &[u8]) -> Result<(u64, &[u8]), Error> {
    let (expires, head_key) = key[EXPIRY.len()..]
        .split_first_chunk()
        .ok_or_else(damaged)?;
    Ok((u64::from_be_bytes(*expires), head_key))
}

/// Reads a number that is a record, or all that is left of one.
pub(crate) fn number(record: &[u8]) -> Result<u64, Error> {
    record
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| damaged())
}

/// Reads a text that is a record, or all that is left of one.
pub(crate) fn text(record: &[u8]) -> Result<String, Error> {
    std::str::from_utf8(record)
        .map(str::to_owned)
        .map_err(|_| damaged())
}

/// A bucket's name with its length before it.
fn bucket_part(bucket: &str) -> Vec<u8> {
    let length = u8::try_from(bucket.len()).expect("a bucket's name is checked before it is used");
    [&[length], bucket.as_bytes()].concat()
}

/// The error for a record that is not of this layout.
pub(crate) fn damaged() -> Error {
    Error::new(
        Code::Io,
        "the key-value store is damaged: it holds a record of unknown form",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_belongs_to_the_bucket_of_a_link() {
        for (bucket, outer) in [("a", "a"), ("tenant-a", "tenant-a"), ("a/inner", "a")] {
            let head = head_key(bucket, "K/x");
            let item = item_key(bucket, "key", b"item");
            for record in [&head, &item, &expiry_key(7, &head)] {
                assert_eq!(bucket_of(record), Ok(outer.as_bytes()), "{bucket}");
            }
        }
        for bad in [&b""[..], b"U", b"K", b"K\x05a", b"X", b"Ba"] {
            assert!(bucket_of(bad).is_err(), "{bad:?}");
        }
    }
}
