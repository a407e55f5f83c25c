//! What calls carry, in and out: bytes, typed values, or an HTTP exchange whose bodies stream.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use tokio_util::sync::CancellationToken;

use crate::{Code, Error, Value};

/// The body of an HTTP message, as it comes. An error ends it.
pub type Body = BoxBody<Bytes, Error>;

/// What a call carries in.
#[derive(Debug)]
pub enum Payload {
    /// In the target's own encoding: wasmbus.
    Bytes(Bytes),
    /// The arguments of a WIT function, in order.
    Values(Vec<Value>),
    /// A request, for `wasi:http`.
    Http(Box<Exchange>),
}

/// What an answered call brings out.
#[derive(Debug)]
pub enum Reply {
    /// In the target's own encoding: wasmbus.
    Bytes(Bytes),
    /// The result of a WIT function; [`Value::Nil`] where it has none.
    Value(Value),
    /// A response, for `wasi:http`. Its body is a part of the call.
    Http(Box<http::Response<Body>>),
}

/// A request, and what must last until the body of its response has ended.
#[derive(Debug)]
pub struct Exchange {
    /// What is asked.
    pub request: http::Request<Body>,
    /// Set by the router.
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

/// The right to go on with a call after its response has begun.
///
/// Whoever produces the body holds it until all work on the call has ended, and ends that work when
/// it is withdrawn.
#[derive(Default)]
pub struct Lease {
    /// Cancelled when what serves the call has been stopped.
    pub withdrawn: CancellationToken,
    /// Says while the body of the request waits for its client. For the router, from whoever makes a
    /// request whose body is still to come.
    pub waits: Option<Arc<ClientWait>>,
    held: Option<Box<dyn Any + Send + Sync>>,
}

impl Lease {
    /// A lease that keeps `held` until it is dropped.
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
    /// The call waits.
    fn lend(&self);

    /// The call goes on.
    fn take_back(&self);
}

/// The channel by which a request's body reports that it waits for its client, and the router receives it.
#[derive(Default)]
pub struct ClientWait {
    waits: AtomicBool,
    place: OnceLock<Weak<dyn Lend>>,
}

impl ClientWait {
    /// Has the place lent while the body waits. The first one counts.
    pub fn attach(&self, place: Weak<dyn Lend>) {
        let _ = self.place.set(place);
    }

    /// The body waits for its client, or does so no more.
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
