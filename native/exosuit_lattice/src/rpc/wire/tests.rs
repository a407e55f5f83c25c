//! The codec against the peers' own, against itself, and against those who mean ill.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

/// The types of the peers' library, as `rmp-serde` writes and reads them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PeerEntity {
    public_key: String,
    link_name: String,
    contract_id: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PeerInvocation {
    origin: PeerEntity,
    target: PeerEntity,
    operation: String,
    #[serde(with = "serde_bytes")]
    msg: Vec<u8>,
    id: String,
    encoded_claims: String,
    host_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_length: Option<u64>,
    #[serde(
        default,
        rename = "traceContext",
        skip_serializing_if = "Option::is_none"
    )]
    trace_context: Option<BTreeMap<String, String>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PeerResponse {
    #[serde(with = "serde_bytes")]
    msg: Vec<u8>,
    invocation_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_length: Option<u64>,
}

fn peer_entity(entity: &Entity) -> PeerEntity {
    PeerEntity {
        public_key: entity.public_key.clone(),
        link_name: entity.link.clone(),
        contract_id: entity.contract.clone(),
    }
}

fn peer_invocation(invocation: &Invocation) -> PeerInvocation {
    PeerInvocation {
        origin: peer_entity(&invocation.origin),
        target: peer_entity(&invocation.target),
        operation: invocation.operation.clone(),
        msg: invocation.payload.to_vec(),
        id: invocation.id.clone(),
        encoded_claims: invocation.token.clone(),
        host_id: invocation.host_id.clone(),
        content_length: invocation.content_length,
        trace_context: None,
    }
}

prop_compose! {
    fn an_entity()(public_key in "[A-Z2-7]{0,60}", contract in ".{0,40}", link in ".{0,40}") -> Entity {
        Entity { public_key, contract, link }
    }
}

prop_compose! {
    fn an_invocation()(
        (origin, target) in (an_entity(), an_entity()),
        operation in "[A-Za-z.]{0,40}",
        payload in vec(any::<u8>(), 0..70_000),
        id in "[a-f0-9-]{1,36}",
        (token, host_id) in (".{0,300}", "[A-Z2-7]{0,56}"),
        content_length in any::<Option<u64>>(),
    ) -> Invocation {
        let payload = payload.into();
        Invocation { origin, target, operation, payload, id, token, host_id, content_length }
    }
}

