//! Errors of requests that got no response, or only a part of one.
//!
//! hyper wraps errors several times. The chain of causes is searched for one of our own, such as
//! "out of reach" or "no slot", which is returned as it is. Otherwise the texts of the chain become
//! one line.

use std::error::Error as StdError;
use std::iter::successors;

use exosuit_core::{Code, Error};
use hyper_util::client::legacy;

use super::allowed::Target;

/// The texts of an error and of its causes, in one line, without repetitions.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

/// The error of a request without a response: `provider`, unless the cause is an error of ours.
pub(crate) fn no_response(target: &Target, error: &legacy::Error) -> Error {
    own(error).unwrap_or_else(|| {
        let detail = format!("{target} gave no response: {}", chain(error));
        Error::new(Code::Provider, detail)
    })
}

/// The error of a response that broke off in its body: `io`, unless the cause is an error of ours.
pub(crate) fn broken_off(target: &Target, error: &hyper::Error) -> Error {
    own(error).unwrap_or_else(|| {
        let detail = format!("{target} broke its response off: {}", chain(error));
        Error::new(Code::Io, detail)
    })
}

/// The error of ours in the chain of causes, if there is one.
pub(crate) fn own(error: &(dyn StdError + 'static)) -> Option<Error> {
    causes(error).find_map(|cause| cause.downcast_ref::<Error>().cloned())
}

/// An error in a chain.
type Cause<'a> = &'a (dyn StdError + 'static);

/// An error and its causes, the outer one first.
fn causes<'a>(error: Cause<'a>) -> impl Iterator<Item = Cause<'a>> {
    successors(Some(error), |&error: &Cause<'a>| error.source())
}
