//! The HTTP client: requests of actors, to the hosts that their links allow.
//!
//! 1. [`HttpClient`] checks a request against the list of its link (`allowed`).
//! 2. `resolve` looks the host up, and keeps the addresses that the request may `reach`.
//! 3. `connect` makes the connection, in `turns`; each connection serves one caller and one reach, its `mark`. Idle
//!    connections make room for others (`idle`).
//! 4. `leased` ends the bodies with their call; `failure` explains what went wrong.
//!
//! `wasmbus` decodes and encodes the messages of the older contract.
//!
//! # The life of a request
//!
//! 1. `Target::of` parses the target: `http` or `https`, a host, a port, no user.
//! 2. `reach` looks it up in `allowed_hosts` of the link, or of the provider, and refuses it with
//!    `denied`.
//! 3. `prepare` removes headers of the hop, sets `host` and the mark, and puts the body under the
//!    term of the call.
//! 4. The pool of hyper-util finds a connection with the same mark, or asks `Connect` for one.
//! 5. `receive` hands out the head. The connection counts as busy until the body is read or
//!    dropped.
//!
//! # Errors of a request
//!
//! | code | reason |
//! |---|---|
//! | `denied` | the target is not allowed, or its name resolves to special addresses only |
//! | `invalid_input` | scheme, host, port, method or a header of the request |
//! | `unavailable` | no connection in time, or the client is stopped |
//! | `overloaded` | as many connections are open as may, and none became free |
//! | `provider` | TLS failed, the server gave no response, or a response that is too large |
//! | `io` | the response broke off after its head |
//! | `deadline`, `dropped` | the call ended, and with it the exchange |
//!
//! A request is never sent twice, except by hyper on a connection that its server closed before the
//! first byte went out.

mod allowed;
mod connect;
mod failure;
mod idle;
mod leased;
mod mark;
mod reach;
mod resolve;
mod settings;
mod turns;
mod wasmbus;

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Instant;

use exosuit_core::{
    Answer, Body, Capability, CapabilityCall, Code, Configuration, Contract, Done, Error, Exchange,
    HTTP_CLIENT, Id, Link, Origin, Pending, Prepared, Reply, bounded,
};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;

use crate::http::headers::{strip_hop_by_hop, take_length};
use crate::message;
use allowed::{KEY, Target};
use connect::Connect;
use idle::Usage;
use leased::{Leased, Term};
use mark::Mark;
use reach::Reach;
use settings::ClientLimits;

/// The provider of `wasmcloud:httpclient` and of `wasi:http` for requests that actors send.
///
/// # What is allowed
///
/// The setting `allowed_hosts` of a link lists the hosts to which its actor may send requests. If a link
/// lacks it, the provider's setting applies. Without either, nothing is allowed. The entries, separated
/// by commas or spaces, are:
///
/// | entry | allows |
/// |---|---|
/// | `api.example.com` | that host, at the port of the scheme: 80 of `http`, 443 of `https` |
/// | `api.example.com:8443` | that host, at that port |
/// | `api.example.com:*` | that host, at any port |
/// | `*.example.com` | all hosts below that domain, but not the domain itself; ports as above |
/// | `*` | every host, at every port |
/// | `10.0.0.0/8`, `[fd00::/8]` | the addresses of that range; ports as above |
///
/// Private, loopback, link-local and other special addresses are refused once the name of the host is
/// resolved, unless an entry names that host or a range with the address: `*` and `*.example.com`
/// do not include them. A connection serves the requests of one actor, with the same right.
///
/// A redirect is a response like any other: the guest follows it, and its request is checked. Nothing
/// is read from the environment: there is no proxy.
///
/// [`HTTP_CLIENT`] lists the settings.
///
/// # Bodies
///
/// They stream both ways, no faster than the other end reads. They end at the deadline of the call; then
/// reads and writes fail. The body of a GET or HEAD is sent if the request has a `content-length`.
pub struct HttpClient {
    id: Id,
    contracts: Vec<Contract>,
    configuration: Configuration,
    /// The limit of the body of a response that does not stream.
    max_body_bytes: u64,
    /// `None` after the stop. Connections that nobody uses are closed with it; those in use end
    /// with their requests.
    client: Mutex<Option<Sender>>,
}

/// The pool of connections. Clones share it.
type Sender = Client<Connect, Leased<Body>>;

/// The interface of `wasi:http` that actors import and this client answers.
const INTERFACE: &str = "outgoing-handler";

