//! Calls with a MAC, from hosts of the same cluster: see `frame` for what they look like.
//!
//! A message is neither trusted nor answered before its MAC is verified. An answer has a MAC over the request's
//! MAC, so an attacker could pass off an answer to a forged request as the real one. For the same reason, a
//! repeated request is not answered again. A refused call is answered after its time and MAC are recorded, so
//! that it cannot be served later.
//!
//! # Which refusals are answered
//!
//! | reason | answer | why |
//! |---|---|---|
//! | cannot be decoded, an unknown key, a wrong MAC | none | nothing is known of the sender |
//! | a repetition | none | the first one was answered |
//! | the small payload has another hash | none | somebody changed the message |
//! | stale | with a MAC | the sender repeats it with a new time |
//! | for another target, no slot, a bad origin | with a MAC | it is authentic and recorded |
//! | a probe | with a MAC, empty | that is what it asks |

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Message, Subject};
use bytes::Bytes;
use exosuit_core::{Context, Origin, Target, bounded};
use futures_util::FutureExt;
use tokio::task::unconstrained;

use super::super::address::origin_of;
use super::super::admission::CallSlot;
use super::super::chunks::id_text;
use super::super::content::Form;
use super::super::frame::{Answer, PROBE, Received, Request, check, hash};
use super::super::guard::HASHED_FIRST;
use super::super::mac::{EpochKeys, Mac};
use super::super::memory::Held;
use super::inline::Call;
use super::{LARGEST_ANSWER, Service};
use crate::connection::unsent;
use crate::{Error, now};

/// A call with a valid MAC, recorded as new, with a slot.
struct Arrival {
    question: Question,
    request: Received<Request>,
    origin: Origin,
    target: Target,
    slot: CallSlot,
}

/// Where an answer goes, and the MAC of the request that it must cover.
struct Question {
    /// `None` if the sender awaits no answer.
    reply: Option<Subject>,
    keys: Arc<EpochKeys>,
    mac: Mac,
}

/// A message that is not served as a call.
enum Refused {
    /// Its MAC is not valid, or it is a repetition: it gets no answer.
    Unanswered(Error),
    /// Its sender is authentic, and gets the error.
    Answered(Box<Question>, Error),
    /// It is a probe: its sender asks whether calls with a MAC are accepted.
    Probe(Box<Question>),
}

impl Service {
    /// Checks a message, and returns the work of its call.
    ///
    /// It never waits: it runs in the task that receives.
    pub(super) fn begin_mac(self: &Arc<Self>, message: Message) -> Option<Call> {
        match self.open(message) {
            Ok(arrival) => {
                let service = Arc::clone(self);
                return Some(Box::pin(async move { service.run_mac(arrival).await }));
            }
            Err(Refused::Unanswered(error)) => {
                self.refused(error);
            }
            Err(Refused::Answered(question, error)) => self.refuse_by_mac(&question, error),
            Err(Refused::Probe(question)) => self.send_at_once(&question, &succeeded(&[])),
        }
        None
    }

    /// Decodes and checks a message, and takes a slot for it.
    ///
    /// The order is: decode, verify the MAC, record it, take a slot. So a message without a valid
    /// MAC costs a decoding and at most one HMAC, and takes no slot.
    fn open(&self, message: Message) -> Result<Arrival, Refused> {
        let now = now();
        let request = Request::decode(&message.payload).map_err(Refused::Unanswered)?;
        let keys = self.authenticate(&request, now);
        let question = Question {
            keys: keys.map_err(Refused::Unanswered)?,
            mac: request.mac,
            reply: message.reply,
        };
        match self.admit(&request, &message.subject, now) {
            Ok(_whoever_calls) if request.said.operation == PROBE => {
                Err(Refused::Probe(Box::new(question)))
            }
            Ok((origin, target)) => self.enter(question, request, origin, target),
            Err(error @ (Error::Replayed | Error::WrongMac(_))) => Err(Refused::Unanswered(error)),
            Err(error) => Err(Refused::Answered(Box::new(question), error)),
        }
    }

