//! Calls an actor on any host of a lattice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_claims::{KeyKind, KeyPair};
use exosuit_core::{Context, Id, Origin, Reply, Target};
use exosuit_lattice::{Address, CallOptions, Calls, Error};
use serde_json::Value;

use super::control::Control;
use crate::failure::Failure;
use crate::output::printable;

/// The default timeout, the same as a host's.
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A call.
pub(crate) struct Invocation {
    pub(crate) actor: String,
    pub(crate) operation: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
}

/// Calls as a host does: with a new host key, signed by the cluster.
pub(super) async fn call(
    control: &Control,
    invocation: Invocation,
    cluster: KeyPair,
) -> Result<Vec<u8>, Failure> {
    if control.host.is_some() {
        return Err(Failure::usage(
            "a call goes to any host that runs the actor: leave out --host",
        ));
    }
    let address = resolve(control, &invocation.actor).await?;
    let host = KeyPair::generate(KeyKind::Server);
    let options = CallOptions::new(
        control.lattice.clone(),
        host.public_key().clone(),
        Arc::new(cluster),
    );
    let calls = Calls::start(control.connection.clone(), options).await?;
    let context = Context::until(Instant::now() + invocation.timeout.unwrap_or(USUAL_TIMEOUT));
    let call = exosuit_core::Invocation {
        origin: Origin::Host,
        target: Target::Actor(invocation.actor.clone()),
        operation: invocation.operation,
        payload: Bytes::from(invocation.payload).into(),
        context,
    };
    match calls.call(&address, None, call).await {
        Ok(answer) => bytes(answer),
        Err(Error::NoResponders(_)) => Err(Failure::refused(
            "no_responders",
            format!(
                "nobody serves {} in {}",
                printable(&invocation.actor),
                control.place()
            ),
        )),
        Err(Error::Remote { code, detail }) => Err(Failure::refused(
            code.map_or("remote", |code| code.as_str()),
            printable(&detail),
        )),
        Err(error) => Err(error.into()),
    }
}

/// The bytes of an answer. Typed answers cannot be printed.
fn bytes(answer: Reply) -> Result<Vec<u8>, Failure> {
    let bytes = answer.into_bytes();
    let bytes = bytes.map_err(|error| Failure::refused(error.code.as_str(), error))?;
    Ok(bytes.to_vec())
}

/// The address of an actor. The claims in the lattice give the key of a call alias; other names are
/// addresses already.
async fn resolve(control: &Control, name: &str) -> Result<Address, Failure> {
    let given = Id::parse(name);
    if let Some(key) = given.as_ref().ok().filter(|id| is_key(id)) {
        return Ok(Address::Actor(key.clone()));
    }
    let claims = control.ask("claims.get", &Value::Null).await?;
    let claims = claims.as_array().map_or(&[][..], Vec::as_slice);
    let aliased = claims.iter().find(|claims| claims["call_alias"] == name);
    let key = aliased.and_then(|claims| Id::parse(claims["sub"].as_str()?).ok());
    match key.filter(is_key) {
        Some(key) => Ok(Address::Actor(key)),
        None => Ok(Address::Named {
            name: given.map_err(Failure::usage)?,
            through: None,
        }),
    }
}

/// Whether a name is the public key of an actor.
fn is_key(id: &Id) -> bool {
    KeyKind::of_key(id.as_str()) == Some(KeyKind::Module)
}
