//! Payloads there and back, and what those who mean ill may send for one.

use bytes::Bytes;
use exosuit_core::{Body, Code, Exchange, Value, WitName};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use proptest::prelude::*;

use super::*;

const LARGEST: u32 = 1 << 20;

fn memory() -> Memory {
    Memory::new(8 << 20)
}

fn limits(memory: &Memory) -> PayloadLimits<'_> {
    PayloadLimits {
        largest: LARGEST,
        memory,
    }
}

/// Runs what waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

fn written(payload: Payload) -> Result<Bytes, Error> {
    let memory = memory();
    now(Form::Tagged.payload(payload, limits(&memory))).map(|held| held.bytes)
}

fn read(bytes: &Bytes) -> Result<Payload, Error> {
    let read = Form::Tagged.read_payload(bytes.clone().into(), &memory());
    read.map(|(payload, _)| payload)
}

fn replied(reply: Reply) -> Result<Bytes, Error> {
    let memory = memory();
    now(Form::Tagged.reply(reply, limits(&memory))).map(|held| held.bytes)
}

fn values(bytes: &Bytes) -> Result<Vec<Value>, Error> {
    read(bytes)?.into_values().map_err(Error::Content)
}

fn a_name() -> impl Strategy<Value = WitName> {
    "[a-z][a-z-]{0,40}".prop_map(WitName::from)
}

/// Values of every kind, nested.
fn a_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Integer),
        any::<i64>().prop_map(|number| Value::Integer(number.into())),
        any::<u64>().prop_map(|number| Value::Integer(number.into())),
        (-200i128..200).prop_map(Value::Integer),
        any::<i32>().prop_map(|number| Value::Float(f64::from(number) / 8.0)),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::binary),
    ];
    leaf.prop_recursive(6, 64, 20, |inner| {
        let several = || prop::collection::vec(inner.clone(), 0..20);
        let one = || prop::option::of(inner.clone().prop_map(Box::new));
        prop_oneof![
            several().prop_map(Value::List),
            several().prop_map(Value::Tuple),
            one().prop_map(Value::Ok),
            one().prop_map(Value::Error),
            prop::collection::vec((a_name(), inner.clone()), 0..8).prop_map(Value::Record),
            prop::collection::vec((inner.clone(), inner.clone()), 0..8).prop_map(Value::Map),
            (a_name(), one()).prop_map(|(name, value)| Value::Case(name, value)),
            inner.clone().prop_map(|value| Value::Some(Box::new(value))),
        ]
    })
}

proptest! {
    #[test]
    fn values_come_as_they_were_sent(sent in prop::collection::vec(a_value(), 0..5)) {
        let bytes = written(Payload::Values(sent.clone())).expect("written");
        prop_assert_eq!(values(&bytes), Ok(sent));
        // Any reader of MessagePack can read it.
        prop_assert!(rmp_serde::from_slice::<serde::de::IgnoredAny>(&bytes[1..]).is_ok());
    }

    #[test]
    fn a_result_comes_as_it_was_sent(sent in a_value()) {
        let bytes = replied(Reply::Value(sent.clone())).expect("written");
        let read = Form::Tagged.read_reply(&bytes).expect("an answer");
        prop_assert_eq!(read.into_value(), Ok(sent));
    }

    #[test]
    fn no_bytes_do_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..400), tag in 0u8..4) {
        bytes.insert(0, tag);
        let bytes = Bytes::from(bytes);
        let _ = (read(&bytes), Form::Tagged.read_reply(&bytes));
    }

    #[test]
    fn no_change_of_good_bytes_does_harm(
        sent in a_value(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = written(Payload::Values(vec![sent])).expect("written").to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes.into());
    }

    #[test]
    fn what_is_cut_short_is_refused(sent in a_value(), at in any::<prop::sample::Index>()) {
        let bytes = written(Payload::Values(vec![sent])).expect("written");
        let cut = bytes.slice(..at.index(bytes.len()));
        prop_assert!(read(&cut).is_err());
    }
}

#[test]
fn bytes_are_bytes_in_both_forms() {
    let memory = memory();
    for (form, wire) in [(Form::Plain, &b"hi"[..]), (Form::Tagged, b"\x00hi")] {
        let written = now(form.payload("hi".into(), limits(&memory))).expect("written");
        assert_eq!(written.bytes, wire);
        let (read, _) = form.read_payload(written, &memory).expect("a payload");
        assert_eq!(read.into_bytes(), Ok(Bytes::from("hi")));
        let written = now(form.reply("hi".into(), limits(&memory))).expect("written");
        assert_eq!(written.bytes, wire);
        let read = form
            .read_reply(&written.bytes)
            .and_then(|reply| reply.into_bytes().map_err(Error::Content));
        assert_eq!(read, Ok(Bytes::from("hi")));
    }
}

