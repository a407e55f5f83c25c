//! Calls with a MAC, to hosts of the same cluster.
//!
//! A host announces in its heartbeat that it accepts such calls. After the first such heartbeat,
//! the first call to a name is still signed, and a probe goes along with it: a request without an
//! operation. If the probe gets an authentic answer, further calls to that name carry a MAC. A call
//! without responders, or one that times out, starts another probe; only if that probe times out as
//! well are calls to the name signed again (see `mac_names`). A call that was sent with a MAC is
//! never sent again signed: "no responders" can be forged, and the call may be running.
//!
//! An answer is accepted only if its MAC covers the MAC of the request. Other messages are counted
//! and ignored, and the call keeps waiting. The answer to a *signed* call has no MAC: anyone who
//! may publish to the inbox of a host can forge one. The permissions of the NATS server restrict
//! that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{Context, Id, Origin, Reply};

use super::address::{self, Address};
use super::calls_state::{CallsState, LARGEST_REQUEST};
use super::chunks::id_text;
use super::content::Form;
use super::frame::{Answer, Hash, MAX_NAME, PROBE, Received, Request, check, hash};
use super::headers::{self, Trace};
use super::mac::{EpochKeys, Mac};
use crate::replies::Accepts;
use crate::{Error, new_id, now};

/// How long a probe waits for its answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a call is sent to a host that may have served it before its restart.
const TRIES: u32 = 4;

/// The pause before the third attempt, longer before each further one: the clocks of two hosts
/// differ by less.
const PAUSE: Duration = Duration::from_millis(50);

/// A call to another host, before it is encoded. It may be encoded several times.
pub(super) struct Outgoing<'a> {
    pub(super) to: &'a Address,
    pub(super) origin: &'a Origin,
    /// The public key of the origin, if it has one besides its id.
    pub(super) key: Option<&'a Id>,
    pub(super) operation: &'a str,
    /// The payload in tagged form, see `content`.
    pub(super) payload: &'a Bytes,
    pub(super) context: Context,
}

/// The data that verifies the answer to a request. Only the host that sent the request, and those
/// with the seed, can compute it.
#[derive(Clone)]
pub(super) struct Sent {
    keys: Arc<EpochKeys>,
    mac: Mac,
}

impl Sent {
    /// Whether a message is an authentic answer to this request. It runs in the task of all
    /// answers, and takes microseconds.
    pub(super) fn is_answered_by(&self, message: &Bytes) -> bool {
        let Ok(answer) = Answer::decode(message) else {
            return false;
        };
        let is_ours = answer.key == self.keys.id && answer.epoch == self.keys.epoch;
        is_ours
            && self
                .keys
                .is_of_answer(&self.mac, &answer.header, &answer.mac)
    }
}

/// Probes in the background whether a host accepts calls to this name with a MAC, if it is time to.
///
/// The probe is a task of its own, which ends within 5 seconds. Its result changes `mac_names`
/// only.
pub(super) fn probe(shared: &Arc<CallsState>, to: &Address, origin: &Origin, key: Option<&Id>) {
    if !shared.mac_names.should_probe(to.name()) {
        return;
    }
    let (shared, to) = (Arc::clone(shared), to.clone());
    let (origin, key) = (origin.clone(), key.cloned());
    tokio::spawn(async move {
        let probe = Outgoing {
            to: &to,
            origin: &origin,
            key: key.as_ref(),
            operation: PROBE,
            payload: &Bytes::new(),
            context: Context::until(Instant::now() + PROBE_TIMEOUT),
        };
        // A refusal with a MAC is an authentic answer, too.
        match shared.call_by_mac(&probe).await {
            Ok(_) | Err(Error::Remote { .. }) => shared.mac_names.mark_proven(to.name()),
            Err(Error::Deadline(_)) => shared.mac_names.mark_unanswered(to.name()),
            Err(_) => {}
        }
    });
}

impl CallsState {
    /// Calls with a MAC, and decodes the reply.
    ///
    /// "No responders" and a timeout make the name doubted. They do not end its use of MACs, as
    /// both can be caused by others.
    pub(super) async fn exchange_by_mac(&self, call: &Outgoing<'_>) -> Result<Reply, Error> {
        match self.call_by_mac(call).await {
            Ok(bytes) => Form::Tagged.read_reply(&bytes),
            Err(error @ (Error::NoResponders(_) | Error::Deadline(_))) => {
                self.mac_names.mark_doubted(call.to.name());
                Err(error.about(call.to.name()))
            }
            Err(error) => Err(error),
        }
    }

