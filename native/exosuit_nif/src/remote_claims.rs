//! The claims of actors that run on other hosts. The router needs them to decide about their calls.
//!
//! Hosts publish the claims of their actors in the lattice's store. `Exosuit.Host.Replica` follows the
//! store and calls these NIFs for the actors among them. The router keeps a bounded number of claims,
//! and forgets the oldest ones first.

use exosuit_core::Identity;
use rustler::{Env, ResourceArc, Term};

use crate::actor::settings::Claimed;
use crate::host::Host;
use crate::reply::done;
use crate::term::id;

/// Stores the claims of an actor on another host, under its public key, in place of earlier ones. From
/// now on the actor can be called by its alias.
#[rustler::nif]
fn claims_know<'a>(env: Env<'a>, host: ResourceArc<Host>, key: &str, claims: Claimed) -> Term<'a> {
    let know = |key| host.router().know(key, Identity::from(claims));
    done(env, id(key).map(know))
}

/// Removes the claims of a public key. From then on links alone decide what the actor may call
/// here, and its alias is unknown.
#[rustler::nif]
fn claims_forget<'a>(env: Env<'a>, host: ResourceArc<Host>, key: &str) -> Term<'a> {
    done(env, id(key).map(|key| host.router().forget_known(&key)))
}