#[test]
fn the_peers_know_bytes_only() {
    let memory = memory();
    let refused = now(Form::Plain.payload(Payload::Values(Vec::new()), limits(&memory)));
    assert!(matches!(refused, Err(Error::Content(error)) if error.code == Code::InvalidInput));
    let refused = now(Form::Plain.reply(Reply::Value(Value::Nil), limits(&memory)));
    assert!(matches!(refused, Err(Error::Content(error)) if error.code == Code::InvalidInput));
}

#[test]
fn what_has_no_known_tag_is_refused() {
    for bytes in [&b""[..], b"\x03", b"\xffabc"] {
        let bytes = Bytes::from_static(bytes);
        assert!(read(&bytes).is_err() && Form::Tagged.read_reply(&bytes).is_err());
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Nil, |value, _| Value::List(vec![value]))
}

#[test]
fn values_are_bounded_in_depth_and_number_on_both_sides() {
    let send = |value| written(Payload::Values(vec![value]));
    assert!(send(nested(63)).is_ok());
    assert!(matches!(send(nested(64)), Err(Error::Malformed { .. })));
    assert!(send(Value::List(vec![Value::Nil; (1 << 18) - 1])).is_ok());
    assert!(send(Value::List(vec![Value::Nil; 1 << 18])).is_err());

    // Written by somebody who does not care.
    let mut deep = vec![VALUES];
    deep.extend(vec![0x91; 100_000]);
    deep.push(0xc0);
    assert!(read(&deep.into()).is_err());
    let mut wide = vec![VALUES, 0x91, 0xdd, 0, 4, 0, 0];
    wide.extend(vec![0xc0; 1 << 18]);
    assert!(read(&wide.into()).is_err());
    // Lengths that are only claimed.
    for claimed in [
        &b"\x01\xdd\xff\xff\xff\xff"[..],
        b"\x01\x91\xc6\xff\xff\xff\xff",
        b"\x01\x91\xdf\xff\xff\xff\xff",
    ] {
        assert!(read(&Bytes::from_static(claimed)).is_err(), "{claimed:?}");
    }
}

#[test]
fn what_is_none_of_our_values_is_refused() {
    for wrong in [
        &b"\x91\xa1a"[..],
        b"\x91\x80",
        b"\x91\x81\x07\x90",
        // A key without its value.
        b"\x91\x81\x06\x91\xc0",
        b"\x91\x81\x01\x92\xc0\xc0",
        b"\x91\x82\x00\x90\x01\x90",
        b"\x91\xca\0\0\0\0",
        b"\x91\xd4\x00\x00",
        b"\x90\xc0",
        b"\xc0",
    ] {
        let bytes = Bytes::from([&[VALUES], wrong].concat());
        assert!(read(&bytes).is_err(), "{wrong:?}");
    }
    // An answer is one value.
    for wrong in [&b"\x01\x90"[..], b"\x01\x92\xc0\xc0"] {
        assert!(Form::Tagged.read_reply(&Bytes::from_static(wrong)).is_err());
    }
}

#[test]
fn values_take_the_room_that_they_need_unpacked() {
    let payload = Payload::Values(vec![Value::List(vec![Value::Nil; 1_000])]);
    let bytes = written(payload).expect("written");
    let small = Memory::new(u32::try_from(1_000 * values::SIZE).expect("small"));
    let read = Form::Tagged.read_payload(bytes.clone().into(), &small);
    assert!(matches!(read, Err(Error::Overloaded)));
    let room = Memory::new(u32::try_from(1_002 * values::SIZE).expect("small"));
    let held = Form::Tagged
        .read_payload(bytes.clone().into(), &room)
        .expect("room");
    assert!(
        Form::Tagged
            .read_payload(bytes.clone().into(), &room)
            .is_err()
    );
    drop(held);
    assert!(Form::Tagged.read_payload(bytes.into(), &room).is_ok());
}

