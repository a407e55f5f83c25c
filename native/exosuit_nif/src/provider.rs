//! Providers, each as long-lived as the Elixir process that started it: built-in ones, and those
//! whose calls Elixir answers (`elixir`).

mod elixir;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exosuit_capabilities::{Surroundings, check, open};
use exosuit_core::{Builtin, Capability, Code, Error, Id, bounded};
use rustler::{Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};

use crate::host::{Host, Inner};
use crate::reply::{To, answer};
use crate::runtime::runtime;
use crate::term::{contract, failure, id, map, ok};
use elixir::Elixir;

/// A provider that a process runs: ends with the process, or with the last reference to it.
pub(crate) struct Provider {
    host: Arc<Inner>,
    id: Id,
    capability: Arc<dyn Capability>,
}

#[rustler::resource_impl]
impl Resource for Provider {
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.end();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.end();
    }
}

impl Provider {
    /// Ends it, and no successor of the same id, which ended it when it took its place.
    fn end(&self) {
        let (host, id) = (Arc::clone(&self.host), self.id.clone());
        let capability = Arc::clone(&self.capability);
        runtime().spawn(async move { host.end_provider(&id, &capability).await });
    }
}

impl Inner {
    async fn end_provider(&self, id: &Id, capability: &Arc<dyn Capability>) {
        let this = |it: &Arc<dyn Capability>| Arc::ptr_eq(it, capability);
        {
            let mut providers = self.providers.lock();
            if providers.get(id).is_some_and(this) {
                providers.remove(id);
            }
        }
        // It stops as well as it can; there is nobody left to tell.
        let _ = self.router.end_provider(id, capability).await;
    }

    /// A predecessor, whose process may have ended just now, must have let go of socket and file.
    async fn end_predecessor(&self, id: &Id) {
        self.providers.lock().remove(id);
        let _ = self.router.delete_provider(id).await;
    }
}

/// The contracts of a built-in provider, by its name or reference.
#[rustler::nif]
fn provider_builtin<'a>(env: Env<'a>, reference: &str) -> Term<'a> {
    let builtin = match Builtin::get(reference) {
        Ok(builtin) => builtin,
        Err(error) => return failure(env, &error),
    };
    let contracts: Vec<_> = builtin.offers.iter().map(|offer| offer.contract).collect();
    let fields = [
        ("name", builtin.name.encode(env)),
        ("contracts", contracts.encode(env)),
        ("listens", builtin.listens.encode(env)),
    ];
    ok(env, map(env, &fields))
}

/// The key that a provider of this reference and id has on every host.
#[rustler::nif]
fn provider_key(reference: &str, id: &str) -> String {
    exosuit_claims::provider_key(reference, id).to_string()
}

/// By what a provider is called: its id on this host, and its key on every host.
struct Names {
    id: Id,
    key: Id,
}

impl Names {
    fn parse((provider, key): (&str, &str)) -> Result<Self, Error> {
        let (id, key) = (id(provider)?, id(key)?);
        Ok(Self { id, key })
    }
}

/// Starts a built-in provider. Answers with a reference to it and the links that it cannot serve.
#[rustler::nif]
fn provider_start<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    provider: (&str, &str),
    name: String,
    configuration: HashMap<String, String>,
    data_dir: Option<String>,
    to: To<'a>,
) -> Term<'a> {
    let names = match Names::parse(provider) {
        Ok(names) => names,
        Err(error) => return failure(env, &error),
    };
    let inner = Arc::clone(host.inner());
    let surroundings = surroundings(&inner, names.id.clone(), configuration, data_dir);
    let opening = opened(name, surroundings);
    answer(env, to, start(inner, names, to.0, opening)).encode(env)
}

/// Checks whether a built-in provider takes a configuration. The one that runs keeps its files.
#[rustler::nif]
fn provider_rehearse<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    provider: (&str, &str),
    name: String,
    configuration: HashMap<String, String>,
    data_dir: Option<String>,
    to: To<'a>,
) -> Term<'a> {
    let names = match Names::parse(provider) {
        Ok(names) => names,
        Err(error) => return failure(env, &error),
    };
    let surroundings = surroundings(host.inner(), names.id, configuration, data_dir);
    answer(env, to, async {
        let checking = tokio::task::spawn_blocking(move || check(&name, surroundings));
        checking.await.map_err(|_| gave_up())?
    })
    .encode(env)
}

