//! The claims of actors that run on other hosts. The router needs them to decide about their calls.

use exosuit_core::Identity;
use rustler::{Env, ResourceArc, Term};

use crate::actor::settings::Claimed;
use crate::host::Host;
use crate::reply::done;
use crate::term::id;

/// Stores the claims of an actor on another host, under its public key.
#[rustler::nif]
fn claims_know<'a>(env: Env<'a>, host: ResourceArc<Host>, key: &str, claims: Claimed) -> Term<'a> {
    let know = |key| host.router().know(key, Identity::from(claims));
    done(env, id(key).map(know))
}

/// Removes the claims of a public key.
#[rustler::nif]
fn claims_forget<'a>(env: Env<'a>, host: ResourceArc<Host>, key: &str) -> Term<'a> {
    done(env, id(key).map(|key| host.router().forget_known(&key)))
}