impl HttpClient {
    /// A client without a connection. Reads the files of certificates, so do not call it on an
    /// async thread.
    ///
    /// # Errors
    ///
    /// `invalid_link` for a setting, a list that cannot be parsed, or certificates that cannot be
    /// read.
    pub fn open(id: Id, configuration: &Configuration) -> Result<Arc<Self>, Error> {
        let limits = settings::limits(configuration)?;
        settings::allowed(configuration, &Configuration::new())?;
        let connect = Connect::new(settings::tls(configuration)?, limits);
        Ok(Arc::new(Self {
            id,
            contracts: HTTP_CLIENT.contracts(),
            configuration: configuration.clone(),
            max_body_bytes: limits.max_body_bytes,
            client: Mutex::new(Some(client(connect, limits))),
        }))
    }

    /// Checks a call and returns its answer, which sends the request when it is polled.
    fn start(&self, call: CapabilityCall) -> Result<Answer, Error> {
        let CapabilityCall { invocation, link } = call;
        let (link, deadline) = (link.as_deref(), invocation.context.deadline);
        let caller = caller(&invocation.origin);
        let operation = invocation.operation.as_str();
        if operation == wasmbus::OPERATION {
            let request = wasmbus::request(invocation.payload.bytes()?)?;
            let exchange = Exchange::new(request);
            let response = self.send(exchange, link, caller, deadline)?;
            let most = self.max_body_bytes;
            Ok(Box::pin(async move {
                let answer = async { wasmbus::response(response.await?, most).await };
                bounded(answer, deadline, None).await.map(Reply::Bytes)
            }))
        } else if is_handle(operation) {
            let exchange = *invocation.payload.into_http()?;
            let response = self.send(exchange, link, caller, deadline)?;
            Ok(Box::pin(async move {
                Ok(Reply::Http(Box::new(response.await?)))
            }))
        } else {
            let contract = link.map_or(&self.contracts[1], |link| &link.contract);
            Err(message::unknown_operation(contract, operation))
        }
    }

    /// Checks a request, and returns the future of its response. An error comes before anything is
    /// sent.
    fn send(
        &self,
        exchange: Exchange,
        link: Option<&Link>,
        caller: Box<str>,
        deadline: Instant,
    ) -> Result<impl Future<Output = Result<Response<Body>, Error>> + Send + use<>, Error> {
        let Exchange { request, lease } = exchange;
        let target = Target::of(request.uri())?;
        let reach = self.reach(link, &target)?;
        let mark = Mark { reach, caller };
        let withdrawn = lease.withdrawn.clone();
        let term = Arc::new(Term { lease, deadline });
        let request = prepare(request, &target, &mark, &term)?;
        let client = self.client.lock().clone();
        let client =
            client.ok_or_else(|| Error::new(Code::Unavailable, "the HTTP client is stopped"))?;
        Ok(async move {
            let response = async {
                let response = client.request(request).await;
                response.map_err(|error| failure::no_response(&target, &error))
            };
            let response = bounded(response, deadline, Some(&withdrawn)).await?;
            receive(response, target, &term)
        })
    }

    /// The addresses that a request to this target may reach.
    ///
    /// # Errors
    ///
    /// `denied`, with the target and the setting to change.
    fn reach(&self, link: Option<&Link>, target: &Target) -> Result<Reach, Error> {
        let none = Configuration::new();
        let own = link.map_or(&none, |link| link.seen_from(&self.id).0);
        let reach = settings::allowed(&self.configuration, own)?.reach(target);
        let reach = reach.ok_or_else(|| {
            let detail = format!(
                "requests to {target} are not allowed: add it to {KEY} of the link, or of the \
                 provider {}",
                self.id
            );
            Error::new(Code::Denied, detail)
        })?;
        match target.address() {
            Some(address) if !reach.allows(address) => {
                Err(reach::out_of_reach(&target.to_string(), address))
            }
            _ => Ok(reach),
        }
    }

    /// Whether the contract and the interfaces of a link are offered, and its list can be parsed.
    fn check_link(&self, link: &Link) -> Result<(), Error> {
        HTTP_CLIENT.check_link(&self.id, link)?;
        let [wasmbus, wit] = [&self.contracts[0], &self.contracts[1]];
        let has_all = link.interfaces.is_empty();
        let found = if link.contract == *wasmbus && has_all
            || link.contract == *wit
                && (has_all || link.interfaces.iter().any(|it| it == INTERFACE))
        {
            let own = link.seen_from(&self.id).0;
            return settings::allowed(&self.configuration, own).map(drop);
        } else if link.contract == *wit {
            link.interfaces.join(", ")
        } else {
            link.contract.to_string()
        };
        let detail =
            format!("the HTTP client offers {wasmbus} and {INTERFACE} of {wit}, not {found}");
        Err(Error::new(Code::InvalidLink, detail))
    }

