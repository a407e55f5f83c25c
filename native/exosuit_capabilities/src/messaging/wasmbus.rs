//! `wasmcloud:messaging` as the actors of the wasmbus have it.

use bytes::Bytes;
use exosuit_core::{Error, Message};
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::message;

/// The operation by which an actor gets a message.
pub(crate) const HANDLE: &str = "MessageSubscriber.HandleMessage";

/// A message in either direction.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Sent {
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
}

/// The argument of `Messaging.Request`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Asked {
    subject: String,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
    timeout_ms: u32,
}

/// Decodes a request. `None` if the contract has no such operation.
pub(crate) fn read(name: &str, payload: &[u8]) -> Option<Result<Request, Error>> {
    match name.strip_prefix("Messaging.")? {
        "Publish" => {
            let shape = "{subject: str, replyTo: str or nil, body: bin}";
            let sent = message::read(name, shape, payload);
            Some(sent.map(|sent: Sent| Request::Publish(sent.into())))
        }
        "Request" => {
            let shape = "{subject: str, body: bin, timeoutMs: u32}";
            let asked = message::read(name, shape, payload);
            Some(asked.map(|asked: Asked| Request::Ask {
                subject: asked.subject,
                body: asked.body.into(),
                timeout_ms: asked.timeout_ms,
            }))
        }
        _ => None,
    }
}

/// The answer to a request: the message, or nothing.
pub(crate) fn write(answer: Option<Message>) -> Result<Bytes, Error> {
    answer.map_or_else(|| Ok(Bytes::new()), message)
}

/// A message in the form that the actor decodes.
pub(crate) fn message(message: Message) -> Result<Bytes, Error> {
    message::write(&Sent {
        subject: message.subject,
        reply_to: message.reply_to,
        body: message.body.into(),
    })
}

impl From<Sent> for Message {
    fn from(sent: Sent) -> Self {
        Self {
            subject: sent.subject,
            // Guests of some languages have no way to say that there is none.
            reply_to: sent.reply_to.filter(|reply_to| !reply_to.is_empty()),
            body: sent.body.into(),
        }
    }
}