fn body(frames: &[&'static str]) -> Body {
    let frames: Vec<_> = frames
        .iter()
        .map(|frame| Ok(http_body::Frame::data(Bytes::from(*frame))))
        .collect();
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

fn request(body: Body) -> Payload {
    let request = Request::post("http://example.org/a?b=c")
        .header("x-kept", "1")
        .header("x-kept", "2")
        .header("connection", "close, x-hop")
        .header("x-hop", "1")
        .header("te", "trailers")
        .header("trailer", "x-late")
        .body(body)
        .expect("a request");
    Payload::Http(Box::new(Exchange::new(request)))
}

fn kept(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

#[test]
fn a_request_comes_whole() {
    let bytes = written(request(body(&["some", "", "thing"]))).expect("written");
    let exchange = read(&bytes).and_then(|payload| payload.into_http().map_err(Error::Content));
    let (head, body) = exchange.expect("a request").request.into_parts();
    assert_eq!(head.method, http::Method::POST);
    assert_eq!(head.uri, "http://example.org/a?b=c");
    assert_eq!(
        kept(&head.headers),
        [("x-kept", &b"1"[..]), ("x-kept", b"2")]
    );
    assert_eq!(now(body.collect()).expect("a body").to_bytes(), "something");
}

#[test]
fn a_response_comes_whole() {
    let response = Response::builder()
        .status(StatusCode::NOT_FOUND)
        .header(header::SET_COOKIE, "a=\u{e9}")
        .body(body(&["no", "where"]))
        .expect("a response");
    let bytes = replied(Reply::Http(Box::new(response))).expect("written");
    let response = Form::Tagged
        .read_reply(&bytes)
        .expect("an answer")
        .into_http();
    let (head, body) = response.expect("a response").into_parts();
    assert_eq!(head.status, StatusCode::NOT_FOUND);
    assert_eq!(kept(&head.headers), [("set-cookie", "a=\u{e9}".as_bytes())]);
    assert_eq!(now(body.collect()).expect("a body").to_bytes(), "nowhere");
}

#[test]
fn a_body_that_is_too_large_or_breaks_off_is_an_error() {
    let large = whole(vec![0; LARGEST as usize + 1]);
    assert!(matches!(
        written(request(large)),
        Err(Error::TooLarge { .. })
    ));
    // With its head it is too large.
    let large = whole(vec![0; LARGEST as usize]);
    assert!(matches!(
        written(request(large)),
        Err(Error::TooLarge { .. })
    ));

    let end = exosuit_core::Error::new(Code::Io, "the client broke off");
    let frames = [
        Ok(http_body::Frame::data(Bytes::from("x"))),
        Err(end.clone()),
    ];
    let broken = StreamBody::new(futures_util::stream::iter(frames)).boxed();
    assert_eq!(written(request(broken)), Err(Error::Content(end)));

    let memory = Memory::new(3);
    let gathered = now(Form::Tagged.payload(request(body(&["some"])), limits(&memory)));
    assert!(matches!(gathered, Err(Error::Overloaded)));
}

#[test]
fn what_is_no_http_message_is_refused() {
    for wrong in [
        &b"\x94\xa0\xa1/\x90\xc4\x00"[..],
        b"\x94\xa3GET\xa2 /\x90\xc4\x00",
        b"\x94\xa3GET\xa1/\x91\xa1a\xc4\x00",
        b"\x94\xa3GET\xa1/\x92\xa2a \xc4\x00\xc4\x00",
        b"\x94\xa3GET\xa1/\x92\xa1a\xc4\x01\n\xc4\x00",
        b"\x94\xa3GET\xa1/\x90\xc4\x00\xc0",
        b"\x93\xa3GET\xa1/\x90",
    ] {
        let bytes = Bytes::from([&[HTTP], wrong].concat());
        assert!(read(&bytes).is_err(), "{wrong:?}");
    }
    for wrong in [
        &b"\x93\x00\x90\xc4\x00"[..],
        b"\x93\xcd\xff\xff\x90\xc4\x00",
        b"\x92\xcc\xc8\x90",
    ] {
        let bytes = Bytes::from([&[HTTP], wrong].concat());
        assert!(Form::Tagged.read_reply(&bytes).is_err(), "{wrong:?}");
    }
    let mut many = vec![HTTP, 0x93, 0xcc, 0xc8, 0xdc, 0x10, 0];
    for _ in 0..0x800 {
        many.extend(b"\xa1a\xc4\x00");
    }
    many.extend(b"\xc4\x00");
    assert!(Form::Tagged.read_reply(&many.into()).is_err());
}
