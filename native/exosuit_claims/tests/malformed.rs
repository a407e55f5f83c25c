//! Malformed bytes cause an error with the reason, and never a panic.

mod common;

use common::{HEADER, Signer, module, refusal, with_section, with_token};
use data_encoding::BASE64URL_NOPAD;
use exosuit_claims::{
    Error, Issuers, LegacyHash, MAX_DEPTH, MAX_TOKEN, Policy, Unsigned, admit, inspect,
};
use proptest::prelude::*;
use serde_json::json;

fn with_body(spoil: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let signer = Signer::new();
    let mut body = signer.body(&module());
    spoil(&mut body);
    signer.embed(&module(), &body)
}

fn with_header(header: &str) -> Vec<u8> {
    let signer = Signer::new();
    let token = signer.token(header, &signer.body(&module()).to_string());
    with_token(&module(), token.as_bytes())
}

#[test]
fn the_claims_that_the_others_spoil_are_good() {
    assert_eq!(common::admitted(&with_body(|_| ())).map(|_| ()), Ok(()));
    assert!(common::admitted(&with_header(HEADER)).is_ok());
}

#[test]
fn bytes_that_are_no_wasm() {
    let start_of_code_past_the_end = b"\0asm\x01\0\0\0\x0a\xff\xff\xff\x0f\x00";
    let cases: [&[u8]; 7] = [
        b"",
        b"\0asm",
        b"\0asm\x02\0\0\0",
        b"\0asm\x0c\0\x01\0",
        b"\x7fELF and so on",
        b"\0asm\x01\0\0\0\x00\x05\x04jw",
        start_of_code_past_the_end,
    ];
    for wasm in cases {
        assert_eq!(refusal(wasm), "not_wasm", "{wasm:?}");
    }
}

#[test]
fn nothing_of_a_file_that_is_no_wasm_is_told() {
    for secret in [&b"root:x:0:0:root:/root:/bin/bash\n"[..], b"s3cr"] {
        let error = admit(secret, &Policy::strict(Issuers::Any), 0).expect_err("no Wasm");
        let text = error.to_string();
        assert!(text.contains("begin with the bytes 00 61 73 6d"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        for told in ["root", "0x72", "72, ", "s3cr", "0x73"] {
            assert!(!text.contains(told), "{text}");
        }
    }
}

#[test]
fn components_nested_without_end() {
    let nest = |inner: Vec<u8>, _| {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        wasm_encoder::Encode::encode(inner.as_slice(), &mut outer);
        outer
    };
    let innermost = b"\0asm\x0d\0\x01\0".to_vec();
    let deepest = (0..MAX_DEPTH).fold(innermost, nest);
    assert_eq!(refusal(&deepest), "unsigned");
    assert_eq!(refusal(&nest(deepest, 0)), "too_deep");
}

#[test]
fn tokens_that_are_none() {
    let signer = Signer::new();
    let token = signer.token(HEADER, &signer.body(&module()).to_string());
    let (content, signature) = token.rsplit_once('.').expect("three segments");
    let cases = [
        String::new(),
        "..".to_owned(),
        "hello".to_owned(),
        content.to_owned(),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token}=="),
        format!("{token}\n"),
        format!(" {token}"),
        format!("{content}.not base64"),
        format!("ü.{token}"),
        signer.token(HEADER, "[]"),
        signer.token(HEADER, "{"),
        signer.token("{}", "{}"),
    ];
    for case in cases {
        let refusal = refusal(&with_token(&module(), case.as_bytes()));
        assert_eq!(refusal, "malformed_token", "{case:?}");
    }
    assert_eq!(
        refusal(&with_token(&module(), b"\xff.\xff.\xff")),
        "malformed_token"
    );
}

#[test]
fn a_signature_of_another_length_is_no_signature() {
    let signer = Signer::new();
    let token = signer.token(HEADER, &signer.body(&module()).to_string());
    let (content, _) = token.rsplit_once('.').expect("three segments");
    for length in [0, 63, 65] {
        let short = format!("{content}.{}", BASE64URL_NOPAD.encode(&vec![0; length]));
        assert_eq!(
            refusal(&with_token(&module(), short.as_bytes())),
            "forged_signature"
        );
    }
}

#[test]
fn another_kind_of_token_or_algorithm() {
    for header in [
        r#"{"typ":"JWT","alg":"Ed25519"}"#,
        r#"{"typ":"jwt","alg":"EdDSA"}"#,
        r#"{"typ":"jwt","alg":"none"}"#,
        r#"{"typ":"jwt","alg":"HS256"}"#,
    ] {
        assert_eq!(
            refusal(&with_header(header)),
            "unsupported_token",
            "{header}"
        );
    }
    for header in [
        r#"{"alg":"Ed25519"}"#,
        r#"{"typ":"jwt","alg":"Ed25519","crit":["b64"],"b64":false}"#,
        r#"{"typ":"jwt","alg":"none","alg":"Ed25519"}"#,
    ] {
        assert_eq!(refusal(&with_header(header)), "malformed_token", "{header}");
    }
}

#[test]
fn claims_of_the_wrong_shape() {
    for field in ["jti", "iat", "iss", "sub", "wascap"] {
        let missing = with_body(|body| {
            body.as_object_mut().expect("an object").remove(field);
        });
        assert_eq!(refusal(&missing), "malformed_token", "without {field}");
    }
    for (field, value) in [
        ("iat", json!(-1)),
        ("exp", json!("soon")),
        ("exp", json!(1.5)),
        ("nbf", json!([])),
        ("wascap", json!({})),
        ("wascap", json!({"hash": "", "rev": 3_000_000_000_u32})),
        ("wascap", json!({"hash": "", "caps": "all"})),
        ("wascap_revision", json!("3")),
    ] {
        let refusal = refusal(&with_body(|body| body[field] = value.clone()));
        assert_eq!(refusal, "malformed_token", "{field}: {value}");
    }
}

#[test]
fn names_that_are_no_keys_of_their_kind() {
    let signer = Signer::new();
    let (account, module) = (signer.account.public_key(), signer.module.public_key());
    let last = if account.as_str().ends_with('A') {
        'B'
    } else {
        'A'
    };
    let corrupt = format!("{}{last}", &account.as_str()[..55]);
    for issuer in ["", "nobody", module.as_str(), &corrupt] {
        assert_eq!(
            refusal(&with_body(|body| body["iss"] = issuer.into())),
            "invalid_issuer"
        );
    }
    for subject in ["", "nobody", "test.wasm", account.as_str()] {
        assert_eq!(
            refusal(&with_body(|body| body["sub"] = subject.into())),
            "invalid_subject"
        );
    }
}

#[test]
fn a_weak_key_signs_nothing() {
    // The neutral element of the curve: for a lax verifier its signature fits every message.
    let neutral = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        public_key_text(&bytes)
    };
    let signer = Signer::new();
    let mut body = signer.body(&module());
    body["iss"] = neutral.into();
    let token = signer.token(HEADER, &body.to_string());
    let (content, _) = token.rsplit_once('.').expect("three segments");
    let mut signature = [0; 64];
    signature[0] = 1;
    let forged = format!("{content}.{}", BASE64URL_NOPAD.encode(&signature));
    assert_eq!(
        refusal(&with_token(&module(), forged.as_bytes())),
        "forged_signature"
    );
}