prop_compose! {
    fn a_response()(
        payload in vec(any::<u8>(), 0..70_000),
        invocation_id in ".{0,40}",
        error in any::<Option<String>>(),
        content_length in any::<Option<u64>>(),
    ) -> Response {
        Response { payload: payload.into(), invocation_id, error, content_length }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_invocation_is_byte_by_byte_that_of_the_peers(invocation in an_invocation()) {
        let encoded = invocation.encode();
        let peer = peer_invocation(&invocation);
        let theirs = rmp_serde::to_vec_named(&peer).expect("encoded");
        prop_assert_eq!(&encoded[..], &theirs[..]);
        prop_assert_eq!(Invocation::decode(&encoded), Ok(invocation));
    }

    #[test]
    fn a_response_is_byte_by_byte_that_of_the_peers(response in a_response()) {
        let encoded = response.encode();
        let peer = PeerResponse {
            msg: response.payload.to_vec(),
            invocation_id: response.invocation_id.clone(),
            error: response.error.clone(),
            content_length: response.content_length,
        };
        let theirs = rmp_serde::to_vec_named(&peer).expect("encoded");
        prop_assert_eq!(&encoded[..], &theirs[..]);
        prop_assert_eq!(Response::decode(&encoded), Ok(response));
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        let _ = (Invocation::decode(&bytes), Response::decode(&bytes));
    }

    #[test]
    fn no_change_of_good_bytes_does_harm(
        invocation in an_invocation(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = invocation.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Invocation::decode(&bytes.into());
    }

    #[test]
    fn what_is_cut_short_is_refused(invocation in an_invocation(), at in any::<prop::sample::Index>()) {
        let bytes = invocation.encode();
        let cut = bytes.slice(..at.index(bytes.len()));
        prop_assert!(Invocation::decode(&cut).is_err());
    }
}

fn good() -> Invocation {
    Invocation {
        origin: Entity::actor("MA"),
        target: Entity::actor("MB"),
        id: "1".to_owned(),
        ..Invocation::default()
    }
}

/// A message of these entries, each name with its value in `MessagePack`.
fn message(entries: &[(&str, &[u8])]) -> Bytes {
    let mut out = Vec::new();
    map(&mut out, u32::try_from(entries.len()).expect("few"));
    for (name, value) in entries {
        text(&mut out, name);
        out.extend_from_slice(value);
    }
    out.into()
}

#[test]
fn what_a_peer_adds_is_passed_over() {
    let mut peer = peer_invocation(&good());
    peer.trace_context = Some([("traceparent".to_owned(), "00-…".to_owned())].into());
    let encoded = rmp_serde::to_vec_named(&peer).expect("encoded");
    assert_eq!(Invocation::decode(&encoded.into()), Ok(good()));
}

#[test]
fn bytes_come_in_three_forms_and_none() {
    for form in [
        &b"\xc4\x02hi"[..],
        b"\xa2hi",
        b"\xd9\x02hi",
        b"\x92\x68\x69",
        b"\x92\xcc\x68\xd0\x69",
    ] {
        let response = Response::decode(&message(&[("msg", form)])).expect("a response");
        assert_eq!(&response.payload[..], b"hi", "{form:?}");
    }
    let response = Response::decode(&message(&[("msg", b"\xc0")])).expect("a response");
    assert!(response.payload.is_empty());
    for wrong in [&b"\x91\xcd\x01\x00"[..], b"\x91\xff", b"\x91\xa1a", b"\x01"] {
        assert!(
            Response::decode(&message(&[("msg", wrong)])).is_err(),
            "{wrong:?}"
        );
    }
}

#[test]
fn nil_is_an_empty_name() {
    let entity: &[u8] = b"\x83\xaapublic_key\xa2MB\xabcontract_id\xc0\xa9link_name\xc0";
    let message = message(&[("target", entity), ("id", b"\xa11")]);
    let invocation = Invocation::decode(&message).expect("an invocation");
    assert_eq!(invocation.target, Entity::actor("MB"));
}

#[test]
fn lengths_that_are_only_claimed_cost_nothing() {
    for claimed in [
        &b"\xdf\xff\xff\xff\xff"[..],
        b"\x81\xdb\xff\xff\xff\xff",
        b"\x81\xa3msg\xc6\xff\xff\xff\xff",
        b"\x81\xa3msg\xdd\xff\xff\xff\xff",
        b"\x81\xa1x\xdd\xff\xff\xff\xff",
        b"\x81\xa1x\xdf\xff\xff\xff\xff",
        b"\x81\xa1x\xc9\xff\xff\xff\xff\x01",
    ] {
        assert!(
            Response::decode(&Bytes::from_static(claimed)).is_err(),
            "{claimed:?}"
        );
    }
}

#[test]
fn depth_costs_nothing() {
    let mut nested = vec![0x91; 1_000_000];
    nested.push(0xc0);
    let message = message(&[("x", &nested)]);
    assert_eq!(Response::decode(&message), Ok(Response::default()));
}

#[test]
fn what_comes_twice_or_after_the_end_is_refused() {
    let twice = message(&[("msg", b"\xa1a"), ("msg", b"\xa1b")]);
    assert!(Response::decode(&twice).is_err());
    let mut longer = good().encode().to_vec();
    longer.push(0xc0);
    assert!(Invocation::decode(&longer.into()).is_err());
}

#[test]
fn an_id_is_fit_to_be_a_name() {
    for id in ["", "a.b", "a b", "../x", "é", &"a".repeat(73)] {
        let mut invocation = good();
        invocation.id = id.to_owned();
        assert!(Invocation::decode(&invocation.encode()).is_err(), "{id:?}");
    }
}
