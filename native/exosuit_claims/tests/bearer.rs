//! A bearer token opens one door, for a while, if a trusted key signed it.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{NOW, Signer, module, refusal, with_token};
use exosuit_claims::bearer::{MAX_LENGTH, MAX_LIFE, issue, verify};
use exosuit_claims::{Error, KeyKind, KeyPair, PublicKey};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_hours(1);

fn trusted(pair: &KeyPair) -> BTreeSet<PublicKey> {
    BTreeSet::from([pair.public_key().clone()])
}

fn token(pair: &KeyPair) -> String {
    issue(pair, "alice", "api", HOUR, NOW).expect("it can be issued")
}

#[test]
fn a_good_token_says_who_its_bearer_is() -> anyhow::Result<()> {
    let account = KeyPair::generate(KeyKind::Account);
    let bearer = verify(&token(&account), &trusted(&account), "api", NOW)?;
    assert_eq!(bearer.subject, "alice");
    assert_eq!(bearer.issuer, *account.public_key());
    assert_eq!(bearer.expires_at, NOW + HOUR.as_secs());
    Ok(())
}

#[test]
fn it_is_refused_elsewhere_too_early_and_too_late() {
    let account = KeyPair::generate(KeyKind::Account);
    let token = token(&account);
    let at = |audience, now| verify(&token, &trusted(&account), audience, now).is_ok();
    assert!(at("api", NOW + 3_599));
    assert!(!at("another api", NOW));
    assert!(!at("api", NOW + 3_600 + 31));
    assert!(!at("api", NOW - 31));
}

#[test]
fn only_trusted_keys_count() {
    let (account, other) = (
        KeyPair::generate(KeyKind::Account),
        KeyPair::generate(KeyKind::Account),
    );
    assert_eq!(
        verify(&token(&other), &trusted(&account), "api", NOW),
        Err(Error::UntrustedIssuer(other.public_key().to_string()))
    );
    assert!(verify(&token(&account), &BTreeSet::new(), "api", NOW).is_err());
}

#[test]
fn a_life_has_bounds() {
    let account = KeyPair::generate(KeyKind::Account);
    for life in [Duration::ZERO, MAX_LIFE + HOUR] {
        assert!(issue(&account, "alice", "api", life, NOW).is_err());
    }
}

#[test]
fn a_modules_token_is_no_bearer_token_and_none_is_a_modules() {
    let signer = Signer::new();
    let body = signer.body(&module()).to_string();
    let trusted = trusted(&signer.account);
    let embedded = signer.token(common::HEADER, &body);
    assert!(verify(&embedded, &trusted, "api", NOW).is_err());

    let bearer = with_token(&module(), token(&signer.account).as_bytes());
    assert_eq!(refusal(&bearer), "malformed_token");
}

#[test]
fn a_token_without_end_or_measure_is_refused() {
    let account = KeyPair::generate(KeyKind::Account);
    let long = "a".repeat(MAX_LENGTH + 1);
    let error = verify(&long, &trusted(&account), "api", NOW).expect_err("too long");
    assert_eq!(error.code(), "too_large");

    let key = account.public_key().as_str();
    let header = format!(r#"{{"typ":"JWT","alg":"EdDSA","kid":"{key}"}}"#);
    let body = format!(r#"{{"iss":"{key}","sub":"alice","aud":"api","iat":{NOW}}}"#);
    let signer = Signer {
        account,
        module: KeyPair::generate(KeyKind::Module),
    };
    let endless = signer.token(&header, &body);
    let error = verify(&endless, &trusted(&signer.account), "api", NOW).expect_err("no end");
    assert_eq!(
        error.to_string(),
        "the bearer token is refused: it has no expiry"
    );
}

proptest! {
    #[test]
    fn a_changed_token_is_refused(at: prop::sample::Index, mask in 1_u8..128) {
        let account = KeyPair::generate(KeyKind::Account);
        let mut bytes = token(&account).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let changed = String::from_utf8(bytes)?;
        prop_assert!(verify(&changed, &trusted(&account), "api", NOW).is_err());
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        prop_assert!(verify(&text, &BTreeSet::new(), "api", NOW).is_err());
    }
}