fn surroundings(
    host: &Arc<Inner>,
    id: Id,
    configuration: HashMap<String, String>,
    data_dir: Option<String>,
) -> Surroundings {
    Surroundings {
        id,
        configuration: configuration.into_iter().collect(),
        data_dir: data_dir.map(PathBuf::from),
        deliver: host.deliver(),
        observe: host.notices.clone(),
        ports: host.ports.clone(),
        lattice: host.lattice(),
    }
}

async fn opened(name: String, surroundings: Surroundings) -> Result<Arc<dyn Capability>, Error> {
    let opening = tokio::task::spawn_blocking(move || open(&name, surroundings));
    opening.await.map_err(|_| gave_up())?
}

/// Starts a provider whose calls the process `dispatcher` takes, so many at a time, and whose links
/// go to the process that is answered. Answers like `provider_start`.
#[rustler::nif]
fn provider_serve<'a>(
    env: Env<'a>,
    host: ResourceArc<Host>,
    provider: (&str, &str),
    contracts: Vec<String>,
    max_calls: usize,
    dispatcher: LocalPid,
    to: To<'a>,
) -> Term<'a> {
    let contracts: Result<Vec<_>, _> = contracts.iter().map(|text| contract(text)).collect();
    let parsed = Names::parse(provider).and_then(|names| Ok((names, contracts?)));
    let (names, contracts) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return failure(env, &error),
    };
    let elixir = Elixir::new(names.id.clone(), contracts, to.0, dispatcher, max_calls);
    let opened: Arc<dyn Capability> = Arc::new(elixir);
    let inner = Arc::clone(host.inner());
    answer(env, to, start(inner, names, to.0, async { Ok(opened) })).encode(env)
}

async fn start(
    host: Arc<Inner>,
    Names { id, key }: Names,
    owner: LocalPid,
    opening: impl Future<Output = Result<Arc<dyn Capability>, Error>> + Send,
) -> Result<(ResourceArc<Provider>, Vec<String>), Error> {
    host.end_predecessor(&id).await;
    let capability = opening.await?;
    host.providers
        .lock()
        .insert(id.clone(), Arc::clone(&capability));
    let provider = Provider {
        host: Arc::clone(&host),
        id: id.clone(),
        capability,
    };
    let provider = ResourceArc::new(provider);
    // Before it takes anybody's place: an owner that has ended may have a successor by now. One that
    // ends later ends it, by this or by letting go of the reference.
    if provider.monitor(None, &owner).is_none() {
        return Err(gave_up());
    }
    let refused = host
        .router
        .put_provider(id, Some(key), Arc::clone(&provider.capability))
        .await?;
    let refused = refused.iter().map(|it| it.error.to_string()).collect();
    Ok((provider, refused))
}

fn gave_up() -> Error {
    Error::new(Code::Dropped, "the start of the provider was given up")
}

/// Asks a provider whether it can do its work, and answers with `:ok` or why not: in so many
/// milliseconds, whatever the provider does.
#[rustler::nif]
fn provider_health<'a>(
    env: Env<'a>,
    provider: ResourceArc<Provider>,
    timeout_ms: u32,
    to: To<'a>,
) -> rustler::Atom {
    let within = Duration::from_millis(timeout_ms.into());
    let deadline = Instant::now() + within;
    let health = bounded(provider.capability.health(), deadline, None);
    let late = move |error: Error| match error.code {
        Code::Deadline => Error::new(Code::Deadline, format!("it did not answer in {within:?}")),
        _ => error,
    };
    answer(env, to, async move { health.await.map_err(late) })
}

/// Where a provider listens, for people.
#[rustler::nif]
fn provider_endpoints(provider: ResourceArc<Provider>) -> Vec<String> {
    provider.capability.endpoints()
}
