//! An entry as one value: its head, and its items if it has any. This is the format of the lattice's
//! buckets: it may grow, never change.
//!
//! After the number of the format come the head and then, for each item, the part of its key that is
//! its own and the item, as [`layout`](super::layout) has them. Each has its length in four bytes in
//! front of it.
//!
//! ```text
//! ┌───┬────────┬──────┬────────┬──────────┬────────┬──────┬ …
//! │ 1 │ length │ head │ length │ own part │ length │ item │
//! └───┴────────┴──────┴────────┴──────────┴────────┴──────┴ …
//! format  4 B            4 B                4 B       once for each item
//! ```
//!
//! An entry must fit into one message of the servers. So a large list costs a large message with
//! each change of it.

use bytes::Bytes;
use exosuit_core::Error;

use super::layout::{self, Head};
use super::memory::Records;

/// The number of the format.
const FORMAT: u8 = 1;

/// The entry of a key, packed, and when it expires. `None` if there is no such entry.
pub(crate) fn pack(
    records: &Records,
    bucket: &str,
    key: &str,
) -> Result<Option<(Bytes, u64)>, Error> {
    let Some(head) = records.get(&layout::head_key(bucket, key)) else {
        return Ok(None);
    };
    let expires = match Head::decode(head)? {
        Head::Value { expires, .. } => expires,
        Head::List { .. } | Head::Set { .. } => 0,
    };
    let mut packed = vec![FORMAT];
    put(&mut packed, head);
    let prefix = layout::items_key(bucket, key);
    for (key, item) in records.range(prefix.clone()..) {
        let Some(own) = key.strip_prefix(&prefix[..]) else {
            break;
        };
        put(&mut packed, own);
        put(&mut packed, item);
    }
    Ok(Some((packed.into(), expires)))
}

/// Adds the records of a packed entry. `io` for bytes of another format.
pub(crate) fn unpack(
    packed: &[u8],
    bucket: &str,
    key: &str,
    records: &mut Records,
) -> Result<(), Error> {
    let (format, mut rest) = packed.split_first().ok_or_else(layout::damaged)?;
    if *format != FORMAT {
        return Err(layout::damaged());
    }
    let head = take(&mut rest)?;
    records.insert(layout::head_key(bucket, key), head.to_vec());
    let prefix = layout::items_key(bucket, key);
    while !rest.is_empty() {
        let own = take(&mut rest)?;
        let item = take(&mut rest)?;
        records.insert([&prefix[..], own].concat(), item.to_vec());
    }
    Ok(())
}

/// Appends a part with its length.
fn put(packed: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("the limits on values are below 4 GiB");
    packed.extend_from_slice(&length.to_be_bytes());
    packed.extend_from_slice(part);
}

/// The next part.
fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let (length, after) = rest.split_first_chunk().ok_or_else(layout::damaged)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (part, after) = after.split_at_checked(length).ok_or_else(layout::damaged)?;
    *rest = after;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_again_with_its_items_and_no_others() {
        let mut records = Records::new();
        let head = Head::List { next: 2, count: 2 };
        records.insert(layout::head_key("b", "l"), head.encode());
        for (number, item) in [(0_u64, &b""[..]), (1, b"item")] {
            let key = layout::item_key("b", "l", &number.to_be_bytes());
            records.insert(key, item.to_vec());
        }
        let alone = records.clone();
        records.insert(layout::item_key("b", "l2", b"x"), Vec::new());
        records.insert(layout::item_key("c", "l", b"x"), Vec::new());

        let (packed, expires) = pack(&records, "b", "l").expect("good").expect("an entry");
        let mut found = Records::new();
        unpack(&packed, "b", "l", &mut found).expect("good");
        assert_eq!((found, expires), (alone, 0));
        assert_eq!(pack(&records, "b", "none").expect("good"), None);
    }

    #[test]
    fn the_end_of_a_value_is_told_beside_it() {
        let head = Head::Value {
            expires: 7,
            value: b"v".to_vec(),
        };
        let records = Records::from([(layout::head_key("b", "k"), head.encode())]);
        let packed = pack(&records, "b", "k").expect("good");
        assert_eq!(packed.map(|(_, expires)| expires), Some(7));
    }

    #[test]
    fn what_was_not_written_here_is_an_error() {
        for packed in [
            &b""[..],
            b"\x02",
            b"\x01",
            b"\x01\0\0\0\x05abcd",
            b"5",
            b"\x01\0\0\0\0\0",
        ] {
            let unpacked = unpack(packed, "b", "k", &mut Records::new());
            assert!(unpacked.is_err(), "{packed:?}");
        }
    }
}
