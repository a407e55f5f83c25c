//! Secrets that Elixir holds by a handle: seeds, tokens, passwords, addresses with passwords in
//! them.
//!
//! Their text stays in Rust, so that no crash report, log line or `inspect` of a process shows it.
//!
//! `Exosuit.Secret` is the struct around a handle. A handle may be sent between processes, and ends with
//! its last reference. Other nodes cannot use it. The text that Elixir passed in remains in the BEAM's
//! memory until it is collected: read secrets from files where that matters.

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

/// A secret. Its text is overwritten when Elixir releases the handle.
pub(crate) struct SecretHandle(Secret);

#[rustler::resource_impl]
impl Resource for SecretHandle {}

impl SecretHandle {
    /// The secret, for code that needs its text.
    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }

    /// The addresses of servers in the secret. Commas separate them; empty parts are left out.
    pub(crate) fn servers(&self) -> Vec<String> {
        let servers = self.0.expose().split(',').map(str::trim);
        let servers = servers.filter(|server| !server.is_empty());
        servers.map(str::to_owned).collect()
    }
}

/// The largest file of a secret that is read; tokens are shorter.
const MAX_BYTES: u64 = 64 << 10;

/// Makes a secret of a text that Elixir has. Refuses an empty one: an empty variable in the environment
/// is nearly always a mistake, and would otherwise mean "no password".
#[rustler::nif]
fn secret_new<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    if text.is_empty() {
        return refused(env, String::from("a secret is empty"));
    }
    ok(env, handle(text))
}

/// Reads a secret from a file of at most 64 KiB, in the form that `content` describes. Runs on a dirty
/// I/O scheduler, as the file may be a mount that hangs.
#[rustler::nif(schedule = "DirtyIo")]
fn secret_from_file<'a>(env: Env<'a>, path: &str) -> Term<'a> {
    match read_file(Path::new(path)) {
        Ok(text) => ok(env, handle(&content(&text))),
        Err(error) => refused(env, format!("the file {path:?} of a secret: {error}")),
    }
}

/// The text of a file. Refuses an empty file, and one that is too large for a secret.
fn read_file(path: &Path) -> io::Result<String> {
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

/// The secret in the text of a file: the `seed` of the output of `exosuit keys gen --json`,
/// otherwise the whole text without white space at its end.
fn content(text: &str) -> Cow<'_, str> {
    let printed = serde_json::from_str::<Value>(text).ok();
    match printed.as_ref().and_then(|key| key["seed"].as_str()) {
        Some(seed) => seed.to_owned().into(),
        None => text.trim_end().into(),
    }
}

/// Generates a key of a kind (`"cluster"`). Returns `{:ok, {public_key, seed}}`, with the seed as a
/// handle. For keys that nobody keeps: the seed is never a text in Elixir.
#[rustler::nif]
fn secret_generate<'a>(env: Env<'a>, kind: &str) -> Term<'a> {
    match kind.parse::<KeyKind>() {
        Ok(kind) => {
            let pair = KeyPair::generate(kind);
            ok(env, (pair.public_key().as_str(), handle(pair.seed())))
        }
        Err(error) => refused(env, error.to_string()),
    }
}

/// The public key of a seed. Refuses a seed of another kind than `kind`. No error repeats the seed.
#[rustler::nif]
fn secret_public_key<'a>(env: Env<'a>, seed: ResourceArc<SecretHandle>, kind: &str) -> Term<'a> {
    match public_key(seed.secret(), kind) {
        Ok(key) => ok(env, key),
        Err(detail) => refused(env, detail),
    }
}

/// The public key, or the reason why there is none, which never has the seed in it.
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

/// The names of the hosts in addresses of servers. The rest of an address may hold a password.
#[rustler::nif]
fn secret_hosts(servers: ResourceArc<SecretHandle>) -> Vec<String> {
    let servers = servers.servers();
    servers.iter().map(|server| host_of(server)).collect()
}

/// The host in one address, `[::1]` without its brackets.
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

/// A handle for Elixir.
fn handle(text: &str) -> ResourceArc<SecretHandle> {
    ResourceArc::new(SecretHandle(Secret::new(text)))
}

/// The error `invalid_input`. `detail` must not hold the secret.
fn refused(env: Env<'_>, detail: String) -> Term<'_> {
    failure(env, &Error::new(Code::InvalidInput, detail)).encode(env)
}
