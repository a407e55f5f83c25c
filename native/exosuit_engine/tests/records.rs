//! Records between components and those who do not know their types.

mod common;

use std::sync::Arc;

use anyhow::Result;
use exosuit_core::{
    Answer, Code, Context, Deliver, Error, Invocation, Origin, Payload, Reply, Target, Value,
};
use parking_lot::Mutex;

use common::{World, engine, far};

const HANDLE: &str = "wasmcloud:messaging/handler@0.2.0#handle-message";

/// Takes note of what the guest publishes.
#[derive(Default)]
struct Heard(Mutex<Vec<(String, Payload)>>);

impl Deliver for Heard {
    fn deliver(&self, invocation: Invocation) -> Answer {
        self.0
            .lock()
            .push((invocation.operation, invocation.payload));
        Box::pin(async { Ok(Reply::Value(Value::Ok(None))) })
    }
}

struct Refuse;

impl Deliver for Refuse {
    fn deliver(&self, _invocation: Invocation) -> Answer {
        Box::pin(async { Err(Error::new(Code::Denied, "it is kept from actors")) })
    }
}

fn message(subject: &'static str, body: &'static str, reply_to: Value) -> Value {
    Value::Record(vec![
        ("subject".into(), Value::binary(subject)),
        ("body".into(), Value::binary(body)),
        ("reply-to".into(), reply_to),
    ])
}

async fn handle(host: Arc<dyn Deliver>, message: Value) -> Result<Value> {
    let world = World::delivering(engine()?, host);
    let actor = world.actor("messenger").await?;
    let invocation = Invocation {
        origin: Origin::Host,
        target: Target::Actor("tested".to_owned()),
        operation: HANDLE.to_owned(),
        payload: Payload::Values(vec![message]),
        context: Context::until(far()),
    };
    Ok(actor.deliver(invocation).await?.into_value()?)
}

#[tokio::test]
async fn a_record_goes_in_and_out_by_the_names_of_its_fields() -> Result<()> {
    let heard = Arc::new(Heard::default());
    let asked = message("question", "what", Value::binary("inbox"));
    assert_eq!(handle(heard.clone(), asked).await?, Value::Ok(None));
    let (operation, payload) = heard.0.lock().pop().expect("an answer");
    assert_eq!(operation, "wasmcloud:messaging/consumer@0.2.0#publish");
    let answer = message("inbox", "what", Value::Nil);
    assert_eq!(payload.into_values()?, [answer]);

    let told = message("news", "what", Value::Nil);
    assert_eq!(handle(heard.clone(), told).await?, Value::Ok(None));
    assert!(heard.0.lock().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_failure_is_told_in_the_words_of_the_guest() -> Result<()> {
    let asked = message("question", "what", Value::binary("inbox"));
    let words = Value::binary("it is kept from actors");
    let told = Value::Error(Some(Box::new(words)));
    assert_eq!(handle(Arc::new(Refuse), asked).await?, told);
    Ok(())
}

#[tokio::test]
async fn what_is_no_such_record_is_an_error() {
    let short = Value::Record(vec![("subject".into(), Value::binary("question"))]);
    let tuple = Value::Tuple(vec![Value::binary("question"), Value::binary("what")]);
    let other = message("question", "what", Value::Bool(true));
    for (value, says) in [
        (
            short,
            "msg.body: expected a list of bytes, but the field is missing",
        ),
        (tuple, "msg: expected a record, got a tuple of 2"),
        (other, "msg.reply-to: expected a string, got a bool"),
    ] {
        let error = handle(Arc::new(Refuse), value)
            .await
            .expect_err("no record");
        assert!(error.to_string().contains(says), "{error}");
    }
}
