//! Messages there and back, and what those who mean ill may send for one.

use std::sync::Arc;

use exosuit_claims::{KeyKind, KeyPair};
use exosuit_core::Id;
use proptest::prelude::*;

use super::super::mac::MacKeys;
use super::*;

const NOW: u64 = 1_700_000_000_000;

fn keys() -> Arc<EpochKeys> {
    let lattice = Id::parse("default").expect("a name");
    MacKeys::new(&lattice, [&KeyPair::generate(KeyKind::Cluster)]).own(NOW)
}

fn request() -> Request {
    Request {
        time: NOW,
        id: [7; 16],
        origin: Entity::actor("MA"),
        origin_id: Some("counter".to_owned()),
        target: Entity {
            public_key: "keyvalue".to_owned(),
            contract: "wasmcloud:keyvalue".to_owned(),
            link: "default".to_owned(),
        },
        operation: "KeyValue.Get".to_owned(),
        hash: hash(b"payload"),
        length: 7,
        depth: 3,
        left: 2_000,
        trace: Trace {
            parent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            state: None,
        },
    }
}

fn answer() -> Answer {
    Answer {
        time: NOW,
        error: None,
        hash: hash(b"payload"),
        length: 7,
    }
}

#[test]
fn messages_are_read_as_they_were_written() {
    let keys = keys();
    let (message, mac) = request().encode(&keys, b"payload");
    let received = Request::decode(&message).expect("a request");
    assert_eq!(received.said, request());
    assert_eq!((received.key, received.epoch), (keys.id, keys.epoch));
    assert!(keys.is_of_request(&received.header, &received.mac));
    assert_eq!(
        (received.mac, &received.payload[..]),
        (mac, &b"payload"[..])
    );
    assert!(check(b"payload", &received.said.hash).is_ok());
    assert!(check(b"Payload", &received.said.hash).is_err());

    let failed = Answer {
        error: Some(("trap".to_owned(), "it trapped".to_owned())),
        ..answer()
    };
    for sent in [answer(), failed] {
        let received = Answer::decode(&sent.encode(&keys, &mac, b"payload")).expect("an answer");
        assert!(keys.is_of_answer(&mac, &received.header, &received.mac));
        assert!(!keys.is_of_answer(&[0; MAC_LENGTH], &received.header, &received.mac));
        assert_eq!(received.said, sent);
    }
}

#[test]
fn every_byte_of_a_header_is_covered() {
    let keys = keys();
    let (message, mac) = request().encode(&keys, b"");
    let reply = answer().encode(&keys, &mac, b"");
    for at in 0..message.len() {
        let mut changed = message.to_vec();
        changed[at] ^= 1;
        let holds = Request::decode(&changed.into()).is_ok_and(|it| {
            it.key == keys.id && it.epoch == keys.epoch && keys.is_of_request(&it.header, &it.mac)
        });
        assert!(!holds, "byte {at} of a request");
    }
    for at in 0..reply.len() {
        let mut changed = reply.to_vec();
        changed[at] ^= 1;
        let holds = Answer::decode(&changed.into()).is_ok_and(|it| {
            it.key == keys.id
                && it.epoch == keys.epoch
                && keys.is_of_answer(&mac, &it.header, &it.mac)
        });
        assert!(!holds, "byte {at} of an answer");
    }
}

#[test]
fn a_request_is_no_answer() {
    let keys = keys();
    let (message, mac) = request().encode(&keys, b"");
    let as_answer = Answer::decode(&message);
    let holds = as_answer.is_ok_and(|it| keys.is_of_answer(&mac, &it.header, &it.mac));
    assert!(!holds);
}

#[test]
fn an_error_is_as_long_as_it_may_be() {
    let keys = keys();
    let long = Answer {
        error: Some(("é".repeat(100), "é".repeat(10_000))),
        ..answer()
    };
    let read = Answer::decode(&long.encode(&keys, &[0; MAC_LENGTH], b"")).expect("an answer");
    let (code, text) = read.said.error.expect("an error");
    assert_eq!((code.len(), text.len()), (MAX_CODE, MAX_TEXT));
}

/// A number at an end of what a machine counts.
fn extreme() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::from(u32::MAX) >> 1),
        Just(1 << 31),
        Just(u64::from(u32::MAX)),
        Just(1 << 32),
        Just(u64::MAX >> 1),
        Just(1 << 63),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

proptest! {
    #[test]
    fn no_bytes_crash(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        let _ = (Request::decode(&bytes), Answer::decode(&bytes));
    }

    #[test]
    fn every_number_is_read_as_it_was_written(
        time in extreme(), length in extreme(), left in extreme(), depth in any::<u8>(),
    ) {
        let keys = keys();
        let sent = Request { time, length, depth, left, ..request() };
        let read = Request::decode(&sent.encode(&keys, b"").0).expect("a request");
        prop_assert_eq!(read.said, sent);
    }

    #[test]
    fn a_length_that_is_claimed_is_not_believed(at in 0usize..300, length in any::<u32>()) {
        let (message, _) = request().encode(&keys(), b"payload");
        let mut message = message.to_vec();
        let end = (at + 4).min(message.len());
        let begin = end - 4;
        message[begin..end].copy_from_slice(&length.to_be_bytes());
        let message = Bytes::from(message);
        let _ = (Request::decode(&message), Answer::decode(&message));
    }
}
