//! The two forms of the contract, by which an actor is called and answered.
//!
//! The form is chosen by the contract's era: actors of the OTP era get `MessagePack`, components
//! get values of WIT.

use exosuit_core::{Error, Message, Payload, Reply};

use super::{wasmbus, wit};

/// How an actor is called with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Wasmbus,
    Wit,
}

impl Form {
    /// The answer for an actor: nothing, or a message that answers its own.
    pub(crate) fn write(self, answer: Option<Message>) -> Result<Reply, Error> {
        match self {
            Self::Wasmbus => wasmbus::write(answer).map(Reply::Bytes),
            Self::Wit => Ok(Reply::Value(wit::write(answer))),
        }
    }

    /// The call that a message is for an actor.
    pub(crate) fn call(self, message: Message) -> Result<(&'static str, Payload), Error> {
        match self {
            Self::Wasmbus => Ok((wasmbus::HANDLE, wasmbus::message(message)?.into())),
            Self::Wit => Ok((wit::HANDLE, Payload::Values(vec![wit::message(message)]))),
        }
    }
}
