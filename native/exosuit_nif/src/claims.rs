//! Claims in signed modules, keys, and digests.
//!
//! Pure functions: they change nothing and remember nothing. `exosuit_claims` does the work, without
//! I/O. `Exosuit.Claims` and `Exosuit.Artifact` call them. Whatever hashes or parses a whole module
//! runs on a dirty scheduler: hashing 50 MiB takes a tenth of a second. Keys take microseconds, on a
//! normal scheduler.
//!
//! Seeds pass through `key_generate` and `key_public` as text, because their callers print them
//! or write them to files. The host's own seeds are handles: see `secret`.

use exosuit_claims::{
    Admitted, Claims, Issuers, KeyKind, KeyPair, LegacyHash, Policy, Unsigned, admit, unix_now,
};
use exosuit_core::{Code, Error};
use rustler::types::atom::nil;
use rustler::{Binary, Encoder, Env, NifResult, Term};
use sha2::{Digest, Sha256};

use crate::term::{failure, ok, text_atom};

/// Checks the token of a module or component. Returns `{:ok, claims}`, or `{:ok, :unsigned}` if that
/// is allowed. `issuers` is `:any`, or a list of public keys (`A…`).
///
/// The check covers the signature, the hash of the module, the issuer, and the times in the token by
/// the clock of this machine. `legacy_hash` accepts tokens whose hash does not cover the code, as old
/// signing tools made them.
///
/// | error | when |
/// |---|---|
/// | `invalid_claims` | the token is missing, damaged, expired, of another module or of another issuer |
/// | `unavailable` | the token is not valid yet; another try later may succeed |
/// | `invalid_module` | the bytes are not Wasm, or are larger or nested deeper than is read |
#[rustler::nif(schedule = "DirtyCpu")]
fn claims_admit<'a>(
    env: Env<'a>,
    wasm: Binary<'a>,
    issuers: Term<'a>,
    unsigned: bool,
    legacy_hash: bool,
) -> NifResult<Term<'a>> {
    // Other atoms trust nobody, because a `nil` by mistake must not trust everybody.
    let trusted: Option<Vec<String>> = match issuers.atom_to_string().as_deref() {
        Ok("any") => None,
        _ => Some(issuers.decode()?),
    };
    Ok(match check(&wasm, trusted, unsigned, legacy_hash) {
        Ok(Admitted::Signed(claims)) => ok(env, encode(env, &claims)),
        Ok(Admitted::Unsigned) => ok(env, text_atom(env, "unsigned")),
        Err(error) => failure(env, &Error::new(code(&error), error.to_string())),
    })
}

/// The code of an error. A token that is not valid yet becomes valid later, so another try is worth
/// it.
fn code(error: &exosuit_claims::Error) -> Code {
    use exosuit_claims::Error::{NotWasm, NotYetValid, TooDeep, TooLarge};
    match error {
        NotYetValid(_) => Code::Unavailable,
        NotWasm(_) | TooDeep(_) | TooLarge { .. } => Code::InvalidModule,
        _ => Code::InvalidClaims,
    }
}

/// Checks the token with a policy that is made of these options. `trusted` is `None` for any issuer;
/// an empty list trusts nobody.
fn check(
    wasm: &[u8],
    trusted: Option<Vec<String>>,
    unsigned: bool,
    legacy_hash: bool,
) -> Result<Admitted, exosuit_claims::Error> {
    let policy = Policy {
        issuers: trusted.map_or(Ok(Issuers::Any), Issuers::only)?,
        unsigned: if unsigned {
            Unsigned::Allow
        } else {
            Unsigned::Deny
        },
        legacy_hash: if legacy_hash {
            LegacyHash::Ignore
        } else {
            LegacyHash::Check
        },
    };
    admit(wasm, &policy, unix_now())
}

/// The fields of `Exosuit.Claims`: a map with atoms as keys, times in Unix seconds, absent ones `nil`.
fn encode<'a>(env: Env<'a>, claims: &Claims) -> Term<'a> {
    let fields = [
        ("subject", claims.subject.encode(env)),
        ("issuer", claims.issuer.encode(env)),
        ("name", claims.name.encode(env)),
        ("revision", claims.revision.encode(env)),
        ("version", claims.version.encode(env)),
        ("call_alias", claims.call_alias.encode(env)),
        ("capabilities", claims.capabilities.encode(env)),
        ("tags", claims.tags.encode(env)),
        ("not_before", claims.not_before.encode(env)),
        ("expires_at", claims.expires_at.encode(env)),
    ];
    let pairs: Vec<_> = fields
        .iter()
        .map(|(key, value)| (text_atom(env, key), *value))
        .collect();
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| nil().encode(env))
}

/// Generates a key of a kind (`"server"`). Returns `{:ok, {public_key, seed}}`, both as text: `N…` and
/// `SN…`. An unknown kind is `invalid_input`.
#[rustler::nif]
fn key_generate<'a>(env: Env<'a>, kind: &str) -> Term<'a> {
    match kind.parse::<KeyKind>() {
        Ok(kind) => {
            let pair = KeyPair::generate(kind);
            ok(env, (pair.public_key().as_str(), pair.seed()))
        }
        Err(error) => failure(env, &Error::new(Code::InvalidInput, error.to_string())),
    }
}

/// The public key of a seed of this kind (`"server"`). Another kind of seed, and a text that is not a
/// seed, are `invalid_input`. The error never repeats the seed.
#[rustler::nif]
fn key_public<'a>(env: Env<'a>, kind: &str, seed: &str) -> Term<'a> {
    let kind = kind.parse::<KeyKind>();
    let pair = kind.and_then(|kind| Ok((kind, KeyPair::from_seed(seed)?)));
    match pair {
        Ok((kind, pair)) if pair.public_key().kind() == kind => ok(env, pair.public_key().as_str()),
        Ok((kind, _)) => {
            let detail = format!("expected the seed of a {kind} key, this one is of another kind");
            failure(env, &Error::new(Code::InvalidInput, detail))
        }
        Err(error) => failure(env, &Error::new(Code::InvalidInput, error.to_string())),
    }
}

/// Where a path leads, every symbolic link followed; `nil` where nothing is, or where the path is not
/// UTF-8. Erlang has no function for this. The file system may block, so it runs on a dirty I/O
/// scheduler.
#[rustler::nif(schedule = "DirtyIo")]
fn path_resolve(path: &str) -> Option<String> {
    std::fs::canonicalize(path)
        .ok()?
        .into_os_string()
        .into_string()
        .ok()
}

/// The upper-hex SHA-256 of bytes: 64 characters. Code is known by it, in specifications and in the
/// store of a lattice.
#[rustler::nif(schedule = "DirtyCpu")]
fn digest(bytes: Binary<'_>) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes.as_slice())
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        })
}
