//! Errors of requests that got no response, or only a part of one.

use std::error::Error as StdError;
use std::iter::successors;

use exosuit_core::{Code, Error};
use hyper_util::client::legacy;

use super::allowed::Target;

/// The texts of an error and of what caused it, in a row.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

/// The error for a caller whose request could not be sent, or whose response has no readable head.
pub(crate) fn no_response(target: &Target, error: &legacy::Error) -> Error {
    own(error).unwrap_or_else(|| {
        let detail = format!("{target} gave no response: {}", chain(error));
        Error::new(Code::Provider, detail)
    })
}

/// The error for a reader whose body ended before its time.
pub(crate) fn broken_off(target: &Target, error: &hyper::Error) -> Error {
    own(error).unwrap_or_else(|| {
        let detail = format!("{target} broke its response off: {}", chain(error));
        Error::new(Code::Io, detail)
    })
}

/// The error that we raised ourselves, in a connector or in the body of the request.
pub(crate) fn own(error: &(dyn StdError + 'static)) -> Option<Error> {
    causes(error).find_map(|cause| cause.downcast_ref::<Error>().cloned())
}

type Cause<'a> = &'a (dyn StdError + 'static);

fn causes<'a>(error: Cause<'a>) -> impl Iterator<Item = Cause<'a>> {
    successors(Some(error), |&error: &Cause<'a>| error.source())
}
