//! Links in the router's table.

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::{Error, Link, LinkKey};
use rustler::{Encoder, Env, ResourceArc, Term};

use crate::host::Host;
use crate::reply::{To, answer};
use crate::term::{contract, failure, id, link_name};

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
    let router = Arc::clone(host.router());
    answer(env, to, async move { router.put_link(link).await }).encode(env)
}

/// Removes a link by source, contract and name; answers once its provider has let go of it.
#[rustler::nif]
fn link_delete<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    (source, for_contract, name): (&str, &str, &str),
    to: To<'a>,
) -> Term<'a> {
    let key = match parse_key(source, for_contract, name) {
        Ok(key) => key,
        Err(error) => return failure(env, &error),
    };
    let router = Arc::clone(host.router());
    answer(env, to, async move { router.delete_link(&key).await }).encode(env)
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
