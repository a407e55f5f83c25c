//! Requests to others: `/fetch?url=U` and `/post?url=U`.

use std::io;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, Scheme,
};

use crate::http::{send, Reply, Request, Source};

/// Answers with what a GET of `url` is answered with, piece by piece.
pub(crate) fn fetch(request: &Request, reply: Reply) {
    let (outgoing, body) = outgoing(&Method::Get, request);
    let response = outgoing_handler::handle(outgoing, None);
    send(body, |_| Ok(0));
    relay(response.and_then(wait), reply);
}

/// Sends its own body on to `url`, piece by piece, and then answers with what comes back.
pub(crate) fn post(request: Request, reply: Reply) {
    let (outgoing, body) = outgoing(&Method::Post, &request);
    let response = outgoing_handler::handle(outgoing, None);
    // A refused request has no reader, and its body would wait for one for ever.
    if response.is_ok() {
        send(body, |out| io::copy(&mut request.into_body(), out));
    }
    relay(response.and_then(wait), reply);
}

fn outgoing(method: &Method, request: &Request) -> (OutgoingRequest, OutgoingBody) {
    let (scheme, authority, path) = parts(request.get("url").expect("a url in the query"));
    let outgoing = OutgoingRequest::new(Fields::new());
    outgoing.set_method(method).expect("the method is one");
    outgoing
        .set_scheme(Some(&scheme))
        .expect("the scheme is one");
    outgoing
        .set_authority(Some(authority))
        .expect("the authority is one");
    outgoing
        .set_path_with_query(Some(path))
        .expect("the path is one");

    let body = outgoing.body().expect("a new request still has its body");
    (outgoing, body)
}

fn parts(url: &str) -> (Scheme, &str, &str) {
    let (scheme, rest) = url.split_once("://").expect("a whole url");
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    (scheme, authority, if path.is_empty() { "/" } else { path })
}

fn wait(response: FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    response.subscribe().block();
    let response = response.get().expect("the response is there");
    response.expect("nobody has taken it yet")
}

fn relay(response: Result<IncomingResponse, ErrorCode>, reply: Reply) {
    match response {
        Ok(response) => {
            let mut body = Source::of_response(&response);
            reply.stream(response.status(), |out| io::copy(&mut body, out));
        }
        Err(error) => reply.text(502, &format!("{error:?}\n")),
    }
}
