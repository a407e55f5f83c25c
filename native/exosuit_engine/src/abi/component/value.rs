//! Values between a guest and those who do not know its types.
//!
//! [`lower`] checks a value against its type, and says where it does not fit ([`Misfit`]). [`lift`] cannot fail:
//! wasmtime has checked what the guest gave.
//!
//! There are three forms of a value. wasmtime has `Val`, with numbers of their exact type and cases by name. The
//! rest of the host has [`Value`](exosuit_core::Value), which is what Elixir, other hosts and built-in providers
//! can make without knowing a type. A guest has bytes in its memory. Functions of strings and bytes alone skip
//! `Val` (see `plain`).

mod lift;
mod lower;
mod misfit;

pub(super) use self::lift::{GiveOut, lift};
pub(super) use self::lower::{TakeIn, lower, lower_all};
pub(super) use self::misfit::Misfit;
