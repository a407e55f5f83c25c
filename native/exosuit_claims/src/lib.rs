//! The identity and the permissions of actors: keys, signed tokens, and their embedding in Wasm.
//!
//! - [`KeyPair`], [`PublicKey`], [`KeyKind`]: the nkeys of everything that has an identity.
//! - [`provider_key`]: the key of a provider without a token, the same on every host.
//! - [`sign`]: puts a token made from a [`Draft`] into a module or a component.
//! - [`admit`]: the one entrance for Wasm. It checks what a [`Policy`] demands, and returns the
//!   [`Claims`] or the reason of the refusal. [`inspect`] returns both.
//! - [`invocation`]: the tokens that hosts sign their calls to each other with.
//! - [`bearer`]: standard `EdDSA` tokens, for people and programs rather than for Wasm.
//!
//! Everything here is pure: no I/O, and time is an argument (seconds since 1970, [`unix_now`]).
//!
//! ```
//! use exosuit_claims::{Admitted, Draft, Issuers, KeyKind, KeyPair, Policy, admit, sign};
//!
//! let account = KeyPair::generate(KeyKind::Account);
//! let module = KeyPair::generate(KeyKind::Module);
//! let draft = Draft::new(module.public_key().clone(), "echo");
//!
//! let unsigned = b"\0asm\x01\0\0\0";
//! let signed = sign(unsigned, &draft, &account, 1_700_000_000)?;
//!
//! let policy = Policy::strict(Issuers::only([account.public_key().as_str()])?);
//! let admitted = admit(&signed, &policy, 1_700_000_001)?;
//! assert!(matches!(admitted, Admitted::Signed(claims) if claims.name.as_deref() == Some("echo")));
//! assert!(admit(unsigned, &policy, 1_700_000_001).is_err());
//! # Ok::<(), exosuit_claims::Error>(())
//! ```
//!
//! # What is covered by a token
//!
//! The hash of a module is taken over its bytes written out again without the tokens: each
//! section's id, its length in the shortest form, and its content. Every byte that has a meaning
//! for a parser is covered. Two things are not covered: longer forms of a length, and the place of
//! the token among the sections. Neither changes what is compiled. No change of a single byte
//! leaves a signed module acceptable, because a change in a length changes the length.

#![forbid(unsafe_code)]

mod admit;
pub mod bearer;
mod claims;
mod error;
pub mod invocation;
mod key;
mod kind;
mod provider;
mod section;
mod sign;
mod token;
mod verifier;
mod wasm;

pub use admit::{Admitted, Inspection, Issuers, LegacyHash, Policy, Unsigned, admit, inspect};
pub use claims::Claims;
pub use error::{Error, moment};
pub use key::{KeyPair, PublicKey};
pub use kind::KeyKind;
pub use provider::provider_key;
pub use section::Section;
pub use sign::{Draft, embed, sign};
pub use token::MAX_TOKEN;
pub use verifier::Verifier;
pub use wasm::{MAX_DEPTH, MAX_WASM};

/// Now, as tokens count time: seconds since 1970, in UTC. A clock before 1970 returns 0.
pub fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
