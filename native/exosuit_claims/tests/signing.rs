//! A signed token has the claims of its draft.

mod common;

use common::{NOW, Signer, component, module, policy};
use exosuit_claims::{Admitted, Claims, Draft, Error, KeyKind, KeyPair, Section, admit, sign};

fn claims(wasm: &[u8]) -> anyhow::Result<Claims> {
    match admit(wasm, &policy(), NOW)? {
        Admitted::Signed(claims) => Ok(*claims),
        Admitted::Unsigned => anyhow::bail!("it is not signed"),
    }
}

#[test]
fn the_claims_are_those_of_the_draft() -> anyhow::Result<()> {
    let signer = Signer::new();
    let draft = Draft {
        capabilities: vec!["wasmcloud:keyvalue".to_owned(), "wasi:http".to_owned()],
        revision: Some(7),
        version: Some("1.2.3".to_owned()),
        call_alias: Some("My-Echo.Actor".to_owned()),
        tags: vec!["test".to_owned()],
        not_before: Some(NOW),
        expires_at: Some(NOW + 1),
        ..signer.draft()
    };
    let claims = claims(&sign(&module(), &draft, &signer.account, NOW)?)?;
    let expected = Claims {
        id: claims.id.clone(),
        issuer: signer.account.public_key().to_string(),
        subject: signer.module.public_key().to_string(),
        name: Some("Echo".to_owned()),
        revision: 7,
        version: draft.version,
        call_alias: Some("my_echo_actor".to_owned()),
        capabilities: draft.capabilities,
        tags: draft.tags,
        issued_at: NOW,
        not_before: Some(NOW),
        expires_at: Some(NOW + 1),
        is_provider: false,
        wascap_revision: 3,
        hash: common::hash(&module()),
    };
    assert_eq!(claims, expected);
    Ok(())
}

#[test]
fn modules_and_components_take_a_token_under_either_name() -> anyhow::Result<()> {
    let signer = Signer::new();
    for (wasm, section) in [
        (module(), Section::Current),
        (module(), Section::Legacy),
        (component(), Section::Current),
        (component(), Section::Legacy),
    ] {
        let draft = Draft {
            section,
            ..signer.draft()
        };
        let output = sign(&wasm, &draft, &signer.account, NOW)?;
        assert_eq!(claims(&output)?.hash, common::hash(&wasm));
        let name = section.name().as_bytes();
        assert!(output.windows(name.len()).any(|window| window == name));
    }
    Ok(())
}

#[test]
fn equal_drafts_give_equal_bytes_and_others_another_id() -> anyhow::Result<()> {
    let signer = Signer::new();
    assert_eq!(signer.sign(&module()), signer.sign(&module()));

    let later = sign(&module(), &signer.draft(), &signer.account, NOW + 1)?;
    assert_ne!(claims(&later)?.id, claims(&signer.sign(&module()))?.id);
    Ok(())
}

#[test]
fn keys_of_another_kind_are_refused() {
    let signer = Signer::new();
    let module_as_issuer = sign(&module(), &signer.draft(), &signer.module, NOW);
    assert_eq!(
        module_as_issuer,
        Err(Error::WrongKind {
            role: "issuer",
            expected: KeyKind::Account,
            found: KeyKind::Module
        })
    );
    let draft = Draft::new(signer.account.public_key().clone(), "Echo");
    let account_as_subject = sign(&module(), &draft, &signer.account, NOW);
    assert_eq!(
        account_as_subject.map_err(|error| error.to_string()),
        Err("a key of kind account was given as the subject, expected module".to_owned())
    );
}

#[test]
fn drafts_that_make_no_sense_are_refused() {
    let signer = Signer::new();
    let spoilt: [fn(&mut Draft); 7] = [
        |draft| draft.name = " ".to_owned(),
        |draft| draft.revision = Some(-1),
        |draft| draft.expires_at = Some(NOW),
        |draft| (draft.not_before, draft.expires_at) = (Some(NOW + 9), Some(NOW + 9)),
        |draft| draft.capabilities = vec![String::new()],
        |draft| draft.capabilities = vec!["wasmcloud:keyvalue ".to_owned()],
        |draft| draft.call_alias = Some("é".to_owned()),
    ];
    for (number, spoil) in spoilt.into_iter().enumerate() {
        let mut draft = signer.draft();
        spoil(&mut draft);
        let code = sign(&module(), &draft, &signer.account, NOW).map_err(|error| error.code());
        assert_eq!(code, Err("invalid_draft"), "draft {number}");
    }
}

#[test]
fn no_token_is_made_that_would_not_be_read() {
    let signer = Signer::new();
    let mut draft = signer.draft();
    draft.tags = vec!["x".repeat(exosuit_claims::MAX_TOKEN)];
    let code = sign(&module(), &draft, &signer.account, NOW).map_err(|error| error.code());
    assert_eq!(code, Err("too_large"));
}

#[test]
fn what_is_no_wasm_is_not_signed() {
    let signer = Signer::new();
    let code = sign(b"#!/bin/sh", &signer.draft(), &signer.account, NOW);
    assert_eq!(code.map_err(|error| error.code()), Err("not_wasm"));
}

#[test]
fn a_pair_of_keys_can_be_brought_back_from_its_seed() -> anyhow::Result<()> {
    let signer = Signer::new();
    let same = KeyPair::from_seed(signer.account.seed())?;
    let again = sign(&module(), &signer.draft(), &same, NOW)?;
    assert_eq!(again, signer.sign(&module()));
    Ok(())
}
