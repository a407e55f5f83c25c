//! Fakes: actors and providers that do as they are told and remember what they were asked.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{
    Answer, Capability, CapabilityCall, Code, Configuration, Context, Contract, Deliver, Done,
    Error, Grants, Id, Identity, Invocation, Link, LinkName, Notice, Observe, Origin, Pending,
    Prepared, Target,
};
use exosuit_router::{ActorLimits, Options, Publication, Router};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub(crate) const KEYVALUE: &str = "wasmcloud:keyvalue";
pub(crate) const HTTP: &str = "wasmcloud:httpserver";

pub(crate) fn id(text: &str) -> Id {
    Id::parse(text).expect("an id")
}

pub(crate) fn contract(text: &str) -> Contract {
    Contract::parse(text).expect("a contract")
}

pub(crate) fn link_name(text: &str) -> LinkName {
    LinkName::parse(text).expect("a link name")
}

pub(crate) fn link(source: &str, target: &str, what: &str) -> Link {
    Link {
        source: id(source),
        target: id(target),
        name: LinkName::default(),
        contract: contract(what),
        interfaces: Vec::new(),
        source_config: Configuration::new(),
        target_config: Configuration::new(),
    }
}

pub(crate) fn identity(capabilities: &[&str]) -> Identity {
    Identity {
        public_key: None,
        issuer: None,
        call_alias: None,
        grants: Grants::Capabilities(capabilities.iter().map(ToString::to_string).collect()),
        expires_at: None,
        settings: String::new(),
    }
}

/// A text in the shape of an actor's public key.
pub(crate) fn public_key(letter: char) -> String {
    format!("M{}", letter.to_string().repeat(55))
}

/// A text in the shape of a provider's key.
pub(crate) fn provider_key(letter: char) -> String {
    format!("V{}", letter.to_string().repeat(55))
}

/// The claims in the token of an actor with this public key.
pub(crate) fn signed(letter: char, capabilities: &[&str]) -> Identity {
    Identity {
        public_key: Some(public_key(letter)),
        ..identity(capabilities)
    }
}

pub(crate) fn limits(instances: u32, queue: u32) -> ActorLimits {
    ActorLimits {
        instances,
        queue,
        deadline: None,
    }
}

pub(crate) fn call(origin: Origin, target: Target) -> Invocation {
    Invocation {
        origin,
        target,
        operation: "KeyValue.Get".into(),
        payload: Bytes::from_static(b"payload").into(),
        context: Context::until(Instant::now() + Duration::from_mins(1)),
    }
}

pub(crate) fn from_host(actor: &str) -> Invocation {
    call(Origin::Host, Target::Actor(actor.into()))
}

pub(crate) fn import(caller: &str, namespace: &str) -> Invocation {
    let link = LinkName::DEFAULT.into();
    let namespace = namespace.into();
    let target = Target::Import { namespace, link };
    call(Origin::Actor(id(caller)), target)
}

pub(crate) fn from_provider(provider: &str, what: &str, actor: &str) -> Invocation {
    let origin = Origin::Provider {
        id: id(provider),
        contract: contract(what),
        link: LinkName::default(),
    };
    call(origin, Target::Actor(actor.into()))
}

pub(crate) fn nested(mut call: Invocation) -> Invocation {
    call.context = call.context.nested();
    call
}

/// A call on its way to an answer in bytes.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

/// Polls once, with nothing to wake.
pub(crate) fn poll(answer: &mut Answering) -> Poll<Result<Bytes, Error>> {
    answer
        .as_mut()
        .poll(&mut std::task::Context::from_waker(Waker::noop()))
}

pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop()))
}

pub(crate) fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

/// All that was observed.
#[derive(Default)]
pub(crate) struct Notices(Mutex<Vec<Notice>>);

impl Notices {
    pub(crate) fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.0.lock())
    }

    /// The codes of the calls that failed.
    pub(crate) fn failures(&self) -> Vec<Code> {
        let failure = |notice| match notice {
            Notice::CallFailed { error, .. } => Some(error.code),
            _ => None,
        };
        self.take().into_iter().filter_map(failure).collect()
    }

    /// The codes of the links that were refused.
    pub(crate) fn refused_links(&self) -> Vec<Code> {
        let refused = |notice| match notice {
            Notice::LinkRefused { error, .. } => Some(error.code),
            _ => None,
        };
        self.take().into_iter().filter_map(refused).collect()
    }
}

