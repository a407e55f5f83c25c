//! HTTP as the guest sees it: the request taken apart, the answer put together, bodies as streams.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::mem;

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// A request and its query.
pub(crate) struct Request {
    request: IncomingRequest,
    path: String,
    query: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn new(request: IncomingRequest) -> Self {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = form_urlencoded::parse(query.as_bytes());

        Self {
            path: path.to_owned(),
            query: query.into_owned().collect(),
            request,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The first value of this name in the query.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of this name in the query, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A number in the query, 0 if it is not there.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.get(name)
            .map_or(0, |number| number.parse().expect("a number in the query"))
    }

    /// All that the host says of the request but its body: a line each.
    pub(crate) fn head(&self) -> String {
        let none = || "none".to_owned();
        let mut head = format!(
            "method: {}\npath-with-query: {}\nauthority: {}\nscheme: {}\n\n",
            word(&self.request.method()),
            self.request.path_with_query().unwrap_or_else(none),
            self.request.authority().unwrap_or_else(none),
            self.request.scheme().as_ref().map_or_else(none, word),
        );
        for (name, value) in self.request.headers().entries() {
            head += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
        }
        head
    }

    pub(crate) fn into_body(self) -> Source {
        Source::new(
            self.request
                .consume()
                .expect("nobody has taken the body yet"),
        )
    }
}

/// What a method or a scheme is called: `GET`, `HTTP`. The debug form is `Method::Get`.
fn word(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let name = text.rsplit("::").next().unwrap_or_default();
    name.to_uppercase()
}

/// A body that comes in. Fields drop in their order, and the stream must go first.
pub(crate) struct Source {
    stream: InputStream,
    _body: IncomingBody,
}

impl Source {
    fn new(body: IncomingBody) -> Self {
        Self {
            stream: body.stream().expect("nobody has taken the stream yet"),
            _body: body,
        }
    }

    /// The body of another server's answer.
    pub(crate) fn of_response(response: &IncomingResponse) -> Self {
        Self::new(response.consume().expect("nobody has taken the body yet"))
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            return match self.stream.blocking_read(buffer.len() as u64) {
                // An empty piece is not the end: that would be `Closed`.
                Ok(piece) if piece.is_empty() => continue,
                Ok(piece) => {
                    buffer[..piece.len()].copy_from_slice(&piece);
                    Ok(piece.len())
                }
                Err(StreamError::Closed) => Ok(0),
                Err(StreamError::LastOperationFailed(error)) => {
                    Err(io::Error::other(error.to_debug_string()))
                }
            };
        }
    }
}

/// The right to answer, once. Dropped, it leaves the request without an answer.
pub(crate) struct Reply(ResponseOutparam);

impl Reply {
    pub(crate) fn new(response: ResponseOutparam) -> Self {
        Self(response)
    }

    pub(crate) fn text(self, status: u16, text: &str) {
        self.sized_stream(status, text.len(), |out| {
            out.write_all(text.as_bytes())?;
            Ok(text.len() as u64)
        });
    }

    /// A body of a length that nobody announces.
    pub(crate) fn stream(
        self,
        status: u16,
        write: impl FnOnce(&mut OutputStream) -> io::Result<u64>,
    ) {
        self.send(status, Fields::new(), write);
    }

    /// A body whose length is announced.
    pub(crate) fn sized_stream(
        self,
        status: u16,
        length: usize,
        write: impl FnOnce(&mut OutputStream) -> io::Result<u64>,
    ) {
        let length = ("content-length".to_owned(), length.to_string().into_bytes());
        let kind = ("content-type".to_owned(), b"text/plain".to_vec());
        let headers = Fields::from_list(&[length, kind]).expect("these headers are well formed");
        self.send(status, headers, write);
    }

    /// The beginning of a body that is never ended, nor dropped.
    pub(crate) fn forgotten(self, beginning: &[u8]) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("a new response still has its body");
        let stream = body.write().expect("a new body still has its stream");

        ResponseOutparam::set(self.0, Ok(response));
        let _ = stream.blocking_write_and_flush(beginning);
        mem::forget((stream, body));
    }

    fn send(
        self,
        status: u16,
        headers: Fields,
        write: impl FnOnce(&mut OutputStream) -> io::Result<u64>,
    ) {
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).expect("the status is one");
        let body = response.body().expect("a new response still has its body");

        ResponseOutparam::set(self.0, Ok(response));
        send(body, write);
    }
}

/// Writes a body to its end. What fails on the way leaves it unfinished: its reader sees that.
pub(crate) fn send(body: OutgoingBody, write: impl FnOnce(&mut OutputStream) -> io::Result<u64>) {
    let mut stream = body.write().expect("a new body still has its stream");
    let written = write(&mut stream);
    drop(stream);

    if written.is_ok() {
        // Fails only for a reader who is gone.
        let _ = OutgoingBody::finish(body, None);
    }
}
