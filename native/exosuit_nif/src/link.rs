//! Links in the router's table.

use std::collections::HashMap;

use exosuit_core::{Error, Link, LinkKey};
use exosuit_router::{LinkState, LinkStatus};
use rustler::{Encoder, Env, ResourceArc, Term};

use crate::host::Host;
use crate::reply::{To, answer, done};
use crate::term::{code, contract, failure, id, link_name, ok, text_atom};

/// Source, target, name, contract, interfaces, configuration of the source and of the target.
type Fields = (
    String,
    String,
    String,
    String,
    Vec<String>,
    HashMap<String, String>,
    HashMap<String, String>,
);

/// Makes a link, or changes its configuration; answers once its provider has taken it.
#[rustler::nif]
fn link_put<'a>(env: Env<'a>, host: ResourceArc<Host>, fields: Fields, to: To<'a>) -> Term<'a> {
    let link = match parse(fields) {
        Ok(link) => link,
        Err(error) => return failure(env, &error),
    };
    // It counts from now on, so that a deletion that is asked for next comes after it.
    answer(env, to, host.router().put_link(link)).encode(env)
}

/// Answers whether a link would be made. Changes nothing.
#[rustler::nif]
fn link_check<'a>(env: Env<'a>, host: ResourceArc<Host>, fields: Fields, to: To<'a>) -> Term<'a> {
    match parse(fields) {
        Ok(link) => answer(env, to, host.router().check_link(link)).encode(env),
        Err(error) => failure(env, &error),
    }
}

/// Removes the links of a source, contract and name, from now on, but for those of these targets and
/// interfaces; answers with their number once their providers have let go of them.
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

/// Every link with what became of it. Of ten thousand links this takes some milliseconds.
#[rustler::nif(schedule = "DirtyCpu")]
fn link_states(env: Env<'_>, host: ResourceArc<Host>) -> Vec<Term<'_>> {
    let states = host.router().link_states();
    states.iter().map(|state| describe(env, state)).collect()
}

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

/// The warnings about the links of a key, as texts.
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

/// Binds the links of these keys to the lineage of the actor at an end of them, which is stopped.
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

/// Frees the links of a key, for whoever runs at their ends now.
#[rustler::nif]
fn link_free<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    (source, for_contract, name): (&str, &str, &str),
) -> Term<'a> {
    let key = parse_key(source, for_contract, name);
    done(env, key.map(|key| host.router().free_links(&key)))
}

/// Says which links of a key are withheld, by target and interfaces: they keep what they are bound to.
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

fn parse_key(source: &str, for_contract: &str, name: &str) -> Result<LinkKey, Error> {
    Ok(LinkKey {
        source: id(source)?,
        contract: contract(for_contract)?,
        name: link_name(name)?,
    })
}
