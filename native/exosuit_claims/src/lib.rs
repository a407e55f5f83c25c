//! Who an actor is and what it may do: keys, signed tokens, and their embedding in Wasm.
//!
//! - [`KeyPair`], [`PublicKey`], [`KeyKind`]: the nkeys of everything that has an identity.
//! - [`provider_key`]: the key of a provider that has no token, the same on every host.
//! - [`sign`]: puts a token made from a [`Draft`] into a module or a component.
//! - [`admit`]: the one door for Wasm. It checks all that a [`Policy`] asks for and gives the
//!   [`Claims`], or the reason why not. [`inspect`] shows both.
//! - [`invocation`]: the tokens with which hosts sign the calls that they send each other.
//! - [`bearer`]: standard `EdDSA` tokens, for people and programs rather than for Wasm.
//!
//! Everything here is pure: no I/O, and time is an argument (seconds since 1970, [`unix_now`]).
//!
//! # What is covered by a token
//!
//! A unit's hash is taken over its bytes written out again without the tokens: each section's
//! id, its length in the shortest form, its content. So every byte that means something to a
//! parser is covered. Not covered are the longer forms in which a length may be written, and
//! where among the sections the token stands; neither changes what is compiled. No change of a
//! single byte leaves a signed unit acceptable, since one in a length changes the length.

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

/// Now, as tokens count time: seconds since 1970, in UTC. A clock before that counts as 0.
pub fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
