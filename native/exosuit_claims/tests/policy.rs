//! The demands of a host are checked.

mod common;

use common::{NOW, Signer, component, module, policy, refusal_under};
use exosuit_claims::{
    Admitted, Error, Issuers, KeyKind, KeyPair, Policy, Unsigned, admit, inspect, sign,
};

#[test]
fn a_trusted_issuer_is_let_in_and_another_is_not() -> anyhow::Result<()> {
    let (trusted, other) = (Signer::new(), Signer::new());
    let policy = Policy::strict(Issuers::only([trusted.account.public_key().as_str()])?);
    assert!(admit(&trusted.sign(&module()), &policy, NOW).is_ok());
    assert_eq!(
        admit(&other.sign(&module()), &policy, NOW),
        Err(Error::UntrustedIssuer(
            other.account.public_key().to_string()
        ))
    );
    Ok(())
}

#[test]
fn nobody_is_trusted_where_the_list_is_empty() -> anyhow::Result<()> {
    let policy = Policy::strict(Issuers::only::<&str>([])?);
    let signed = Signer::new().sign(&module());
    assert_eq!(refusal_under(&policy, &signed), "untrusted_issuer");
    Ok(())
}

#[test]
fn only_accounts_can_be_trusted() {
    let module = KeyPair::generate(KeyKind::Module);
    let code = |text: &str| Issuers::only([text]).map_err(|error| error.code());
    assert_eq!(code(module.public_key().as_str()), Err("wrong_kind"));
    assert_eq!(code("somebody"), Err("invalid_public_key"));
}

#[test]
fn unsigned_wasm_is_let_in_only_where_that_is_allowed() {
    let allow = Policy {
        unsigned: Unsigned::Allow,
        ..policy()
    };
    for wasm in [module(), component()] {
        assert_eq!(refusal_under(&policy(), &wasm), "unsigned");
        assert_eq!(admit(&wasm, &allow, NOW), Ok(Admitted::Unsigned));
    }
}

#[test]
fn a_token_is_good_from_its_first_second_until_its_last() -> anyhow::Result<()> {
    let signer = Signer::new();
    let mut draft = signer.draft();
    draft.not_before = Some(NOW + 10);
    draft.expires_at = Some(NOW + 20);
    let wasm = sign(&module(), &draft, &signer.account, NOW)?;

    let at = |now| admit(&wasm, &policy(), now).map(|_| ());
    assert_eq!(at(NOW + 9), Err(Error::NotYetValid(NOW + 10)));
    assert_eq!(at(NOW + 10), Ok(()));
    assert_eq!(at(NOW + 19), Ok(()));
    assert_eq!(at(NOW + 20), Err(Error::Expired(NOW + 20)));
    Ok(())
}

#[test]
fn what_is_refused_can_still_be_inspected() -> anyhow::Result<()> {
    let signer = Signer::new();
    let mut draft = signer.draft();
    draft.expires_at = Some(NOW + 20);
    let wasm = sign(&module(), &draft, &signer.account, NOW)?;

    let good = inspect(&wasm, &policy(), NOW)?;
    assert_eq!(good.verdict, Ok(()));
    let expired = inspect(&wasm, &policy(), NOW + 20)?;
    assert_eq!(expired.verdict, Err(Error::Expired(NOW + 20)));
    assert_eq!(expired.claims, good.claims);
    assert_eq!(inspect(&module(), &policy(), NOW), Err(Error::Unsigned));
    Ok(())
}
