//! The requests of actors.

use exosuit_core::Message;

/// What an actor asks for.
pub(crate) enum Request {
    Publish(Message),
    Ask {
        subject: String,
        body: bytes::Bytes,
        timeout_ms: u32,
    },
}
