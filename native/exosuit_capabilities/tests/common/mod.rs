//! Helpers of the tests: calls as the router makes them.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod lattice;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{
    Capability, CapabilityCall, Configuration, Context, Contract, Error, Id, Invocation, Link,
    LinkName, Notice, Observe, Origin, Payload, Reply, Target, Value,
};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn id(text: &str) -> Id {
    Id::parse(text).expect("an id")
}

pub(crate) fn configuration(pairs: &[(&str, &str)]) -> Configuration {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Noted(Mutex<Vec<Notice>>);

impl Observe for Noted {
    fn observe(&self, notice: Notice) {
        self.0.lock().push(notice);
    }
}

impl Noted {
    /// The notices about a provider that it received: whether each was a warning, and its text.
    pub(crate) fn of_provider(&self) -> Vec<(bool, String)> {
        let all = self.0.lock();
        let text = |notice: &Notice| match notice {
            Notice::ProviderWarning { text, .. } => Some((true, text.clone())),
            Notice::ProviderRecovered { text, .. } => Some((false, text.clone())),
            _ => None,
        };
        all.iter().filter_map(text).collect()
    }
}

/// A link from an actor to the provider `provider`.
pub(crate) fn link(actor: &str, contract: &str, settings: &[(&str, &str)]) -> Arc<Link> {
    Arc::new(Link {
        source: id(actor),
        target: id("provider"),
        name: LinkName::default(),
        contract: Contract::parse(contract).expect("a contract"),
        interfaces: Vec::new(),
        source_config: Configuration::new(),
        target_config: configuration(settings),
    })
}

/// Calls as the actor `actor`, with the payload as it is.
pub(crate) async fn call_raw(
    provider: &dyn Capability,
    link: Option<Arc<Link>>,
    operation: &str,
    payload: &[u8],
) -> Result<Bytes, Error> {
    let payload = Bytes::copy_from_slice(payload).into();
    let answer = invoke(provider, link, operation, payload).await;
    answer?.into_bytes()
}

/// Calls a WIT function as the actor `actor`.
pub(crate) async fn call_wit(
    provider: &dyn Capability,
    link: Option<Arc<Link>>,
    operation: &str,
    arguments: Vec<Value>,
) -> Result<Value, Error> {
    let payload = Payload::Values(arguments);
    let answer = invoke(provider, link, operation, payload).await;
    answer?.into_value()
}

async fn invoke(
    provider: &dyn Capability,
    link: Option<Arc<Link>>,
    operation: &str,
    payload: Payload,
) -> Result<Reply, Error> {
    let contract = link.as_ref().map(|link| &link.contract);
    let invocation = Invocation {
        origin: Origin::Actor(id("actor")),
        target: Target::Import {
            namespace: contract.unwrap_or(&provider.contracts()[0]).to_string(),
            link: LinkName::DEFAULT.to_owned(),
        },
        operation: operation.to_owned(),
        payload,
        context: Context::until(Instant::now() + Duration::from_mins(1)),
    };
    provider.invoke(CapabilityCall { invocation, link }).await
}

/// Calls with arguments written and the answer read.
pub(crate) async fn call<T: DeserializeOwned>(
    provider: &dyn Capability,
    link: Option<Arc<Link>>,
    operation: &str,
    arguments: impl Serialize,
) -> Result<T, Error> {
    let payload = rmp_serde::to_vec_named(&arguments).expect("arguments are written");
    let answer = call_raw(provider, link, operation, &payload).await?;
    Ok(rmp_serde::from_slice(&answer).expect("an answer of the expected shape"))
}

/// Bytes from their hexadecimal form.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .expect("hexadecimal digits")
}

/// Paths that no setting may have as a file, and what an error says of each. The last is a file of
/// `max_kib` KiB and one byte more.
pub(crate) fn unreadable(directory: &Path, max_kib: usize) -> [(String, String); 4] {
    let path = |name: &str| directory.join(name).display().to_string();
    let (fifo, large) = (path("fifo"), path("large"));
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    fs::write(&large, vec![b'\n'; max_kib * 1_024 + 1]).expect("a large file");
    let irregular = "is not a regular file".to_owned();
    [
        ("/dev/zero".to_owned(), irregular.clone()),
        (fifo, irregular.clone()),
        (directory.display().to_string(), irregular),
        (large, format!("is larger than {max_kib} KiB")),
    ]
}
