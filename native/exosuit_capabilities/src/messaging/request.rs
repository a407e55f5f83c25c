//! The requests of actors.

use exosuit_core::Message;

/// The request of an actor.
pub(crate) enum Request {
    Publish(Message),
    Ask {
        subject: String,
        body: bytes::Bytes,
        timeout_ms: u32,
    },
}
