//! Links in the router's table.
//!
//! A *key* names links by source, contract and name. Several links may have the same key; they
//! differ in target and interfaces.
//!
//! `Exosuit.Router` calls these NIFs, for `Exosuit.Host.Links`. Putting, checking and deleting ask the
//! provider, which may take 30 seconds for each link, so they run on Tokio and answer by message. A change
//! counts from the NIF's return, not from the task's first step: of two requests of one process, the
//! later one wins. Everything else changes the table alone and returns at once.
//!
//! The data plane undoes what it does not finish. Elixir waits for these answers without a timeout: a
//! caller that stopped waiting would not know which of two states holds.
//!
//! | the link is | its status | calls through it |
//! |---|---|---|
//! | taken by its provider | `:in_force` | are allowed |
//! | put, while an end of it is absent | `:waiting` | fail: no provider serves it yet |
//! | refused by its provider | `{:refused, {code, detail}}` | fail: no provider has taken it |

use std::collections::HashMap;

use exosuit_core::{Error, Link, LinkKey};
use exosuit_router::{LinkState, LinkStatus};
use rustler::{Encoder, Env, ResourceArc, Term};

use crate::host::Host;
use crate::reply::{To, answer, done};
use crate::term::{code, contract, failure, id, link_name, ok, text_atom};

/// Source, target, name, contract, interfaces, configuration of the source, configuration of the
/// target.
type Fields = (
    String,
    String,
    String,
    String,
    Vec<String>,
    HashMap<String, String>,
    HashMap<String, String>,
);

/// Creates a link, or changes its configuration. Answers when its provider has taken it; at once if an
/// end of the link is not there yet, because the link then waits.
///
/// An error changes nothing, and a former link with the same key stays in force. The refusal also
/// becomes a notice, `linkdef_set_failed`. The error `dropped` means that the link was deleted in the
/// meantime.
#[rustler::nif]
fn link_put<'a>(env: Env<'a>, host: ResourceArc<Host>, fields: Fields, to: To<'a>) -> Term<'a> {
    let link = match parse(fields) {
        Ok(link) => link,
        Err(error) => return failure(env, &error),
    };
    // The router notes it now, so that a deletion that is requested next comes after it.
    answer(env, to, host.router().put_link(link)).encode(env)
}

/// Answers whether a link would be accepted. Changes nothing. Providers in Elixir accept each link here:
/// they see links only when they take them.
#[rustler::nif]
fn link_check<'a>(env: Env<'a>, host: ResourceArc<Host>, fields: Fields, to: To<'a>) -> Term<'a> {
    match parse(fields) {
        Ok(link) => answer(env, to, host.router().check_link(link)).encode(env),
        Err(error) => failure(env, &error),
    }
}

/// Removes the links of a key at once, except those with a target and interfaces in `stay`. Answers
/// with their number when their providers have released them. No call uses a removed link from the
/// return of this NIF on, and all puts of the key that are under way are cancelled.
#[rustler::nif]
fn link_delete<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    (source, for_contract, name): (&str, &str, &str),
    stay: Vec<(String, Vec<String>)>,
    to: To<'a>,
) -> Term<'a> {
    let key = match parse_key(source, for_contract, name) {
        Ok(key) => key,
        Err(error) => return failure(env, &error),
    };
    let stays = |link: &Link| {
        let same = |(target, interfaces): &(String, Vec<String>)| {
            target == link.target.as_str() && *interfaces == link.interfaces
        };
        stay.iter().any(same)
    };
    let deleting = host.router().delete_links(&key, &|link| !stays(link));
    answer(env, to, deleting).encode(env)
}

/// Lists all links with their status. Ten thousand links take some milliseconds, so it runs on a dirty
/// scheduler.
#[rustler::nif(schedule = "DirtyCpu")]
fn link_states(env: Env<'_>, host: ResourceArc<Host>) -> Vec<Term<'_>> {
    let states = host.router().link_states();
    states.iter().map(|state| describe(env, state)).collect()
}

/// A link with its status: `{{source, contract, name}, target, interfaces, status}`. The status is
/// `:in_force`, `:waiting`, or `{:refused, {code, detail}}`. Configurations are not in it: they may hold
/// secrets.
fn describe<'a>(env: Env<'a>, LinkState { link, status }: &LinkState) -> Term<'a> {
    let key = (
        link.source.as_str(),
        link.contract.as_str(),
        link.name.as_str(),
    );
    let status = match status {
        LinkStatus::InForce => text_atom(env, "in_force"),
        LinkStatus::Waiting => text_atom(env, "waiting"),
        LinkStatus::Refused(error) => {
            let refused = text_atom(env, "refused");
            (refused, (code(env, error.code), &error.detail)).encode(env)
        }
    };
    (key, link.target.as_str(), &link.interfaces, status).encode(env)
}

/// The warnings about the links of a key, as texts: settings that have no effect. Empty if there are no
/// such links.
#[rustler::nif]
fn link_warnings<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    (source, for_contract, name): (&str, &str, &str),
) -> Term<'a> {
    match parse_key(source, for_contract, name) {
        Ok(key) => ok(env, host.router().link_warnings(&key)),
        Err(error) => failure(env, &error),
    }
}

/// Binds the links of these keys to the present code of a stopped actor at one of their ends. Other
/// code under the same id then does not get them. Without this, anyone who starts an actor under the id
/// of a stopped one would inherit its permissions.
#[rustler::nif]
fn link_bind<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    actor: &str,
    keys: Vec<(String, String, String)>,
) -> Term<'a> {
    let keys: Result<Vec<_>, _> = keys
        .iter()
        .map(|(source, contract, name)| parse_key(source, contract, name))
        .collect();
    let bound = id(actor).and_then(|id| keys.map(|keys| host.router().bind_links(&id, &keys)));
    done(env, bound)
}

/// Releases the links of a key, so that any actor at their ends may use them.
#[rustler::nif]
fn link_free<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    (source, for_contract, name): (&str, &str, &str),
) -> Term<'a> {
    let key = parse_key(source, for_contract, name);
    done(env, key.map(|key| host.router().free_links(&key)))
}

/// Marks links of a key as withheld, by target and interfaces. They stay bound to the code that
/// they are bound to. The control plane withholds a link while a configuration that it names is
/// missing; when the link is put again, it has the same binding as before.
#[rustler::nif]
fn link_withhold<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    (source, for_contract, name): (&str, &str, &str),
    links: Vec<(String, Vec<String>)>,
) -> Term<'a> {
    let links: Result<Vec<_>, _> = links
        .into_iter()
        .map(|(target, interfaces)| Ok((id(&target)?, interfaces)))
        .collect();
    let withheld = parse_key(source, for_contract, name)
        .and_then(|key| links.map(|links| host.router().withhold_links(&key, links)));
    done(env, withheld)
}

/// Parses a link.
fn parse(fields: Fields) -> Result<Link, Error> {
    let (source, target, name, for_contract, interfaces, source_config, target_config) = fields;
    Ok(Link {
        source: id(&source)?,
        target: id(&target)?,
        name: link_name(&name)?,
        contract: contract(&for_contract)?,
        interfaces,
        source_config: source_config.into_iter().collect(),
        target_config: target_config.into_iter().collect(),
    })
}

/// Parses the key of a link.
fn parse_key(source: &str, for_contract: &str, name: &str) -> Result<LinkKey, Error> {
    Ok(LinkKey {
        source: id(source)?,
        contract: contract(for_contract)?,
        name: link_name(name)?,
    })
}