/// The text of an account's key: prefix, key, CRC-16 (XMODEM, low byte first).
fn public_key_text(key: &[u8; 32]) -> String {
    let mut raw = vec![0];
    raw.extend(key);
    let crc = raw.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let carry = if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            (crc << 1) ^ carry
        })
    });
    raw.extend(crc.to_le_bytes());
    data_encoding::BASE32_NOPAD.encode(&raw)
}

#[test]
fn a_token_for_a_provider() {
    let provider = with_body(|body| body["wascap"]["prov"] = true.into());
    assert_eq!(refusal(&provider), "provider_token");
}

#[test]
fn a_token_without_measure() {
    let large = vec![b'a'; MAX_TOKEN + 1];
    assert_eq!(refusal(&with_token(&module(), &large)), "too_large");
    assert_eq!(
        refusal(&with_token(&module(), &large[1..])),
        "malformed_token"
    );
}

#[test]
fn an_error_quotes_little_of_what_is_wrong() {
    let long = "x".repeat(20_000);
    for wasm in [
        with_body(|body| body["sub"] = long.clone().into()),
        with_body(|body| body["wascap"]["hash"] = long.clone().into()),
        with_body(|body| body["exp"] = long.clone().into()),
        with_header(&json!({"typ": long, "alg": long}).to_string()),
    ] {
        let error = common::admitted(&wasm).expect_err("it is wrong");
        assert!(error.to_string().len() < 400, "{error}");
    }
}

#[test]
fn a_bad_token_is_never_taken_for_none() {
    let policy = Policy {
        unsigned: Unsigned::Allow,
        ..Policy::strict(Issuers::Any)
    };
    let bad = with_section(module(), "jwt", b"hello");
    assert!(matches!(
        admit(&bad, &policy, common::NOW),
        Err(Error::MalformedToken(_))
    ));
}

fn every_policy() -> impl Iterator<Item = Policy> {
    let unsigned = [Unsigned::Deny, Unsigned::Allow];
    unsigned.into_iter().map(|unsigned| Policy {
        issuers: Issuers::Any,
        unsigned,
        legacy_hash: LegacyHash::Ignore,
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let as_sections = [b"\0asm\x01\0\0\0".as_slice(), &bytes].concat();
        let as_component = [b"\0asm\x0d\0\x01\0".as_slice(), &bytes].concat();
        let as_token = with_token(&module(), &bytes);
        for wasm in [&bytes, &as_sections, &as_component, &as_token] {
            for policy in every_policy() {
                let _ = inspect(wasm, &policy, common::NOW);
                prop_assert!(!matches!(admit(wasm, &policy, common::NOW), Ok(exosuit_claims::Admitted::Signed(_))));
            }
        }
    }

    #[test]
    fn no_claims_panic(header in ".{0,60}", body in ".{0,200}") {
        for header in [&header, HEADER] {
            let token = Signer::new().token(header, &body);
            prop_assert!(common::admitted(&with_token(&module(), token.as_bytes())).is_err());
        }
    }
}
