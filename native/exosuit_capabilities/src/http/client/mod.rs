//! The HTTP client: requests of actors, to the hosts that their links allow.
//!
//! [`HttpClient`] checks a request against `allowed` and sends it; `connect` and `resolve` make its
//! connections, `leased` ends its bodies with their call, `failure` says what went wrong.

mod allowed;
mod connect;
mod failure;
mod leased;
mod resolve;
mod settings;

use std::future::{Future, ready};
use std::sync::Arc;

use exosuit_core::{
    Answer, Body, Capability, CapabilityCall, Code, Configuration, Contract, Done, Error, Exchange,
    Id, Link, Pending, Prepared, Reply, bounded,
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
use leased::{Leased, Term};
use settings::Limits;

/// The provider of `wasi:http` for requests that actors send.
///
/// # What is allowed
///
/// A link says with `allowed_hosts` where its actor may send requests, and so does the provider for
/// the links that do not; nothing is allowed otherwise. Separated by commas or spaces:
///
/// | entry | allows |
/// |---|---|
/// | `api.example.com` | that host, at the port of the scheme: 80 of `http`, 443 of `https` |
/// | `api.example.com:8443` | that host, at that port |
/// | `api.example.com:*` | that host, at any port |
/// | `*.example.com` | all hosts below that domain, and not itself; ports as above |
/// | `*` | every host, at every port |
///
/// Hosts are compared as they are written: who controls a name that is allowed controls where
/// requests to it go, to this machine as well. An address must be allowed as an address.
///
/// A redirect is a response like any other. Nothing is read from the environment: there is no proxy.
///
/// # Settings
///
/// Of the provider:
///
/// | key | default | |
/// |---|---|---|
/// | `connect_timeout_ms` | 10000 | for a connection, with its name looked up and TLS agreed on |
/// | `body_timeout_ms` | 60000 | the longest pause of a server that reads a request |
/// | `idle_timeout_ms` | 30000 | for a connection that nobody uses |
/// | `max_idle_per_host` | 32 | connections that nobody uses |
/// | `max_connections` | 1024 | to all servers; who finds none free in `connect_timeout_ms` is refused |
/// | `ca_file` | the roots of the web | whom to trust in their place: certificates in PEM |
///
/// # Bodies
///
/// They stream both ways, no faster than the other end reads. All ends with the deadline of the
/// call, and with an error to who reads or writes on. The body of a GET or HEAD is sent if the
/// request says its `content-length`.
pub struct HttpClient {
    id: Id,
    contracts: [Contract; 1],
    configuration: Configuration,
    /// None when it has stopped: the connections that nobody uses are closed with it.
    client: Mutex<Option<Sender>>,
}

type Sender = Client<Connect, Leased<Body>>;

/// Of `wasi:http`, what actors call and this client answers.
const INTERFACE: &str = "outgoing-handler";

impl HttpClient {
    /// A client without a connection yet. May read a file: not for an async thread.
    pub fn open(id: Id, configuration: &Configuration) -> Result<Arc<Self>, Error> {
        let limits = settings::limits(configuration)?;
        settings::allowed(configuration, &Configuration::new())?;
        let connect = Connect::new(settings::tls(configuration)?, limits);
        Ok(Arc::new(Self {
            id,
            contracts: [message::contract("wasi:http")],
            configuration: configuration.clone(),
            client: Mutex::new(Some(client(connect, limits))),
        }))
    }

    fn start(
        &self,
        call: CapabilityCall,
    ) -> Result<impl Future<Output = Result<Reply, Error>> + Send + use<>, Error> {
        let CapabilityCall { invocation, link } = call;
        if !is_handle(&invocation.operation) {
            let contract = &self.contracts[0];
            return Err(message::unknown_operation(contract, &invocation.operation));
        }
        let Exchange { request, lease } = *invocation.payload.into_http()?;
        let target = Target::of(request.uri())?;
        self.check(link.as_deref(), &target)?;
        let deadline = invocation.context.deadline;
        let withdrawn = lease.withdrawn.clone();
        let term = Arc::new(Term { lease, deadline });
        let request = prepare(request, &target, &term)?;
        let client = self.client.lock().clone();
        let client =
            client.ok_or_else(|| Error::new(Code::Unavailable, "the HTTP client is stopped"))?;
        Ok(async move {
            let response = async {
                let response = client.request(request).await;
                response.map_err(|error| failure::no_response(&target, &error))
            };
            let response = bounded(response, deadline, Some(&withdrawn)).await?;
            let response = receive(response, target, &term)?;
            Ok(Reply::Http(Box::new(response)))
        })
    }

    fn check(&self, link: Option<&Link>, target: &Target) -> Result<(), Error> {
        let none = Configuration::new();
        let own = link.map_or(&none, |link| link.seen_from(&self.id).0);
        if settings::allowed(&self.configuration, own)?.allow(target) {
            return Ok(());
        }
        let detail = format!(
            "requests to {target} are not allowed: add it to {KEY} of the link, or of the provider {}",
            self.id
        );
        Err(Error::new(Code::Denied, detail))
    }

    fn check_link(&self, link: &Link) -> Result<(), Error> {
        let contract = &self.contracts[0];
        let found = if link.contract != *contract {
            link.contract.to_string()
        } else if link.interfaces.is_empty() || link.interfaces.iter().any(|it| it == INTERFACE) {
            let own = link.seen_from(&self.id).0;
            return settings::allowed(&self.configuration, own).map(drop);
        } else {
            link.interfaces.join(", ")
        };
        let detail = format!("the HTTP client offers {INTERFACE} of {contract}, not {found}");
        Err(Error::new(Code::InvalidLink, detail))
    }
}

impl Capability for HttpClient {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        match self.start(call) {
            Ok(answer) => Box::pin(answer),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        let checked = self.check_link(&link);
        Box::pin(ready(checked.map(|()| Prepared::nothing())))
    }

    fn stop(&self) -> Done {
        let client = self.client.lock().take();
        Box::pin(async move {
            drop(client);
            Ok(())
        })
    }
}

fn client(connect: Connect, limits: Limits) -> Sender {
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

/// Makes a request one that may be sent to this target and to no other.
fn prepare(
    request: Request<Body>,
    target: &Target,
    term: &Arc<Term>,
) -> Result<Request<Leased<Body>>, Error> {
    let (mut head, body) = request.into_parts();
    if head.method == Method::CONNECT {
        let detail = "a request cannot have the method CONNECT: there are no tunnels";
        return Err(Error::new(Code::InvalidInput, detail));
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    strip_hop_by_hop(&mut head.headers);
    let told = take_length(&mut head.headers).filter(|_| body.size_hint().exact().is_none());
    if let Some(length) = told {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    // Another host in it than in the target would pass by what is allowed.
    let host = HeaderValue::from_str(&target.as_host());
    head.headers
        .insert(HOST, host.expect("a host is visible ASCII"));
    Ok(Request::from_parts(head, Leased::new(body, term)))
}

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
    head.version = Version::default();
    head.extensions.clear();
    strip_hop_by_hop(&mut head.headers);
    let body = body.map_err(move |error| failure::broken_off(&target, &error));
    Ok(Response::from_parts(head, Leased::new(body, term).boxed()))
}