    /// Takes a slot for a call.
    ///
    /// # Errors
    ///
    /// `Overloaded`, which the sender gets: it is authentic.
    fn enter(
        &self,
        question: Question,
        request: Received<Request>,
        origin: Origin,
        target: Target,
    ) -> Result<Arrival, Refused> {
        let size = request.header.len() + request.payload.len();
        match self.shared.admission.enter(size) {
            Ok(slot) => Ok(Arrival {
                question,
                request,
                origin,
                target,
                slot,
            }),
            Err(error) => Err(Refused::Answered(Box::new(question), error)),
        }
    }

    /// The keys that made the MAC of the request, after verifying it.
    ///
    /// # Errors
    ///
    /// `WrongMac`. An unknown key is not told from a wrong MAC to the sender, who gets no answer in
    /// either case.
    fn authenticate(&self, request: &Received<Request>, now: u64) -> Result<Arc<EpochKeys>, Error> {
        let keys = self.shared.keys.find(request.key, request.epoch, now);
        let keys = keys.ok_or(Error::WrongMac(
            "no key of this cluster and this hour made its MAC",
        ))?;
        if keys.is_of_request(&request.header, &request.mac) {
            return Ok(keys);
        }
        Err(Error::WrongMac("the MAC is not that of the invocation"))
    }

    /// Checks a request with a valid MAC, and records it.
    ///
    /// The time is recorded before target and origin are checked, so a call that is refused for
    /// them cannot be repeated either.
    fn admit(
        &self,
        request: &Received<Request>,
        subject: &str,
        now: u64,
    ) -> Result<(Origin, Target), Error> {
        let (shared, said) = (&self.shared, &request.said);
        if request.payload.len() <= HASHED_FIRST && !is_apart(request) {
            check(&request.payload, &said.hash)?;
        }
        let origin = said.origin_id.as_deref().unwrap_or(&said.origin.public_key);
        let admitted = shared.guard.admit(&request.mac, said.time, now);
        // A refused call from the past may be an old one that somebody sent again, so it says
        // nothing about clocks. If it is not, its sender compares the clocks when it gets the
        // answer.
        if admitted.is_ok() || said.time > now {
            shared.tally.compare_clocks(origin, said.time, now);
        }
        admitted?;
        let target = self.served.target(subject, &said.target)?;
        let origin = origin_of(&said.origin, said.origin_id.as_deref())?;
        Ok((origin, target))
    }

    /// Runs a call within its time and answers it. The deadline is this host's own clock plus the time that the
    /// sender had left: clocks of hosts differ, durations do not.
    async fn run_mac(&self, arrival: Arrival) {
        let Arrival {
            question,
            request,
            origin,
            target,
            slot,
        } = arrival;
        let left =
            Duration::from_millis(request.said.left).min(self.shared.options.longest_timeout);
        let context = Context {
            deadline: Instant::now() + left,
            depth: request.said.depth,
            caller: None,
            within: None,
        };
        let trace = request.said.trace.clone();
        // Boxed: otherwise each future around it would hold it twice, and move it.
        let work = Box::pin(self.work(&slot, request, origin, target, context));
        let answer = bounded(work, context.deadline, Some(&self.ended));
        let answer = if trace.is_none() {
            answer.await
        } else {
            trace.scope(answer).await
        };
        // If the answer cannot be sent, the caller times out.
        let _ = match answer {
            Ok((answer, payload)) => self.send_by_mac(&question, &answer, &payload).await,
            Err(error) => {
                let (code, text) = (error.code.as_str().to_owned(), error.detail);
                self.send_by_mac(&question, &failed(code, text), &[]).await
            }
        };
    }

