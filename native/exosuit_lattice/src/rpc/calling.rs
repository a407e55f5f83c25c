//! Calls with a MAC, to hosts of the same cluster.
//!
//! A host says by its heartbeat that it takes such calls. Once one of them has, the first call to a name
//! is signed, as all others want it, and beside it goes a question, a request without an operation. Who
//! answers that authentically gets the further calls with a MAC, until nobody responds any more or one
//! is not answered in time. That nobody responds would not do for a sign: to the server everybody who
//! listens to what goes on responds.
//!
//! An answer counts only if its MAC is over that of the request: what else comes is counted and passed
//! over, and the wait goes on. The answer to a *signed* call has none: whoever may publish to the inbox of
//! a host can give it. Who may is a matter of the permissions of the NATS server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_claims::KeyPair;
use exosuit_claims::invocation::Entity;
use exosuit_core::{Context, Id, Origin};
use parking_lot::Mutex;

use super::address::{self, Address};
use super::frame::{Answer, Hash, MAX_NAME, Received, Request, check, hash};
use super::headers::{self, Trace};
use super::mac::{EpochKeys, Mac, MacKeys};
use super::serving::id_text;
use super::{LARGEST_REQUEST, Shared};
use crate::{Error, new_id, now};

/// How long a name is not asked for again, of which nobody has answered.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many names are kept in mind.
const MOST_NAMES: usize = 4_096;

/// How often a call is made anew that came to a host which cannot tell whether it was there before.
const TRIES: u32 = 4;

/// How long to wait before the second time that it is made anew, and twice that before the third: the
/// clocks of two hosts differ by less.
const PAUSE: Duration = Duration::from_millis(50);

/// Who takes calls with a MAC.
#[derive(Default)]
pub(super) struct Takers {
    are_there: AtomicBool,
    names: Mutex<HashMap<Id, Taker>>,
}

/// What is known of a name.
#[derive(Clone, Copy)]
enum Taker {
    /// Somebody answers to it so.
    There,
    /// It was asked then.
    Asked(Instant),
}

/// A call to another host.
pub(super) struct Outgoing<'a> {
    pub(super) to: &'a Address,
    pub(super) origin: &'a Origin,
    pub(super) key: Option<&'a Id>,
    pub(super) operation: &'a str,
    pub(super) payload: &'a Bytes,
    pub(super) context: Context,
}

/// The operation of a question whether anybody takes calls with a MAC: none.
pub(super) const QUESTION: &str = "";

/// Makes calls with a MAC and reads their answers, without sending them: for those who measure or try
/// a host.
pub struct MacCaller {
    keys: MacKeys,
    lattice: Id,
    /// Milliseconds.
    ahead: i64,
}

/// A request with a MAC, and what its answer is checked by.
pub struct MacRequest {
    message: Bytes,
    sent: Sent,
}

/// What the answer to a request is checked by.
#[derive(Clone)]
struct Sent {
    keys: Arc<EpochKeys>,
    mac: Mac,
}

impl Takers {
    pub(super) fn are_there(&self, are_there: bool) {
        self.are_there.store(are_there, Ordering::Relaxed);
    }

    /// Whether calls to this name go with a MAC.
    pub(super) fn take(&self, name: &Id) -> bool {
        let is_there = || matches!(self.names.lock().get(name), Some(Taker::There));
        self.are_there.load(Ordering::Relaxed) && is_there()
    }

    /// Whether it is time to ask whether anybody takes calls to this name so.
    fn is_to_be_asked(&self, name: &Id) -> bool {
        if !self.are_there.load(Ordering::Relaxed) {
            return false;
        }
        let mut names = self.names.lock();
        match names.get(name) {
            Some(Taker::There) => return false,
            Some(Taker::Asked(at)) if at.elapsed() < ASK_EVERY => return false,
            _ => {}
        }
        if names.len() >= MOST_NAMES {
            names.retain(|_, taker| matches!(taker, Taker::There));
        }
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        names.insert(name.clone(), Taker::Asked(Instant::now()));
        true
    }

    fn is_there(&self, name: &Id) {
        if let Some(taker) = self.names.lock().get_mut(name) {
            *taker = Taker::There;
        }
    }

    pub(super) fn is_gone(&self, name: &Id) {
        self.names.lock().remove(name);
    }
}

impl MacCaller {
    /// For this lattice, with the seed of this cluster.
    pub fn new(lattice: &Id, cluster: &KeyPair) -> Self {
        Self {
            keys: MacKeys::new(lattice, [cluster]),
            lattice: lattice.clone(),
            ahead: 0,
        }
    }

    /// The same with a clock that is so many milliseconds ahead of ours, or behind.
    #[must_use]
    pub fn ahead(self, milliseconds: i64) -> Self {
        Self {
            ahead: milliseconds,
            ..self
        }
    }

