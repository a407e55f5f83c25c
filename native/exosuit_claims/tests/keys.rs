//! Keys say what they are for, and keep their secret.

use exosuit_claims::{Error, KeyKind, KeyPair, PublicKey, provider_key};
use proptest::prelude::*;

#[test]
fn every_kind_has_its_letter_and_comes_back_from_its_seed() -> anyhow::Result<()> {
    for (kind, letter) in KeyKind::ALL.iter().zip("AMVNCOU".chars()) {
        let pair = KeyPair::generate(*kind);
        assert!(pair.public_key().as_str().starts_with(letter), "{pair:?}");
        assert!(pair.seed().starts_with(&format!("S{letter}")));
        assert_eq!(pair.public_key().as_str().len(), 56);
        assert_eq!(kind.as_str().parse(), Ok(*kind));

        let again = KeyPair::from_seed(pair.seed())?;
        assert_eq!((again.kind(), again.seed()), (*kind, pair.seed()));
        assert_eq!(again.public_key(), pair.public_key());
        assert_eq!(PublicKey::parse(pair.public_key().as_str())?.kind(), *kind);
        assert_eq!(KeyKind::of_key(pair.public_key().as_str()), Some(*kind));
        assert_eq!(KeyKind::of_key(&pair.public_key().as_str()[..55]), None);
        assert_eq!(KeyKind::of_key(pair.seed()), None);
    }
    Ok(())
}

/// Computed by another program. A change of any would rename the providers of every lattice.
#[test]
fn a_derived_key_is_what_it_has_always_been() {
    for (kind, text, key) in [
        (
            KeyKind::Provider,
            "wasmcloud+builtin://keyvalue",
            "VCTFU6LFLNIB2SGHVNBBGVLYPJAGTUCXKXDBITLONZQHGG7HS75WTFKA",
        ),
        (
            KeyKind::Provider,
            "exosuit+module://clock",
            "VDPF3OW6GPG6NCHG62Y534CWHCKNK7XESWJNH7RKWRHP7SWPE6ROFH63",
        ),
        (
            KeyKind::Module,
            "",
            "MAPMSZV3LXM54RGKLEBB7RHK3A5N55NT52ANCGFIIIM3ARUVDYODPIO2",
        ),
    ] {
        let pair = KeyPair::derive(kind, text);
        assert_eq!(pair.public_key().as_str(), key);
        assert!(pair.public_key().verify(b"hello", &pair.sign(b"hello")));
    }
    let sessions = provider_key("wasmcloud+builtin://keyvalue", "sessions");
    let key = "VARKYMPEZNPPCK2NNDL7ZLX42N6NWFXUJGFLVXAI7VTIZL5Z5RZLXJB5";
    assert_eq!(sessions.as_str(), key);
}

#[test]
fn a_signature_is_of_one_key_and_one_message() {
    let (pair, other) = (
        KeyPair::generate(KeyKind::User),
        KeyPair::generate(KeyKind::User),
    );
    let signature = pair.sign(b"hello");
    assert!(pair.public_key().verify(b"hello", &signature));
    assert!(!pair.public_key().verify(b"hallo", &signature));
    assert!(!other.public_key().verify(b"hello", &signature));
    assert!(!pair.public_key().verify(b"hello", &signature[1..]));
}

#[test]
fn debug_and_errors_do_not_show_a_seed() {
    let pair = KeyPair::generate(KeyKind::Account);
    let secret = &pair.seed()[4..];
    assert!(!format!("{pair:?}").contains(secret));

    // The last letter of a seed carries two bits that are always 0.
    let spoilt = format!("{}7", &pair.seed()[..57]);
    for wrong in [
        spoilt.as_str(),
        &pair.seed()[1..],
        pair.public_key().as_str(),
    ] {
        let error = KeyPair::from_seed(wrong).expect_err("no seed");
        assert_eq!(error, Error::InvalidSeed);
        assert!(!format!("{error} {error:?}").contains(&secret[..40]));
    }
}

#[test]
fn an_unknown_kind_is_an_error_that_names_the_known_ones() {
    let error = "host".parse::<KeyKind>().expect_err("no kind");
    let text = error.to_string();
    assert!(
        KeyKind::ALL.iter().all(|kind| text.contains(kind.as_str())),
        "{text}"
    );
}

#[test]
fn keys_of_kinds_that_are_not_ours_are_refused() {
    // A curve key (X…) of nkeys, and its private form (P…): well formed, but they sign nothing.
    let curve = nkeys::KeyPair::new(nkeys::KeyPairType::Curve);
    assert!(PublicKey::parse(&curve.public_key()).is_err());
    let seed = curve.seed().expect("it was just made");
    assert!(KeyPair::from_seed(&seed).is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,80}", base32 in "[A-Z2-7]{50,60}") {
        for text in [text, base32] {
            let _ = PublicKey::parse(&text);
            let _ = KeyPair::from_seed(&text);
        }
    }

    #[test]
    fn a_changed_key_is_refused(at in 0_usize..56, letter in "[A-Z2-7]") {
        let key = KeyPair::generate(KeyKind::Module).public_key().to_string();
        let mut changed = key.clone();
        changed.replace_range(at..=at, &letter);
        prop_assume!(changed != key);
        prop_assert!(PublicKey::parse(&changed).is_err());
    }
}
