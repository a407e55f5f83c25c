//! Tokens: what we sign, wascap 0.11.2 reads and finds valid, and the other way round.

use exosuit_claims::{
    Admitted, Claims, Draft, Error, Issuers, KeyKind, KeyPair, LegacyHash, Policy, Section, admit,
    embed, sign, unix_now,
};
use wascap::jwt::{self, Actor};
use wascap::wasm::{embed_claims, extract_claims, sign_buffer_with_claims};

const ALIAS: &str = "My-Echo.Actor";
const DAY: u64 = 86_400;

fn units() -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    let module = r#"(module
        (import "wapc" "__host_call" (func (param i32 i32)))
        (memory (export "memory") 1)
        (func (export "answer") (result i32) i32.const 42)
        (data (i32.const 8) "forty-two")
        (@custom "producers" "nobody"))"#;
    let component = r#"(component
        (core module $inner (func (export "f")))
        (core instance (instantiate $inner))
        (component (core module (memory 1)) (component)))"#;
    Ok(vec![
        ("an empty module", wat::parse_str("(module)")?),
        ("a module", wat::parse_str(module)?),
        ("a module with padded lengths", padded_module()),
        ("an empty component", wat::parse_str("(component)")?),
        ("a component", wat::parse_str(component)?),
        ("a component with padded lengths", padded_component()),
    ])
}

/// Lengths are written longer than they need be, as some linkers do.
fn padded_module() -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wasm.extend(b"\x01\x84\x80\x80\x80\x00\x01\x60\x00\x00");
    wasm.extend(b"\x03\x82\x80\x80\x80\x00\x01\x00");
    wasm.extend(b"\x0a\x84\x80\x80\x80\x00\x01\x02\x00\x0b");
    wasm
}

fn padded_component() -> Vec<u8> {
    let module = padded_module();
    let mut wasm = b"\0asm\x0d\0\x01\0\x01".to_vec();
    wasm.push(0x80 | u8::try_from(module.len()).expect("it is small"));
    wasm.push(0);
    wasm.extend(module);
    wasm
}

struct Keys {
    account: KeyPair,
    module: KeyPair,
}

impl Keys {
    fn new() -> Self {
        Self {
            account: KeyPair::generate(KeyKind::Account),
            module: KeyPair::generate(KeyKind::Module),
        }
    }

    fn sign_ours(&self, wasm: &[u8], section: Section) -> Result<Vec<u8>, Error> {
        let now = unix_now();
        let draft = Draft {
            capabilities: vec!["wasmcloud:keyvalue".to_owned()],
            revision: Some(7),
            version: Some("1.2.3".to_owned()),
            call_alias: Some(ALIAS.to_owned()),
            tags: vec!["test".to_owned()],
            not_before: Some(now - DAY),
            expires_at: Some(now + DAY),
            section,
            ..Draft::new(self.module.public_key().clone(), "Echo")
        };
        sign(wasm, &draft, &self.account, now)
    }

    fn sign_theirs(&self, wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
        let capabilities = vec!["wasmcloud:keyvalue".to_owned()];
        let signed = sign_buffer_with_claims(
            "Echo".to_owned(),
            wasm,
            theirs(&self.module)?,
            theirs(&self.account)?,
            Some(1),
            Some(0),
            capabilities,
            vec!["test".to_owned()],
            false,
            Some(7),
            Some("1.2.3".to_owned()),
            Some(ALIAS.to_owned()),
        );
        Ok(signed?)
    }
}

fn theirs(pair: &KeyPair) -> anyhow::Result<nkeys::KeyPair> {
    Ok(nkeys::KeyPair::from_seed(pair.seed())?)
}

fn policy() -> Policy {
    Policy::strict(Issuers::Any)
}

fn admitted(wasm: &[u8]) -> anyhow::Result<Claims> {
    match admit(wasm, &policy(), unix_now())? {
        Admitted::Signed(claims) => Ok(*claims),
        Admitted::Unsigned => anyhow::bail!("it is not signed"),
    }
}

/// The claims as wascap has them, if it finds hash, signature and times good.
fn accepted_by_wascap(wasm: &[u8]) -> anyhow::Result<jwt::Claims<Actor>> {
    let token = extract_claims(wasm)?.ok_or_else(|| anyhow::anyhow!("it sees no token"))?;
    let validation = jwt::validate_token::<Actor>(&token.jwt)?;
    anyhow::ensure!(validation.signature_valid, "signature");
    anyhow::ensure!(!validation.expired && !validation.cannot_use_yet, "times");
    Ok(token.claims)
}

#[test]
fn wascap_reads_what_we_sign() -> anyhow::Result<()> {
    let keys = Keys::new();
    for (what, wasm) in units()? {
        for section in [Section::Current, Section::Legacy] {
            let signed = keys.sign_ours(&wasm, section)?;
            let claims = accepted_by_wascap(&signed).map_err(|error| error.context(what))?;
            let actor = claims.metadata.clone().expect("checked by wascap");
            assert_eq!(claims.issuer, keys.account.public_key().as_str());
            assert_eq!(claims.subject, keys.module.public_key().as_str());
            assert_eq!(actor.name.as_deref(), Some("Echo"));
            assert_eq!(actor.caps, Some(vec!["wasmcloud:keyvalue".to_owned()]));
            assert_eq!(actor.tags, Some(vec!["test".to_owned()]));
            assert_eq!(actor.rev, Some(7));
            assert_eq!(actor.ver.as_deref(), Some("1.2.3"));
            assert_eq!(actor.call_alias.as_deref(), Some("my_echo_actor"));
            assert!(!actor.provider);
        }
    }
    Ok(())
}