    /// Where such calls of this name are taken.
    pub fn subject(&self, name: &Id) -> String {
        let to = Address::Named {
            name: name.clone(),
            through: None,
        };
        to.mac_subject(&self.lattice, self.keys.own(now()).id)
    }

    /// A call of bytes, made now.
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
    /// What is sent.
    pub fn message(&self) -> &Bytes {
        &self.message
    }

    /// What came back, if it answers this request: bytes, or the error.
    pub fn read(&self, answer: &Bytes) -> Result<Bytes, Error> {
        if !self.sent.is_answered_by(answer) {
            return Err(Error::WrongMac(
                "the MAC is not that of an answer to the call",
            ));
        }
        let answer = Answer::decode(answer)?;
        result(&answer.said)?;
        check(&answer.payload, &answer.said.hash)?;
        super::content::Form::untagged(&answer.payload)
    }
}

impl Sent {
    fn is_answered_by(&self, message: &Bytes) -> bool {
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

/// Asks, in the background, whether anybody takes calls to this name with a MAC, if it is time to.
pub(super) fn ask_for(shared: &Arc<Shared>, to: &Address, origin: &Origin, key: Option<&Id>) {
    if !shared.takers.is_to_be_asked(to.name()) {
        return;
    }
    let (shared, to) = (Arc::clone(shared), to.clone());
    let (origin, key) = (origin.clone(), key.cloned());
    tokio::spawn(async move {
        let question = Outgoing {
            to: &to,
            origin: &origin,
            key: key.as_ref(),
            operation: QUESTION,
            payload: &Bytes::new(),
            context: Context::until(Instant::now() + PATIENCE),
        };
        // One that is refused was read, and answered with a MAC.
        let answer = shared.call_by_mac(&question).await;
        if matches!(answer, Ok(_) | Err(Error::Remote { .. })) {
            shared.takers.is_there(to.name());
        }
    });
}

impl Shared {
    /// Calls with a MAC and gives what came out; `NoResponders` where nobody of the cluster answers to
    /// the name.
    pub(super) async fn call_by_mac(&self, call: &Outgoing<'_>) -> Result<Bytes, Error> {
        if call.operation.len() > MAX_NAME {
            let why = format!("the operation has more than {MAX_NAME} bytes");
            return Err(Error::malformed("invocation", why));
        }
        let (begun, hash) = (Instant::now(), hash(call.payload));
        let mut attempt = 1;
        loop {
            match self.try_by_mac(call, hash).await {
                // One that was made before the host was there. Much later it may be an old one of ours
                // that somebody sent again, while the call goes on.
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
        let deadline = call.context.deadline;
        let answer = self
            .replies
            .request_checked(&subject, message, deadline, Box::new(is_answer));
        Ok(answer.await?.payload)
    }

    async fn result_by_mac(&self, name: &str, answer: Received<Answer>) -> Result<Bytes, Error> {
        let said = &answer.said;
        result(said)?;
        let payload = if said.length > answer.payload.len() as u64 {
            self.refuse_too_large(said.length)?;
            Box::pin(self.chunks.take(&format!("{name}-r"), said.length)).await?
        } else {
            answer.payload.clone()
        };
        check(&payload, &said.hash)?;
        Ok(payload)
    }
}

fn seal(request: &Request, keys: Arc<EpochKeys>, payload: &[u8]) -> (Bytes, Sent) {
    let (message, mac) = request.encode(&keys, payload);
    (message, Sent { keys, mac })
}

fn result(answer: &Answer) -> Result<(), Error> {
    match &answer.error {
        None => Ok(()),
        Some((code, moment)) if code == "stale" => Err(Error::Stale(crate::error::clip(moment))),
        Some((code, text)) => Err(Error::Remote {
            code: headers::code_of(code),
            detail: crate::error::clip(text),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Id {
        Id::parse(&format!("actor-{n}")).expect("a name")
    }

    #[test]
    fn a_name_is_asked_for_once_in_a_while_and_called_with_a_mac_once_somebody_answers() {
        let takers = Takers::default();
        assert!(!takers.is_to_be_asked(&name(1)));
        takers.are_there(true);
        assert!(takers.is_to_be_asked(&name(1)) && !takers.is_to_be_asked(&name(1)));
        assert!(!takers.take(&name(1)));
        takers.is_there(&name(1));
        assert!(takers.take(&name(1)) && !takers.is_to_be_asked(&name(1)));
        takers.is_gone(&name(1));
        assert!(!takers.take(&name(1)) && takers.is_to_be_asked(&name(1)));
        takers.is_there(&name(1));
        takers.are_there(false);
        assert!(!takers.take(&name(1)));
    }

    #[test]
    fn however_many_names_are_called_few_are_kept_in_mind() {
        let takers = Takers::default();
        takers.are_there(true);
        for n in 0..3 * MOST_NAMES {
            assert!(takers.is_to_be_asked(&name(n)));
            takers.is_there(&name(n));
            assert!(takers.names.lock().len() <= MOST_NAMES);
        }
    }
}
