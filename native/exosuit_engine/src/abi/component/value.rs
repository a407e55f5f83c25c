//! Values between a guest and those who do not know its types.
//!
//! [`lower`] checks a value against its type, and says where it does not fit ([`Misfit`]). [`lift`] cannot fail:
//! wasmtime has checked what the guest gave.

mod lift;
mod lower;
mod misfit;

pub(super) use self::lift::{GiveOut, lift};
pub(super) use self::lower::{TakeIn, lower, lower_all};
pub(super) use self::misfit::Misfit;
