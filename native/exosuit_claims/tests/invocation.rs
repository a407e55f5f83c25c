//! Signed invocations: what is signed is taken, and whatever was changed since is not.

mod common;

use common::NOW;
use data_encoding::BASE64URL_NOPAD;
use exosuit_claims::invocation::{Call, Entity, Seal, sign};
use exosuit_claims::{Error, KeyKind, KeyPair, PublicKey, Verifier};
use serde_json::{Value, json};

const PAYLOAD: &[u8] = b"\x01\x02\x03\x04";

fn entities() -> (Entity, Entity) {
    let provider = Entity {
        public_key: "VAZVC4RX54J2NVCMCW7BPCAHGGG5XZXDBXFUMDUXGESTMQEJLC3YVZWB".to_owned(),
        contract: "wasmcloud:keyvalue".to_owned(),
        link: "default".to_owned(),
    };
    (
        Entity::actor("MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E"),
        provider,
    )
}

fn call() -> Call {
    let (origin, target) = entities();
    Call::new("4c4ab1f4", &origin, &target, "KeyValue.Increment")
}

fn check(
    token: &str,
    call: &Call,
    payload: &[u8],
    trusted: &[PublicKey],
    now: u64,
) -> Result<(), Error> {
    let seal = Seal::parse(token)?;
    seal.covers(call)?;
    let trusted: Vec<_> = trusted.iter().cloned().map(Verifier::new).collect();
    seal.covers_payload(call, payload)?;
    seal.verify(&trusted, now)
}