    /// Runs a call and encodes its answer.
    ///
    /// The turn is given back before the answer is stored and sent: another call may run meanwhile.
    async fn work(
        &self,
        slot: &CallSlot,
        request: Received<Request>,
        origin: Origin,
        target: Target,
        context: Context,
    ) -> Result<(Answer, Bytes), exosuit_core::Error> {
        // A nested call does not wait for a turn: the calls that have one may wait for it.
        let turn = match context.depth {
            0 => Some(slot.turn().await),
            _inside => None,
        };
        let memory = self.shared.admission.memory();
        let held = self.payload_by_mac(&request).await;
        let read = held.and_then(|held| Form::Tagged.read_payload(held, memory));
        let (payload, _held) = read.map_err(|error| self.refused(error))?;
        let invocation = exosuit_core::Invocation {
            origin,
            target,
            operation: request.said.operation,
            payload,
            context,
        };
        let reply = self.target.deliver(invocation).await?;
        let answer = Form::Tagged
            .reply(reply, self.shared.payload_limits(memory))
            .await?;
        drop(turn);
        Ok(self
            .succeeded_by_mac(&request.said.id, answer.bytes.clone())
            .await?)
    }

    /// The complete payload, with its hash checked.
    ///
    /// A small payload in the message was checked in `admit`.
    async fn payload_by_mac(&self, request: &Received<Request>) -> Result<Held, Error> {
        let said = &request.said;
        let held = if is_apart(request) {
            self.shared
                .fetch_payload(&id_text(&said.id), said.length)
                .await?
        } else if request.payload.len() <= HASHED_FIRST {
            return Ok(request.payload.clone().into());
        } else {
            request.payload.clone().into()
        };
        check(&held.bytes, &said.hash)?;
        Ok(held)
    }

    /// The answer to a call that went well. A payload that fits into no message goes to the object store first.
    async fn succeeded_by_mac(
        &self,
        id: &[u8; 16],
        payload: Bytes,
    ) -> Result<(Answer, Bytes), Error> {
        let answer = succeeded(&payload);
        if payload.len() <= self.shared.largest_message(LARGEST_ANSWER) {
            return Ok((answer, payload));
        }
        let name = format!("{}-r", id_text(id));
        Box::pin(self.shared.chunks.put(&name, &payload)).await?;
        Ok((answer, Bytes::new()))
    }

    /// Answers without a task and without waiting. Under load, such an answer may be lost.
    fn refuse_by_mac(&self, question: &Question, error: Error) {
        let answer = match &error {
            // The sender repeats the call with a new time.
            Error::Stale(moment) => failed(error.code().to_owned(), moment.clone()),
            error => {
                let error = exosuit_core::Error::from(error.clone());
                failed(error.code.as_str().to_owned(), error.detail)
            }
        };
        self.refused(error);
        self.send_at_once(question, &answer);
    }

    /// Sends an answer if the client's queue has room, and drops it otherwise.
    fn send_at_once(&self, question: &Question, answer: &Answer) {
        // `unconstrained`, because Tokio's budget of this task must not decide whether there is
        // room to send.
        let _ = unconstrained(self.send_by_mac(question, answer, &[])).now_or_never();
    }

    /// Encodes and sends an answer. A request without an inbox gets none.
    async fn send_by_mac(
        &self,
        question: &Question,
        answer: &Answer,
        payload: &[u8],
    ) -> Result<(), Error> {
        let Some(reply) = question.reply.clone() else {
            return Ok(());
        };
        let message = answer.encode(&question.keys, &question.mac, payload);
        let sent = self.client.publish(reply, message).await;
        sent.map_err(|error| unsent(&error))
    }
}

/// Whether the payload is in the object store.
fn is_apart(request: &Received<Request>) -> bool {
    request.said.length > request.payload.len() as u64
}

/// An answer with this payload.
fn succeeded(payload: &[u8]) -> Answer {
    Answer {
        time: now(),
        error: None,
        hash: hash(payload),
        length: payload.len() as u64,
    }
}

/// An answer with an error: the code is stable, the text for people.
fn failed(code: String, text: String) -> Answer {
    Answer {
        time: now(),
        error: Some((code, text)),
        hash: hash(&[]),
        length: 0,
    }
}