    /// Whether the link, with the provider behind it, allows no request at all.
    fn allows_nothing(&self, link: &Link) -> bool {
        let own = link.seen_from(&self.id).0;
        settings::allowed(&self.configuration, own).is_ok_and(|allowed| allowed.is_empty())
    }
}

impl Capability for HttpClient {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        match self.start(call) {
            Ok(answer) => answer,
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        let checked = self.check_link(&link);
        Box::pin(ready(checked.map(|()| Prepared::nothing())))
    }

    fn warnings(&self, link: &Link) -> Vec<String> {
        let mut warnings = HTTP_CLIENT.check_link(&self.id, link).unwrap_or_default();
        if self.allows_nothing(link) {
            warnings.push(format!(
                "{KEY} is not set, at {}'s end of the link or in its configuration: every request \
                 is denied; list the hosts, or * for all public ones",
                self.id
            ));
        }
        warnings
    }

    fn stop(&self) -> Done {
        let client = self.client.lock().take();
        Box::pin(async move {
            drop(client);
            Ok(())
        })
    }
}

/// The sender of a request, as the mark of its connections. Actors of other hosts are told apart by
/// their ids.
fn caller(origin: &Origin) -> Box<str> {
    match origin {
        Origin::Host => "host".into(),
        Origin::Actor(id) | Origin::Provider { id, .. } => id.as_str().into(),
        Origin::Elsewhere(remote) => remote.id.as_str().into(),
    }
}

/// A pool with these limits.
fn client(connect: Connect, limits: ClientLimits) -> Sender {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits.idle_timeout)
        .pool_max_idle_per_host(limits.max_idle)
        .build(connect)
}

/// `wasi:http/outgoing-handler@0.2.0#handle`, of any version or none.
fn is_handle(operation: &str) -> bool {
    let Some((interface, function)) = operation.split_once('#') else {
        return false;
    };
    let name = interface.split('@').next().unwrap_or(interface);
    name.strip_prefix("wasi:http/") == Some(INTERFACE) && function == "handle"
}

/// Changes a request so that it can be sent only to this target.
fn prepare(
    request: Request<Body>,
    target: &Target,
    mark: &Mark,
    term: &Arc<Term>,
) -> Result<Request<Leased<Body>>, Error> {
    let (mut head, body) = request.into_parts();
    if head.method == Method::CONNECT {
        let detail = "a request cannot have the method CONNECT: there are no tunnels";
        return Err(Error::new(Code::InvalidInput, detail));
    }
    let marked = mark.put(&head.uri);
    head.uri = marked.ok_or_else(|| Error::new(Code::InvalidInput, "the request has no target"))?;
    head.version = Version::HTTP_11;
    head.extensions.clear();
    strip_hop_by_hop(&mut head.headers);
    let told = take_length(&mut head.headers).filter(|_| body.size_hint().exact().is_none());
    if let Some(length) = told {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    // A header `Host` that differs from the target would evade the list of allowed hosts.
    let host = HeaderValue::from_str(&target.as_host());
    head.headers
        .insert(HOST, host.expect("a host is visible ASCII"));
    Ok(Request::from_parts(head, Leased::new(body, term)))
}

/// The response for the guest. Interim answers are an error; its body ends with the call.
fn receive(
    response: Response<Incoming>,
    target: Target,
    term: &Arc<Term>,
) -> Result<Response<Body>, Error> {
    let (mut head, body) = response.into_parts();
    if head.status.is_informational() {
        let detail = format!("{target} answered with the status {}", head.status.as_u16());
        return Err(Error::new(Code::Provider, detail));
    }
    let answering = head.extensions.remove::<Arc<Usage>>().map(Usage::answering);
    head.version = Version::default();
    head.extensions.clear();
    strip_hop_by_hop(&mut head.headers);
    let body = body.map_err(move |error| {
        // In use for as long as its body is.
        let _ = &answering;
        failure::broken_off(&target, &error)
    });
    Ok(Response::from_parts(head, Leased::new(body, term).boxed()))
}
