//! `wasmcloud:messaging` 0.2 as components have it.

use exosuit_core::{Error, Message, Value};

use super::Request;
use crate::wit::{Arguments, function};

/// The function that a message is for a component.
pub(crate) const HANDLE: &str = "wasmcloud:messaging/handler@0.2.0#handle-message";

/// Reads a request; none if the contract has no such function.
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

fn sent(given: &mut Arguments) -> Option<Message> {
    let Value::Tuple(fields) = given.value()? else {
        return None;
    };
    let mut fields = Arguments::new(fields);
    let (subject, body) = (fields.text()?, fields.bytes()?.into());
    let reply_to = match fields.value()? {
        Value::Nil => None,
        Value::Binary(text) => Some(String::from_utf8(text.into()).ok()?),
        _ => return None,
    };
    fields.are_all_read().then_some(Message {
        subject,
        reply_to,
        body,
    })
}

/// An answer as the component expects it: the good case of a `result`.
pub(crate) fn write(answer: Option<Message>) -> Value {
    Value::Ok(answer.map(|answer| Box::new(message(answer))))
}

/// A `broker-message`.
pub(crate) fn message(message: Message) -> Value {
    Value::Tuple(vec![
        Value::binary(message.subject),
        Value::Binary(message.body),
        message.reply_to.map_or(Value::Nil, Value::binary),
    ])
}