/// A token of a cluster that says what `change` makes of the body of a good one.
fn resigned(cluster: &KeyPair, change: impl FnOnce(&mut Value)) -> String {
    let token = sign(&call(), PAYLOAD, cluster, NOW).expect("a token");
    let body = token.split('.').nth(1).expect("a body");
    let body = BASE64URL_NOPAD.decode(body.as_bytes()).expect("base64");
    let mut body: Value = serde_json::from_slice(&body).expect("JSON");
    change(&mut body);
    let signed =
        [common::HEADER, &body.to_string()].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
    let signed = signed.join(".");
    let signature = BASE64URL_NOPAD.encode(&cluster.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[test]
fn what_is_signed_is_taken() {
    let cluster = KeyPair::generate(KeyKind::Cluster);
    let token = sign(&call(), PAYLOAD, &cluster, NOW).expect("a token");
    let trusted = [cluster.public_key().clone()];
    assert_eq!(check(&token, &call(), PAYLOAD, &trusted, NOW), Ok(()));
    assert_eq!(Seal::parse(&token).map(|seal| seal.issued_at()), Ok(NOW));
}

#[test]
fn a_token_says_what_the_peers_read() {
    let cluster = KeyPair::generate(KeyKind::Cluster);
    let token = sign(&call(), PAYLOAD, &cluster, NOW).expect("a token");
    let parts: Vec<_> = token.split('.').collect();
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64");
    assert_eq!(decode(parts[0]), common::HEADER.as_bytes());
    let mut body: Value = serde_json::from_slice(&decode(parts[1])).expect("JSON");
    let id = body["jti"].take();
    assert_eq!(id.as_str().map(str::len), Some(22));
    let expected = json!({
        "jti": null,
        "iat": NOW,
        "iss": cluster.public_key().as_str(),
        "sub": "4c4ab1f4",
        "wascap": {
            "target_url": "wasmbus://wasmcloud/keyvalue/default/VAZVC4RX54J2NVCMCW7BPCAHGGG5XZXDBXFUMDUXGESTMQEJLC3YVZWB/KeyValue.Increment",
            "origin_url": "wasmbus://MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E",
            "hash": "4AF3387D3DDB16A43DB86A1A3422EA5B7E876C3F5C4ABAB2621D49A43A2705FA",
        },
        "wascap_revision": 3,
    });
    assert_eq!(body, expected);
}

#[test]
fn the_id_of_the_origin_is_signed_like_the_rest() {
    let cluster = KeyPair::generate(KeyKind::Cluster);
    let trusted = [cluster.public_key().clone()];
    let token = sign(&call().by("counter"), PAYLOAD, &cluster, NOW).expect("a token");
    let seal = Seal::parse(&token).expect("a token");
    assert_eq!(seal.origin_id(), Some("counter"));
    assert_eq!(check(&token, &call(), PAYLOAD, &trusted, NOW), Ok(()));

    let parts: Vec<_> = token.split('.').collect();
    let body = BASE64URL_NOPAD.decode(parts[1].as_bytes()).expect("base64");
    let body = String::from_utf8(body).expect("text");
    let other = BASE64URL_NOPAD.encode(body.replace("counter", "account").as_bytes());
    let other = [parts[0], &other, parts[2]].join(".");
    let seal = Seal::parse(&other).expect("a token");
    assert_eq!(seal.origin_id(), Some("account"));
    let refused = check(&other, &call(), PAYLOAD, &trusted, NOW);
    assert!(
        matches!(refused, Err(Error::ForgedSignature(_))),
        "{refused:?}"
    );
}

#[test]
fn a_token_is_good_for_one_call_only() {
    let cluster = KeyPair::generate(KeyKind::Cluster);
    let trusted = [cluster.public_key().clone()];
    let token = sign(&call(), PAYLOAD, &cluster, NOW).expect("a token");
    let (origin, target) = entities();
    let other = Entity::actor("MDLPHDDQZD6DQUCZDKSUTXQ3RXMLVX5Q4IXCWCUDPLQI3TUSDXQKZLHG");
    for (what, call) in [
        (
            "id",
            Call::new("4c4ab1f5", &origin, &target, "KeyValue.Increment"),
        ),
        (
            "origin",
            Call::new("4c4ab1f4", &other, &target, "KeyValue.Increment"),
        ),
        (
            "target",
            Call::new("4c4ab1f4", &origin, &other, "KeyValue.Increment"),
        ),
        (
            "target",
            Call::new("4c4ab1f4", &origin, &target, "KeyValue.Del"),
        ),
    ] {
        let refused = check(&token, &call, PAYLOAD, &trusted, NOW);
        assert!(
            matches!(refused, Err(Error::WrongInvocation { what: w, .. }) if w == what),
            "{what}: {refused:?}"
        );
    }
    let refused = check(&token, &call(), b"\x01\x02\x03\x05", &trusted, NOW);
    assert!(
        matches!(refused, Err(Error::WrongInvocation { what: "hash", .. })),
        "{refused:?}"
    );
    let refused = check(&token, &call(), b"", &trusted, NOW);
    assert!(
        matches!(refused, Err(Error::WrongInvocation { what: "hash", .. })),
        "{refused:?}"
    );
}

#[test]
fn only_a_trusted_cluster_is_believed() {
    let cluster = KeyPair::generate(KeyKind::Cluster);
    let other = KeyPair::generate(KeyKind::Cluster);
    let token = sign(&call(), PAYLOAD, &cluster, NOW).expect("a token");
    let trusted = [other.public_key().clone()];
    let refused = check(&token, &call(), PAYLOAD, &trusted, NOW);
    assert_eq!(
        refused,
        Err(Error::UntrustedIssuer(cluster.public_key().to_string()))
    );

    // Signed by another, in the name of one that is trusted.
    let forged = resigned(&other, |body| {
        body["iss"] = json!(cluster.public_key().as_str());
    });
    let trusted = [cluster.public_key().clone()];
    let refused = check(&forged, &call(), PAYLOAD, &trusted, NOW);
    assert_eq!(
        refused,
        Err(Error::ForgedSignature(cluster.public_key().to_string()))
    );
}

#[test]
fn only_a_cluster_signs() {
    let host = KeyPair::generate(KeyKind::Server);
    let refused = sign(&call(), PAYLOAD, &host, NOW);
    assert!(
        matches!(refused, Err(Error::WrongKind { .. })),
        "{refused:?}"
    );
}

#[test]
fn times_are_honoured_where_they_are_given() {
    let cluster = KeyPair::generate(KeyKind::Cluster);
    let trusted = [cluster.public_key().clone()];
    let expiring = resigned(&cluster, |body| body["exp"] = json!(NOW + 1));
    assert_eq!(check(&expiring, &call(), PAYLOAD, &trusted, NOW), Ok(()));
    assert_eq!(
        check(&expiring, &call(), PAYLOAD, &trusted, NOW + 1),
        Err(Error::Expired(NOW + 1))
    );
    let later = resigned(&cluster, |body| body["nbf"] = json!(NOW + 1));
    assert_eq!(
        check(&later, &call(), PAYLOAD, &trusted, NOW),
        Err(Error::NotYetValid(NOW + 1))
    );
}

#[test]
fn fingerprints_tell_tokens_apart() {
    let cluster = KeyPair::generate(KeyKind::Cluster);
    let fingerprint = |now| {
        let token = sign(&call(), PAYLOAD, &cluster, now).expect("a token");
        Seal::parse(&token).map(|seal| seal.fingerprint())
    };
    assert_eq!(fingerprint(NOW), fingerprint(NOW));
    assert_ne!(fingerprint(NOW), fingerprint(NOW + 1));
}

#[test]
fn what_is_no_token_is_an_error() {
    for text in [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        "\u{0}",
        &"a".repeat(100_000),
    ] {
        assert!(
            Seal::parse(text).is_err(),
            "{:?} was taken",
            &text[..text.len().min(20)]
        );
    }
}
