//! Whatever bytes come, `admit` neither panics nor lets them in as signed; and whatever can be
//! signed is let in, until a byte of it changes.
#![no_main]

use std::sync::LazyLock;

use exosuit_claims::{
    Admitted, Draft, Issuers, KeyKind, KeyPair, LegacyHash, Policy, Section, Unsigned, admit,
    embed, inspect, sign,
};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_700_000_000;

/// Trusts an account whose seed the fuzzer does not have.
static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    issuers: Issuers::only([ACCOUNT.public_key().as_str()]).expect("it is an account"),
    unsigned: Unsigned::Allow,
    legacy_hash: LegacyHash::Ignore,
});
static ACCOUNT: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeyKind::Account));
static DRAFT: LazyLock<Draft> = LazyLock::new(|| {
    let module = KeyPair::generate(KeyKind::Module);
    Draft::new(module.public_key().clone(), "fuzzed")
});

fuzz_target!(|bytes: &[u8]| {
    refuse(bytes);
    refuse_as_token(bytes);
    sign_and_change(bytes);
});

fn refuse(wasm: &[u8]) {
    let _ = inspect(wasm, &POLICY, NOW);
    let admitted = admit(wasm, &POLICY, NOW);
    assert!(
        !matches!(admitted, Ok(Admitted::Signed(_))),
        "a stranger's token was let in"
    );
}

fn refuse_as_token(bytes: &[u8]) {
    let empty = b"\0asm\x01\0\0\0";
    let wasm = embed(empty, Section::Current, bytes).expect("an empty module can be read");
    refuse(&wasm);
}

fn sign_and_change(wasm: &[u8]) {
    let Ok(mut wasm) = sign(wasm, &DRAFT, &ACCOUNT, NOW) else {
        return;
    };
    assert!(matches!(
        admit(&wasm, &POLICY, NOW),
        Ok(Admitted::Signed(_))
    ));
    // Which byte, and how, follows from the input, so that a finding can be repeated.
    let at = wasm.iter().map(|byte| usize::from(*byte)).sum::<usize>() % wasm.len();
    wasm[at] ^= 1 << (at % 8);
    refuse(&wasm);
}
