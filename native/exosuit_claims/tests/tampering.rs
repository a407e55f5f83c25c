//! A signed unit is refused after any change.

mod common;

use common::{
    Signer, admitted, component, module, padded_module, refusal, with_section, with_token,
};
use exosuit_claims::{LegacyHash, Section, sign};
use proptest::prelude::*;

/// Every single-byte change of a unit, as its place and the mask that makes it.
fn changes(length: usize) -> impl Iterator<Item = (usize, u8)> {
    (0..length).flat_map(|at| (1..=255).map(move |mask| (at, mask)))
}

fn assert_no_change_is_let_in(wasm: &[u8]) {
    let signed = Signer::new().sign(wasm);
    assert!(admitted(&signed).is_ok());
    let mut changed = signed.clone();
    for (at, mask) in changes(signed.len()) {
        changed[at] ^= mask;
        assert!(
            admitted(&changed).is_err(),
            "byte {at} ^ {mask:#x} was let in"
        );
        changed[at] = signed[at];
    }
}

#[test]
fn no_byte_of_a_module_its_token_or_its_signature_may_change() {
    assert_no_change_is_let_in(&module());
}

#[test]
fn no_byte_of_a_component_or_of_what_is_in_it_may_change() {
    assert_no_change_is_let_in(&component());
}

#[test]
fn no_byte_of_a_length_may_change_however_long_it_is_written() {
    let wasm = padded_module();
    let signed = with_section(wasm.clone(), Section::Current.name(), &token_for(&wasm));
    assert!(admitted(&signed).is_ok());
    let mut changed = signed.clone();
    for (at, mask) in changes(wasm.len()) {
        changed[at] ^= mask;
        assert!(
            admitted(&changed).is_err(),
            "byte {at} ^ {mask:#x} was let in"
        );
        changed[at] = signed[at];
    }
}

#[test]
fn a_length_may_be_written_longer_and_the_token_stand_elsewhere() {
    let padded = padded_module();
    let shortest = Signer::new().sign(&padded);
    let token = token_of(&shortest);
    assert!(!shortest.starts_with(&padded));

    let last = with_section(padded.clone(), "wasmcloud_jwt", &token);
    let (header, sections) = padded.split_at(8);
    let mut first = with_section(header.to_vec(), "wasmcloud_jwt", &token);
    first.extend(sections);
    assert!(admitted(&last).is_ok());
    assert_eq!(admitted(&first), admitted(&last));
}

#[test]
fn a_token_is_for_one_module() {
    let signer = Signer::new();
    let token = token_of(&signer.sign(&module()));
    assert_eq!(refusal(&with_token(&padded_module(), &token)), "wrong_hash");
    assert_eq!(refusal(&with_token(&component(), &token)), "wrong_hash");
    assert!(admitted(&with_token(&module(), &token)).is_ok());
}

#[test]
fn an_old_token_is_for_one_module_too_unless_asked_for_otherwise() {
    let signer = Signer::new();
    let mut policy = common::policy();
    for revision in [serde_json::Value::Null, 0.into(), 2.into()] {
        let mut body = signer.body(&module());
        body["wascap_revision"] = revision;
        let moved = signer.embed(&component(), &body);
        policy.legacy_hash = LegacyHash::Check;
        assert_eq!(common::refusal_under(&policy, &moved), "wrong_hash");
        policy.legacy_hash = LegacyHash::Ignore;
        assert!(exosuit_claims::admit(&moved, &policy, common::NOW).is_ok());
    }
    let moved = signer.embed(&component(), &signer.body(&module()));
    assert_eq!(common::refusal_under(&policy, &moved), "wrong_hash");
}

#[test]
fn a_second_token_is_refused_under_either_name() {
    let signed = Signer::new().sign(&module());
    let token = token_of(&signed);
    for name in ["jwt", "wasmcloud_jwt"] {
        let twice = with_section(signed.clone(), name, &token);
        assert_eq!(refusal(&twice), "several_tokens");
        let empty = with_section(signed.clone(), name, b"");
        assert_eq!(refusal(&empty), "several_tokens");
    }
}

#[test]
fn a_token_in_a_nested_module_is_refused() {
    let signer = Signer::new();
    let mut nested = wat::parse_str("(component)").expect("a component");
    let inner = signer.sign(&module());
    nested.push(1);
    wasm_encoder::Encode::encode(inner.as_slice(), &mut nested);
    assert_eq!(refusal(&nested), "nested_token");

    let outer_too = with_section(nested.clone(), "jwt", &token_of(&inner));
    assert_eq!(refusal(&outer_too), "nested_token");
    assert!(
        admitted(&signer.sign(&nested)).is_ok(),
        "signing takes the inner token out"
    );
}

#[test]
fn somebody_elses_signature_is_refused() {
    let (signer, other) = (Signer::new(), Signer::new());
    let forged = other.embed(&module(), &signer.body(&module()));
    assert_eq!(refusal(&forged), "forged_signature");
}

fn token_for(wasm: &[u8]) -> Vec<u8> {
    token_of(&Signer::new().sign(wasm))
}

/// The content of the last section: that is where signing puts the token.
fn token_of(signed: &[u8]) -> Vec<u8> {
    let payloads = wasmparser::Parser::new(0).parse_all(signed);
    let tokens = payloads.filter_map(|payload| match payload {
        Ok(wasmparser::Payload::CustomSection(section)) => Some(section.data().to_vec()),
        _ => None,
    });
    tokens.last().expect("it is signed")
}

fn wasm() -> impl Strategy<Value = Vec<u8>> {
    let sections = prop::collection::vec(
        ("[a-z]{0,9}", prop::collection::vec(any::<u8>(), 0..300)),
        0..8,
    );
    (sections, any::<bool>()).prop_map(|(sections, is_component)| {
        let start = if is_component { component() } else { module() };
        let add = |wasm, (name, content): (String, Vec<u8>)| match name.as_str() {
            "jwt" => wasm,
            name => with_section(wasm, name, &content),
        };
        sections.into_iter().fold(start, add)
    })
}

proptest! {
    #[test]
    fn what_is_signed_is_let_in(wasm in wasm()) {
        prop_assert!(admitted(&Signer::new().sign(&wasm)).is_ok());
    }

    #[test]
    fn what_is_changed_is_not(wasm in wasm(), at: prop::sample::Index, mask in 1_u8..) {
        let mut signed = Signer::new().sign(&wasm);
        let at = at.index(signed.len());
        signed[at] ^= mask;
        prop_assert!(admitted(&signed).is_err(), "byte {} ^ {:#x} was let in", at, mask);
    }

    #[test]
    fn what_is_cut_off_or_added_to_is_not(wasm in wasm(), at: prop::sample::Index, more in prop::collection::vec(any::<u8>(), 1..50)) {
        let signed = Signer::new().sign(&wasm);
        prop_assert!(admitted(&signed[..at.index(signed.len())]).is_err());
        let longer = [signed, more].concat();
        prop_assert!(admitted(&longer).is_err());
    }

    #[test]
    fn a_token_does_not_move(one in wasm(), other in wasm()) {
        prop_assume!(one != other);
        let token = token_of(&Signer::new().sign(&one));
        prop_assert_eq!(refusal(&with_token(&other, &token)), "wrong_hash");
    }

    #[test]
    fn signing_again_replaces_the_token(wasm in wasm()) {
        let (first, second) = (Signer::new(), Signer::new());
        let again = sign(&first.sign(&wasm), &second.draft(), &second.account, common::NOW)?;
        prop_assert_eq!(again, second.sign(&wasm));
    }
}
