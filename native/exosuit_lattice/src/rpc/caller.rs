//! Makes calls with a MAC without sending them, for benchmarks and tests of a host.

use std::time::Duration;

use bytes::Bytes;
use exosuit_claims::KeyPair;
use exosuit_claims::invocation::Entity;
use exosuit_core::Id;

use super::address::Address;
use super::calling::{Sent, result, seal};
use super::content::Form;
use super::frame::{Answer, Request, check, hash};
use super::headers::Trace;
use super::mac::MacKeys;
use crate::{Error, new_id, now};

/// Makes calls with a MAC and reads their answers, without sending them: for benchmarks, and for
/// tests that send wrong or old messages.
///
/// ```
/// use std::time::Duration;
/// use exosuit_claims::invocation::Entity;
/// use exosuit_claims::{KeyKind, KeyPair};
/// use exosuit_core::Id;
/// use exosuit_lattice::MacCaller;
///
/// let (lattice, name) = (Id::parse("default")?, Id::parse("echo")?);
/// let caller = MacCaller::new(&lattice, &KeyPair::generate(KeyKind::Cluster));
/// assert!(caller.subject(&name).starts_with("exosuit.rpc.default.echo.mac."));
///
/// let (origin, target) = (Entity::actor("me"), Entity::actor("echo"));
/// let request = caller.request(origin, target, "Echo.Say", b"hello", Duration::from_secs(1));
/// // A message without the right MAC is no answer.
/// assert!(request.read(request.message()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MacCaller {
    keys: MacKeys,
    lattice: Id,
    /// How far its clock is ahead of ours, in milliseconds; negative if it is behind.
    ahead: i64,
}

/// A request with a MAC, and the data that verifies its answer.
pub struct MacRequest {
    message: Bytes,
    sent: Sent,
}

impl MacCaller {
    /// Calls in this lattice, with the seed of this cluster.
    pub fn new(lattice: &Id, cluster: &KeyPair) -> Self {
        Self {
            keys: MacKeys::new(lattice, [cluster]),
            lattice: lattice.clone(),
            ahead: 0,
        }
    }

    /// The same with a clock that is this many milliseconds ahead of ours, or behind.
    #[must_use]
    pub fn ahead(self, milliseconds: i64) -> Self {
        Self {
            ahead: milliseconds,
            ..self
        }
    }

    /// The subject of calls with a MAC to this name. It has the id of the seed's key in this
    /// lattice.
    pub fn subject(&self, name: &Id) -> String {
        let to = Address::Named {
            name: name.clone(),
            through: None,
        };
        to.mac_subject(&self.lattice, self.keys.own(now()).id)
    }

    /// A call with a payload of bytes. `left` is the time that its caller waits.
    pub fn request(
        &self,
        origin: Entity,
        target: Entity,
        operation: &str,
        payload: &[u8],
        left: Duration,
    ) -> MacRequest {
        let payload = [&[0], payload].concat();
        let request = Request {
            time: now().saturating_add_signed(self.ahead),
            id: *new_id().as_bytes(),
            origin,
            origin_id: None,
            target,
            operation: operation.to_owned(),
            hash: hash(&payload),
            length: payload.len() as u64,
            depth: 0,
            left: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            trace: Trace::default(),
        };
        let (message, sent) = seal(&request, self.keys.own(request.time), &payload);
        MacRequest { message, sent }
    }
}

impl MacRequest {
    /// The message to send.
    pub fn message(&self) -> &Bytes {
        &self.message
    }

    /// Verifies and decodes an answer to this request.
    ///
    /// # Errors
    ///
    /// `WrongMac` for any other message, `Remote` or `Stale` for an error of the host.
    pub fn read(&self, answer: &Bytes) -> Result<Bytes, Error> {
        if !self.sent.is_answered_by(answer) {
            return Err(Error::WrongMac(
                "the MAC is not that of an answer to the call",
            ));
        }
        let answer = Answer::decode(answer)?;
        result(&answer.said)?;
        check(&answer.payload, &answer.said.hash)?;
        Form::untagged(&answer.payload)
    }
}
