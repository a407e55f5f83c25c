//! The content of calls and answers: bytes, typed values, or an HTTP exchange with streaming
//! bodies.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use tokio_util::sync::CancellationToken;

use crate::{Code, Error, Value};

/// The body of an HTTP message, as it arrives. An error ends it.
pub type Body = BoxBody<Bytes, Error>;

/// The content of a call.
#[derive(Debug)]
pub enum Payload {
    /// In the target's own encoding: wasmbus.
    Bytes(Bytes),
    /// The arguments of a WIT function, in order.
    Values(Vec<Value>),
    /// A request, for `wasi:http`.
    Http(Box<Exchange>),
}

/// The content of an answer.
#[derive(Debug)]
pub enum Reply {
    /// In the target's own encoding: wasmbus.
    Bytes(Bytes),
    /// The result of a WIT function; [`Value::Nil`] if it has none.
    Value(Value),
    /// A response, for `wasi:http`. Its body is a part of the call.
    Http(Box<http::Response<Body>>),
}

/// A request, and the lease that lasts until the body of its response has ended.
#[derive(Debug)]
pub struct Exchange {
    /// The request.
    pub request: http::Request<Body>,
    /// The router sets it.
    pub lease: Lease,
}

impl Exchange {
    /// A request from outside, for the router.
    pub fn new(request: http::Request<Body>) -> Self {
        Self {
            request,
            lease: Lease::default(),
        }
    }
}

/// The right to continue a call after its response has begun.
///
/// The producer of the body holds the lease until all work on the call has ended, and ends that
/// work when the lease is withdrawn.
#[derive(Default)]
pub struct Lease {
    /// Cancelled when the target of the call was stopped.
    pub withdrawn: CancellationToken,
    /// Reports whether the body of the request waits for its client. The source of such a request
    /// sets it for the router.
    pub waits: Option<Arc<ClientWait>>,
    held: Option<Box<dyn Any + Send + Sync>>,
}

impl Lease {
    /// A lease that holds `held` until it is dropped.
    pub fn new(withdrawn: CancellationToken, held: impl Any + Send + Sync) -> Self {
        Self {
            withdrawn,
            waits: None,
            held: Some(Box::new(held)),
        }
    }
}

/// The slot of a running call, which it may lend while it waits for its client.
pub trait Lend: Send + Sync {
    /// The call waits for its client.
    fn lend(&self);

    /// The call continues.
    fn take_back(&self);
}

/// A request's body reports here that it waits for its client, and the router attaches the slot.
#[derive(Default)]
pub struct ClientWait {
    waits: AtomicBool,
    place: OnceLock<Weak<dyn Lend>>,
}

impl ClientWait {
    /// Lends this slot while the body waits. Only the first call has an effect.
    pub fn attach(&self, place: Weak<dyn Lend>) {
        let _ = self.place.set(place);
    }

    /// Sets whether the body waits for its client.
    pub fn set(&self, waits: bool) {
        if self.waits.swap(waits, Relaxed) == waits {
            return;
        }
        match self.place.get().and_then(Weak::upgrade) {
            Some(place) if waits => place.lend(),
            Some(place) => place.take_back(),
            None => {}
        }
    }
}

impl fmt::Debug for ClientWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientWait")
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("held", &self.held.is_some())
            .finish_non_exhaustive()
    }
}

impl Payload {
    fn kind(&self) -> &'static str {
        match self {
            Self::Bytes(_) => "bytes",
            Self::Values(_) => "typed values",
            Self::Http(_) => "an HTTP request",
        }
    }

    /// The bytes, of a call whose operation takes bytes.
    pub fn bytes(&self) -> Result<&Bytes, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected("takes bytes", other.kind())),
        }
    }

    /// The bytes, of a call whose operation takes bytes.
    pub fn into_bytes(self) -> Result<Bytes, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected("takes bytes", other.kind())),
        }
    }

    /// The arguments, of a call of a WIT function.
    pub fn into_values(self) -> Result<Vec<Value>, Error> {
        match self {
            Self::Values(values) => Ok(values),
            other => Err(unexpected("takes typed values", other.kind())),
        }
    }

    /// The request, of a call of `wasi:http`.
    pub fn into_http(self) -> Result<Box<Exchange>, Error> {
        match self {
            Self::Http(exchange) => Ok(exchange),
            other => Err(unexpected("takes an HTTP request", other.kind())),
        }
    }
}

impl Reply {
    fn kind(&self) -> &'static str {
        match self {
            Self::Bytes(_) => "bytes",
            Self::Value(_) => "a typed value",
            Self::Http(_) => "an HTTP response",
        }
    }

    /// The bytes, of an operation that answers with bytes.
    pub fn into_bytes(self) -> Result<Bytes, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected("was to answer with bytes", other.kind())),
        }
    }

    /// The result of a WIT function.
    pub fn into_value(self) -> Result<Value, Error> {
        match self {
            Self::Value(value) => Ok(value),
            other => Err(unexpected("was to answer with a typed value", other.kind())),
        }
    }

    /// The response, of a call of `wasi:http`.
    pub fn into_http(self) -> Result<Box<http::Response<Body>>, Error> {
        match self {
            Self::Http(response) => Ok(response),
            other => Err(unexpected(
                "was to answer with an HTTP response",
                other.kind(),
            )),
        }
    }
}

impl<B: Into<Bytes>> From<B> for Payload {
    fn from(bytes: B) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl<B: Into<Bytes>> From<B> for Reply {
    fn from(bytes: B) -> Self {
        Self::Bytes(bytes.into())
    }
}

fn unexpected(expected: &str, found: &str) -> Error {
    Error::new(
        Code::InvalidInput,
        format!("the operation {expected}, got {found}"),
    )
}