impl Observe for Notices {
    fn observe(&self, notice: Notice) {
        self.0.lock().push(notice);
    }
}

/// A router, and what it lets be observed.
pub(crate) struct World {
    pub(crate) router: Arc<Router>,
    pub(crate) notices: Arc<Notices>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let notices = Arc::new(Notices::default());
        let router = Router::new(options, Arc::clone(&notices) as Arc<dyn Observe>);
        Self { router, notices }
    }

    /// An actor that runs.
    pub(crate) fn run(
        &self,
        name: &str,
        identity: Identity,
        target: Arc<dyn Deliver>,
    ) -> Publication {
        self.specify(name, limits(10, 10));
        self.publish(name, identity, target)
    }

    pub(crate) fn specify(&self, name: &str, limits: ActorLimits) {
        let specified = self.router.specify_actor(id(name), limits);
        specified.expect("a free id");
    }

    pub(crate) fn publish(
        &self,
        name: &str,
        identity: Identity,
        target: Arc<dyn Deliver>,
    ) -> Publication {
        let published = self.router.publish_actor(&id(name), identity, target);
        published.expect("a publication")
    }

    /// A provider that runs and takes all its links.
    pub(crate) async fn provide(&self, name: &str, what: &str) -> Arc<Provider> {
        let provider = Provider::new(what);
        let put = self.put_provider(name, &provider).await;
        assert_eq!(put, Ok(Vec::new()));
        provider
    }

    /// The same, with a key.
    pub(crate) async fn provide_keyed(&self, name: &str, key: &str, what: &str) -> Arc<Provider> {
        let provider = Provider::new(what);
        let capability = Arc::clone(&provider) as Arc<dyn Capability>;
        let put = self
            .router
            .put_provider(id(name), Some(id(key)), capability);
        assert!(put.await.expect("free names").is_empty());
        provider
    }

    /// The links that it did not get, by the reasons.
    pub(crate) async fn put_provider(
        &self,
        name: &str,
        provider: &Arc<Provider>,
    ) -> Result<Vec<Code>, Error> {
        let capability = Arc::clone(provider) as Arc<dyn Capability>;
        let refused = self.router.put_provider(id(name), None, capability).await?;
        Ok(refused.iter().map(|refused| refused.error.code).collect())
    }

    /// A call that starts when it is polled.
    pub(crate) fn start(&self, call: Invocation) -> Answering {
        let answer = self.router.deliver(call);
        Box::pin(async move { answer.await?.into_bytes() })
    }

    pub(crate) async fn call(&self, call: Invocation) -> Result<Bytes, Error> {
        self.start(call).await
    }
}

/// An actor that answers with a text.
pub(crate) struct Says(pub(crate) &'static str);

impl Deliver for Says {
    fn deliver(&self, _: Invocation) -> Answer {
        let text = self.0;
        Box::pin(async move { Ok(text.into()) })
    }
}

/// An actor that fails.
pub(crate) struct Fails(pub(crate) Code);

impl Deliver for Fails {
    fn deliver(&self, _: Invocation) -> Answer {
        let error = Error::new(self.0, "as it was told to");
        Box::pin(async move { Err(error) })
    }
}

/// An actor that remembers by when it was to answer.
pub(crate) struct RecordsDeadline(Mutex<Instant>);

impl RecordsDeadline {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    pub(crate) fn deadline(&self) -> Instant {
        *self.0.lock()
    }
}

impl Deliver for RecordsDeadline {
    fn deliver(&self, invocation: Invocation) -> Answer {
        *self.0.lock() = invocation.context.deadline;
        Box::pin(async move { Ok(invocation.payload.into_bytes()?.into()) })
    }
}

/// An actor that answers when it is let.
pub(crate) struct Holds {
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) letting: Arc<Semaphore>,
}

struct Runs(Arc<AtomicUsize>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Holds {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            running: Arc::default(),
            letting: Arc::new(Semaphore::new(0)),
        })
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    pub(crate) fn let_go(&self, calls: usize) {
        self.letting.add_permits(calls);
    }
}

