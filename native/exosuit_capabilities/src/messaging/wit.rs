//! `wasmcloud:messaging` 0.2 as components have it.

use bytes::Bytes;
use exosuit_core::{Error, Message, Value};

use super::request::Request;
use crate::wit::{Arguments, function};

/// The function by which a component gets a message.
pub(crate) const HANDLE: &str = "wasmcloud:messaging/handler@0.2.0#handle-message";

/// Decodes a request. `None` if the contract has no such function.
pub(crate) fn read(name: &str, values: Vec<Value>) -> Option<Result<Request, Error>> {
    Some(match function(name, "wasmcloud:messaging")? {
        ("consumer", "publish") => {
            let shape = "publish(msg: broker-message)";
            Arguments::read(shape, values, |given| sent(given).map(Request::Publish))
        }
        ("consumer", "request") => {
            let shape = "request(subject: string, body: list<u8>, timeout-ms: u32)";
            Arguments::read(shape, values, |given| {
                Some(Request::Ask {
                    subject: given.text()?,
                    body: given.bytes()?.into(),
                    timeout_ms: u32::try_from(given.integer()?).ok()?,
                })
            })
        }
        _ => return None,
    })
}

/// A `broker-message`. Its fields may come in any order.
fn sent(given: &mut Arguments) -> Option<Message> {
    let Value::Record(fields) = given.value()? else {
        return None;
    };
    let (mut subject, mut body, mut reply_to) = (None, None, None);
    for (name, value) in fields {
        match (&*name, value) {
            ("subject", Value::Binary(text)) => subject = Some(text),
            ("body", Value::Binary(bytes)) => body = Some(bytes),
            ("reply-to", Value::Binary(text)) => reply_to = Some(text),
            ("reply-to", Value::Nil) => reply_to = None,
            _ => return None,
        }
    }
    let text = |bytes: Bytes| String::from_utf8(bytes.into());
    Some(Message {
        subject: text(subject?).ok()?,
        reply_to: reply_to.map(text).transpose().ok()?,
        body: body?,
    })
}

/// The answer: the good case of a `result`.
pub(crate) fn write(answer: Option<Message>) -> Value {
    Value::Ok(answer.map(|answer| Box::new(message(answer))))
}

/// A `broker-message` for the component.
pub(crate) fn message(message: Message) -> Value {
    let reply_to = message.reply_to.map_or(Value::Nil, Value::binary);
    Value::Record(vec![
        ("subject".into(), Value::binary(message.subject)),
        ("body".into(), Value::Binary(message.body)),
        ("reply-to".into(), reply_to),
    ])
}