#[test]
fn we_read_what_wascap_signs_and_find_the_same_in_it() -> anyhow::Result<()> {
    let keys = Keys::new();
    for (what, wasm) in units()? {
        let theirs = keys.sign_theirs(&wasm)?;
        let read = admitted(&theirs).map_err(|error| error.context(what))?;
        let ours = admitted(&keys.sign_ours(&wasm, Section::Current)?)?;
        let same = Claims {
            id: ours.id.clone(),
            issued_at: ours.issued_at,
            not_before: ours.not_before,
            expires_at: ours.expires_at,
            ..read
        };
        assert_eq!(same, ours, "{what}");
    }
    Ok(())
}

#[test]
fn both_check_the_hash() -> anyhow::Result<()> {
    let keys = Keys::new();
    let other = wat::parse_str("(module (memory 2))")?;
    for (what, wasm) in units()? {
        for signed in [
            keys.sign_theirs(&wasm)?,
            keys.sign_ours(&wasm, Section::Current)?,
        ] {
            let token = extract_claims(&signed)?.expect("it is signed").jwt;
            let moved = embed(&other, Section::Current, token.as_bytes())?;
            assert!(extract_claims(&moved).is_err(), "wascap: {what}");
            let refusal = admit(&moved, &policy(), unix_now()).map_err(|error| error.code());
            assert_eq!(refusal, Err("wrong_hash"), "{what}");
        }
    }
    Ok(())
}

#[test]
fn either_signs_over_the_other() -> anyhow::Result<()> {
    let (first, second) = (Keys::new(), Keys::new());
    for (what, wasm) in units()? {
        let ours = second.sign_ours(&first.sign_theirs(&wasm)?, Section::Legacy)?;
        let theirs = second.sign_theirs(&first.sign_ours(&wasm, Section::Legacy)?)?;
        for signed in [ours, theirs] {
            let subject = second.module.public_key().as_str();
            assert_eq!(admitted(&signed)?.subject, subject, "{what}");
            assert_eq!(accepted_by_wascap(&signed)?.subject, subject, "{what}");
        }
    }
    Ok(())
}

#[test]
fn a_token_of_the_first_years_has_a_true_hash_that_we_check_and_wascap_does_not()
-> anyhow::Result<()> {
    let keys = Keys::new();
    let wasm = wat::parse_str("(module (memory 1))")?;
    let token = without_revision(
        &keys,
        &extract_claims(&keys.sign_theirs(&wasm)?)?
            .expect("signed")
            .claims,
    )?;
    assert!(admitted(&embed(&wasm, Section::Legacy, token.as_bytes())?).is_ok());

    let moved = embed(
        &wat::parse_str("(module)")?,
        Section::Legacy,
        token.as_bytes(),
    )?;
    assert!(accepted_by_wascap(&moved).is_ok());
    assert!(admitted(&moved).is_err());
    let lax = Policy {
        legacy_hash: LegacyHash::Ignore,
        ..policy()
    };
    assert!(admit(&moved, &lax, unix_now()).is_ok());
    Ok(())
}

/// The same claims as a token from before tokens had a generation.
fn without_revision(keys: &Keys, claims: &jwt::Claims<Actor>) -> anyhow::Result<String> {
    let mut json = serde_json::to_value(claims)?;
    json.as_object_mut()
        .expect("claims are an object")
        .remove("wascap_revision");
    let legacy: jwt::Claims<Actor> = serde_json::from_value(json)?;
    Ok(legacy.encode(&theirs(&keys.account)?)?)
}

#[test]
fn both_refuse_times_that_are_not_now() -> anyhow::Result<()> {
    let keys = Keys::new();
    let wasm = wat::parse_str("(module)")?;
    let (yesterday, tomorrow) = (unix_now() - DAY, unix_now() + DAY);
    for (not_before, expires, code) in [
        (None, Some(yesterday), "expired"),
        (Some(tomorrow), None, "not_yet_valid"),
    ] {
        let (issuer, subject) = (keys.account.public_key(), keys.module.public_key());
        let claims = jwt::Claims::<Actor>::with_dates(
            "Echo".to_owned(),
            issuer.to_string(),
            subject.to_string(),
            None,
            None,
            not_before,
            expires,
            false,
            None,
            None,
            None,
        );
        let signed = embed_claims(&wasm, &claims, &theirs(&keys.account)?)?;
        assert!(accepted_by_wascap(&signed).is_err());
        let refusal = admit(&signed, &policy(), unix_now()).map_err(|error| error.code());
        assert_eq!(refusal, Err(code));
    }
    Ok(())
}

#[test]
fn the_revision_is_the_time_of_issue_where_none_is_given() -> anyhow::Result<()> {
    let keys = Keys::new();
    let wasm = wat::parse_str("(module)")?;
    let (issuer, subject) = (keys.account.public_key(), keys.module.public_key());
    let claims = jwt::Claims::<Actor>::new(
        "Echo".to_owned(),
        issuer.to_string(),
        subject.to_string(),
        None,
        None,
        false,
        None,
        None,
        None,
    );
    let read = admitted(&embed_claims(&wasm, &claims, &theirs(&keys.account)?)?)?;
    assert_eq!(read.revision, i64::try_from(claims.issued_at)?);
    assert!(read.capabilities.is_empty());
    Ok(())
}

#[test]
fn keys_are_the_same_on_both_sides() -> anyhow::Result<()> {
    for kind in KeyKind::ALL {
        let pair = KeyPair::generate(*kind);
        let same = theirs(&pair)?;
        assert_eq!(same.public_key(), pair.public_key().as_str());
        assert!(pair.public_key().verify(b"hello", &same.sign(b"hello")?));
        assert!(same.verify(b"hello", &pair.sign(b"hello")).is_ok());
    }
    Ok(())
}