    /// Calls with a MAC, and returns the payload of the answer. A probe ends with its answer or its
    /// deadline; a call also ends with "no responders".
    ///
    /// `Stale` comes from a host that started at about the time of the request. Each attempt has a
    /// new id and a new time; the pauses are 0, 100 and 150 ms. In all, four attempts are made.
    pub(super) async fn call_by_mac(&self, call: &Outgoing<'_>) -> Result<Bytes, Error> {
        if call.operation.len() > MAX_NAME {
            let why = format!("the operation has more than {MAX_NAME} bytes");
            return Err(Error::malformed("invocation", why));
        }
        let (begun, hash) = (Instant::now(), hash(call.payload));
        let mut attempt = 1;
        loop {
            match self.try_by_mac(call, hash).await {
                // The host cannot tell whether it served this call before it restarted, so the call
                // is sent again with a new time. After the freshness window the answer may be a
                // repetition by somebody else.
                Err(Error::Stale(_))
                    if attempt < TRIES && begun.elapsed() < self.options.freshness => {}
                answer => return answer,
            }
            if attempt > 1 {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            attempt += 1;
        }
    }

    /// One attempt: stores a large payload, sends the request, verifies the answer, and compares
    /// the clocks.
    async fn try_by_mac(&self, call: &Outgoing<'_>, hash: Hash) -> Result<Bytes, Error> {
        let request = self.request_by_mac(call, hash)?;
        let name = id_text(&request.id);
        let is_apart = call.payload.len() > self.largest_message(LARGEST_REQUEST);
        if is_apart {
            self.connection.client()?;
            Box::pin(self.chunks.put(&name, call.payload)).await?;
        }
        let payload = if is_apart { &[][..] } else { call.payload };
        let (message, sent) = seal(&request, self.keys.own(request.time), payload);
        let answer = self.ask_by_mac(call, message, sent).await;
        if is_apart && answer.is_err() {
            Box::pin(self.chunks.discard(&name)).await;
        }
        let answer = Answer::decode(&answer?)?;
        self.tally
            .compare_clocks(call.to.name().as_str(), answer.said.time, now());
        self.result_by_mac(&name, answer).await
    }

    /// The header of the request. Its time and id are new at each attempt.
    fn request_by_mac(&self, call: &Outgoing<'_>, hash: Hash) -> Result<Request, Error> {
        let (origin, origin_id) = address::of_origin(call.origin, call.key, &self.options.host)?;
        Ok(Request {
            time: now(),
            id: *new_id().as_bytes(),
            origin,
            origin_id: origin_id.map(Id::to_string),
            target: call.to.entity(),
            operation: call.operation.to_owned(),
            hash,
            length: call.payload.len() as u64,
            depth: call.context.depth,
            left: headers::left(call.context),
            trace: Trace::current(),
        })
    }

    /// Sends the message and waits for an answer with the right MAC. Others are counted as forged
    /// and ignored.
    ///
    /// A probe ignores "no responders", because anyone can forge that, and would make the sender
    /// believe that no host has the key.
    async fn ask_by_mac(
        &self,
        call: &Outgoing<'_>,
        message: Bytes,
        sent: Sent,
    ) -> Result<Bytes, Error> {
        let subject = call.to.mac_subject(&self.options.lattice, sent.keys.id);
        let (tally, name) = (Arc::clone(&self.tally), call.to.name().clone());
        let is_answer = move |message: &Bytes| {
            let is_answer = sent.is_answered_by(message);
            if !is_answer {
                let error = Error::WrongMac("an answer has not the MAC of an answer to the call");
                tally.count(name.as_str(), &error);
            }
            is_answer
        };
        let (deadline, is_answer) = (call.context.deadline, Box::new(is_answer));
        let accepts = match call.operation {
            PROBE => Accepts::CheckedAlone(is_answer),
            _ => Accepts::Checked(is_answer),
        };
        let answer = self
            .replies
            .request_checked(&subject, message, deadline, accepts);
        Ok(answer.await?.payload)
    }

    /// The payload of an authentic answer, here or in the object store, with its hash checked.
    async fn result_by_mac(&self, name: &str, answer: Received<Answer>) -> Result<Bytes, Error> {
        let said = &answer.said;
        result(said)?;
        let payload = if said.length > answer.payload.len() as u64 {
            self.refuse_too_large(said.length)?;
            Box::pin(self.chunks.fetch(&format!("{name}-r"), said.length)).await?
        } else {
            answer.payload.clone()
        };
        check(&payload, &said.hash)?;
        Ok(payload)
    }
}

/// Encodes a request with its MAC. Returns what verifies its answer.
pub(super) fn seal(request: &Request, keys: Arc<EpochKeys>, payload: &[u8]) -> (Bytes, Sent) {
    let (message, mac) = request.encode(&keys, payload);
    (message, Sent { keys, mac })
}

/// The error of an answer, if it is one. `stale` is an error of its own, as the caller repeats the
/// call.
pub(super) fn result(answer: &Answer) -> Result<(), Error> {
    match &answer.error {
        None => Ok(()),
        Some((code, moment)) if code == "stale" => Err(Error::Stale(crate::error::clip(moment))),
        Some((code, text)) => Err(Error::Remote {
            code: headers::code_of(code),
            detail: crate::error::clip(text),
        }),
    }
}