impl Deliver for Holds {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let (running, letting) = (Arc::clone(&self.running), Arc::clone(&self.letting));
        Box::pin(async move {
            running.fetch_add(1, Ordering::SeqCst);
            let _runs = Runs(running);
            letting.acquire().await.expect("it stays open").forget();
            Ok(invocation.payload.into_bytes()?.into())
        })
    }
}

/// An actor that passes each call on to another.
pub(crate) struct PassesOn {
    pub(crate) router: Arc<Router>,
    pub(crate) me: &'static str,
    pub(crate) to: Target,
}

impl Deliver for PassesOn {
    fn deliver(&self, invocation: Invocation) -> Answer {
        self.router.deliver(Invocation {
            origin: Origin::Actor(id(self.me)),
            target: self.to.clone(),
            context: invocation.context.nested(),
            ..invocation
        })
    }
}

/// A provider that remembers what it was asked, in order.
pub(crate) struct Provider {
    contracts: Vec<Contract>,
    pub(crate) log: Mutex<Vec<String>>,
    /// Source and target of the links it heard of, as it was told them.
    pub(crate) ends: Mutex<Vec<String>>,
    /// The error of its next links.
    pub(crate) fails: Mutex<Option<Error>>,
    /// Lets it take as many links.
    pub(crate) taking: Arc<Semaphore>,
    /// How many links it was asked to take.
    pub(crate) asked: AtomicUsize,
    /// The source of each link that was prepared and given up.
    pub(crate) given_up: Mutex<Vec<String>>,
    me: Weak<Self>,
}

/// The prepared link of a provider.
struct Ready {
    provider: Arc<Provider>,
    link: Arc<Link>,
    switched: bool,
}

impl Ready {
    fn switch(mut self) {
        self.provider.note("link", Some(&self.link));
        self.switched = true;
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if !self.switched {
            let source = self.link.source.to_string();
            self.provider.given_up.lock().push(source);
        }
    }
}

impl Provider {
    pub(crate) fn new(what: &str) -> Arc<Self> {
        Self::of(vec![contract(what)])
    }

    pub(crate) fn of(contracts: Vec<Contract>) -> Arc<Self> {
        Self::taking(contracts, 1_000)
    }

    fn taking(contracts: Vec<Contract>, links: usize) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            contracts,
            log: Mutex::default(),
            ends: Mutex::default(),
            fails: Mutex::default(),
            taking: Arc::new(Semaphore::new(links)),
            asked: AtomicUsize::new(0),
            given_up: Mutex::default(),
            me: me.clone(),
        })
    }

    /// Takes no link before it is let.
    pub(crate) fn slow(what: &str) -> Arc<Self> {
        Self::taking(vec![contract(what)], 0)
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }

    fn note(&self, what: &str, link: Option<&Link>) {
        if let Some(link) = link {
            let ends = format!("{} {}", link.source, link.target);
            self.ends.lock().push(ends);
        }
        let whose = link.map_or_else(String::new, |link| format!(" {}", link.source));
        self.log.lock().push(format!("{what}{whose}"));
    }
}

impl Capability for Provider {
    fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    fn invoke(&self, call: CapabilityCall) -> Answer {
        self.note("invoke", call.link.as_deref());
        Box::pin(async move { Ok(call.invocation.payload.into_bytes()?.into()) })
    }

    fn prepare(&self, link: Arc<Link>) -> Pending<Prepared> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let failure = self.fails.lock().clone();
        let provider = self.me.upgrade().expect("it lives in an Arc");
        Box::pin(async move {
            let taking = provider.taking.acquire().await;
            taking.expect("it stays open").forget();
            if let Some(error) = failure {
                return Err(error);
            }
            let switched = false;
            let ready = Ready {
                provider,
                link,
                switched,
            };
            Ok(Prepared::new(async move { ready.switch() }))
        })
    }

    fn unlink(&self, link: Arc<Link>) -> Done {
        self.note("unlink", Some(&link));
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> Done {
        self.note("stop", None);
        Box::pin(async { Ok(()) })
    }
}
