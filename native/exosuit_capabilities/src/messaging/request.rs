//! The requests of actors.

use exosuit_core::Message;

/// The request of an actor.
pub(crate) enum Request {
    /// A message that nobody answers.
    Publish(Message),
    /// A question: the first answer counts.
    Ask {
        subject: String,
        body: bytes::Bytes,
        timeout_ms: u32,
    },
}
