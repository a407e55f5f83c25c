//! Secrets that Elixir holds by a handle. The text never becomes a term.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use exosuit_claims::{KeyKind, KeyPair};
use exosuit_core::{Code, Error};
use exosuit_lattice::Secret;
use rustler::{Encoder, Env, Resource, ResourceArc, Term};
use serde_json::Value;

use crate::term::{failure, ok};

/// A secret, wiped when Elixir lets go of it.
pub(crate) struct SecretHandle(Secret);

#[rustler::resource_impl]
impl Resource for SecretHandle {}

impl SecretHandle {
    /// The secret, for what needs its text.
    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }

    /// The addresses of servers that it holds, with commas between them.
    pub(crate) fn servers(&self) -> Vec<String> {
        let servers = self.0.expose().split(',').map(str::trim);
        let servers = servers.filter(|server| !server.is_empty());
        servers.map(str::to_owned).collect()
    }
}

/// As much as a token may be long.
const MAX_BYTES: u64 = 64 << 10;

/// A secret of a text that Elixir has.
#[rustler::nif]
fn secret_new<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    if text.is_empty() {
        return refused(env, String::from("a secret is empty"));
    }
    ok(env, kept(text))
}

/// A secret of a file.
#[rustler::nif(schedule = "DirtyIo")]
fn secret_from_file<'a>(env: Env<'a>, path: &str) -> Term<'a> {
    match read(Path::new(path)) {
        Ok(text) => ok(env, kept(&content(&text))),
        Err(error) => refused(env, format!("the file {path:?} of a secret: {error}")),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    match text.len() as u64 {
        0 => Err(io::Error::other("it is empty")),
        length if length > MAX_BYTES => Err(io::Error::other("it is longer than 64 KiB")),
        _ => Ok(text),
    }
}

/// The seed of what `exosuit keys gen --json` printed; of any other file, all of it but white space
/// at its end.
fn content(text: &str) -> Cow<'_, str> {
    let printed = serde_json::from_str::<Value>(text).ok();
    match printed.as_ref().and_then(|key| key["seed"].as_str()) {
        Some(seed) => seed.to_owned().into(),
        None => text.trim_end().into(),
    }
}

/// A new key of a kind (`"cluster"`): `{public_key, seed}`.
#[rustler::nif]
fn secret_generate<'a>(env: Env<'a>, kind: &str) -> Term<'a> {
    match kind.parse::<KeyKind>() {
        Ok(kind) => {
            let pair = KeyPair::generate(kind);
            ok(env, (pair.public_key().as_str(), kept(pair.seed())))
        }
        Err(error) => refused(env, error.to_string()),
    }
}

/// The public key of a seed of this kind (`"cluster"`).
#[rustler::nif]
fn secret_public_key<'a>(env: Env<'a>, seed: ResourceArc<SecretHandle>, kind: &str) -> Term<'a> {
    match public_key(seed.secret(), kind) {
        Ok(key) => ok(env, key),
        Err(detail) => refused(env, detail),
    }
}

fn public_key(seed: &Secret, kind: &str) -> Result<String, String> {
    let kind = kind.parse::<KeyKind>().map_err(|error| error.to_string())?;
    let pair = KeyPair::from_seed(seed.expose()).map_err(|error| error.to_string())?;
    if pair.public_key().kind() == kind {
        Ok(pair.public_key().as_str().to_owned())
    } else {
        Err(format!(
            "expected the seed of a {kind} key, this one is of another kind"
        ))
    }
}

/// The names of the hosts in addresses of servers: no more of an address, as it may hold a password.
#[rustler::nif]
fn secret_hosts(servers: ResourceArc<SecretHandle>) -> Vec<String> {
    let servers = servers.servers();
    servers.iter().map(|server| host_of(server)).collect()
}

/// `[::1]` without its brackets.
fn host_of(server: &str) -> String {
    let address = server.split_once("://").map_or(server, |(_, rest)| rest);
    let address = address.split(['/', '?']).next().unwrap_or_default();
    let address = address.rsplit_once('@').map_or(address, |(_, rest)| rest);
    let host = match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => address.split(':').next(),
    };
    host.unwrap_or_default().to_owned()
}

fn kept(text: &str) -> ResourceArc<SecretHandle> {
    ResourceArc::new(SecretHandle(Secret::new(text)))
}

fn refused(env: Env<'_>, detail: String) -> Term<'_> {
    failure(env, &Error::new(Code::InvalidInput, detail)).encode(env)
}
