//! A call to an actor, wherever it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_claims::{KeyKind, KeyPair};
use exosuit_core::{Context, Id, Origin};
use exosuit_lattice::{CallOptions, Calls, Error, Served};
use serde_json::Value;

use super::control::Control;
use crate::failure::Failure;
use crate::output::printable;

/// As a host's own default.
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What is called, and with what.
pub(crate) struct Invocation {
    pub(crate) actor: String,
    pub(crate) operation: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
}

/// Calls as a host does; the host is one of our own making, and the cluster vouches for it.
pub(super) async fn call(
    control: &Control,
    invocation: Invocation,
    cluster: KeyPair,
) -> Result<Vec<u8>, Failure> {
    if control.host.is_some() {
        return Err(Failure::usage(
            "a call goes to whichever host serves the actor: leave out --host",
        ));
    }
    let target = Served::Actor(resolve(control, &invocation.actor).await?);
    let host = KeyPair::generate(KeyKind::Server);
    let options = CallOptions::new(
        control.lattice.clone(),
        host.public_key().clone(),
        Arc::new(cluster),
    );
    let calls = Calls::start(control.connection.clone(), options).await?;
    let context = Context::until(Instant::now() + invocation.timeout.unwrap_or(USUAL_TIMEOUT));
    let answer = calls.call(
        &Origin::Host,
        &target,
        &invocation.operation,
        Bytes::from(invocation.payload),
        context,
    );
    match answer.await {
        Ok(answer) => Ok(answer.to_vec()),
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

/// A call alias stands for a key, as the claims of the lattice have it. All else is a name already.
async fn resolve(control: &Control, name: &str) -> Result<Id, Failure> {
    let given = Id::parse(name);
    if given.as_ref().is_ok_and(is_key) {
        return given.map_err(Failure::usage);
    }
    let claims = control.ask("claims.get", &Value::Null).await?;
    let claims = claims.as_array().map_or(&[][..], Vec::as_slice);
    let aliased = claims.iter().find(|claims| claims["call_alias"] == name);
    let key = aliased.and_then(|claims| claims["sub"].as_str());
    match key.and_then(|key| Id::parse(key).ok()) {
        Some(key) => Ok(key),
        None => given.map_err(Failure::usage),
    }
}

fn is_key(id: &Id) -> bool {
    exosuit_claims::PublicKey::parse(id.as_str()).is_ok_and(|key| key.kind() == KeyKind::Module)
}
