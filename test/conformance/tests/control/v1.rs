//! Every call of `wasmcloud-control-interface` 3.0.1, that of wasmCloud 1.x.

use std::collections::{BTreeMap, HashMap};

use wasmcloud_control_interface as peer;

use peer::{Client, ClientBuilder, CtlResponse, HostInventory, Link, RegistryCredential};

use crate::actors::Actor;
use crate::host::Host;
use crate::nats::NatsServer;
use crate::{PATIENCE, WINDOW, eventually};

pub(crate) const KEYVALUE: &str = "wasmcloud+builtin://keyvalue";
/// Of several tokens, as those who share a server have it.
const PREFIX: &str = "tenant.a.ctl";
const LATTICE: &str = "mine";

type Answer<T> = Result<CtlResponse<T>, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) host: Host,
    _server: NatsServer,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let server = NatsServer::start().await;
        let options = [
            ("WASMCLOUD_CTL_TOPIC_PREFIX", PREFIX),
            ("WASMCLOUD_LATTICE_PREFIX", LATTICE),
        ];
        let host = Host::start(&server, &options).await;
        let nats = nats_v1::connect(server.url()).await.expect("a client");
        let client = ClientBuilder::new(nats)
            .topic_prefix(PREFIX)
            .lattice(LATTICE)
            .timeout(PATIENCE)
            .auction_timeout(WINDOW)
            .build();
        let hosts = eventually("a host", async || {
            client.get_hosts().await.expect("hosts").pop()
        });
        let id = response(Ok(hosts.await)).id().to_owned();
        Self {
            client,
            id,
            host,
            _server: server,
        }
    }

    pub(crate) async fn inventory(&self) -> HostInventory {
        response(self.client.get_host_inventory(&self.id).await)
    }

    /// What the inventory shows of a component: instances by their annotation, once it is that.
    async fn await_instances(&self, id: &str, wanted: &[(&str, u32)]) {
        eventually("as many instances", async || {
            let inventory = self.inventory().await;
            let found = inventory
                .components()
                .iter()
                .filter(|found| found.id() == id);
            let shares: BTreeMap<_, _> = found
                .map(|it| (scaler(it.annotations()), it.max_instances()))
                .collect();
            let wanted = wanted.iter().map(|(scaler, n)| ((*scaler).to_owned(), *n));
            (shares == wanted.collect()).then_some(())
        })
        .await;
    }

    pub(crate) async fn scale(&self, reference: &str, count: u32, by: Option<&str>) {
        let annotations = by.map(|by| map(&[("scaler", by)]));
        let scaled = self.client.scale_component(
            &self.id,
            reference,
            "echo",
            count,
            annotations,
            vec!["settings".to_owned()],
            false,
        );
        done(scaled.await);
    }

    async fn bids(&self, id: &str, constraints: &[(&str, &str)]) -> usize {
        let constraints: BTreeMap<_, _> = map(constraints);
        let bids = self
            .client
            .perform_component_auction("any", id, constraints);
        bids.await
            .expect("bids")
            .into_iter()
            .map(|bid| response(Ok(bid)))
            .count()
    }

    async fn provider_bids(&self, id: &str) -> usize {
        let bids = self
            .client
            .perform_provider_auction(KEYVALUE, id, BTreeMap::new());
        bids.await
            .expect("bids")
            .into_iter()
            .map(|bid| response(Ok(bid)))
            .count()
    }
}

pub(crate) fn map<M: FromIterator<(String, String)>>(pairs: &[(&str, &str)]) -> M {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn scaler(annotations: Option<&BTreeMap<String, String>>) -> String {
    let annotations = annotations.expect("annotations, if none");
    annotations.get("scaler").cloned().unwrap_or_default()
}

fn response<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    let answer = answer.expect("an answer");
    assert!(
        answer.succeeded() && answer.message().is_empty(),
        "{answer:?}"
    );
    answer.into_data().expect("a response")
}

pub(crate) fn done(answer: Answer<()>) {
    let answer = answer.expect("an answer");
    assert!(
        answer.succeeded() && answer.message().is_empty(),
        "{answer:?}"
    );
}

/// It went well, and there is something to know.
fn told<T: std::fmt::Debug>(answer: Answer<T>, text: &str) {
    let answer = answer.expect("an answer");
    assert!(
        answer.succeeded() && answer.message().contains(text),
        "{answer:?}"
    );
}

fn refused<T: std::fmt::Debug>(answer: Answer<T>, text: &str) {
    let answer = answer.expect("an answer");
    assert!(
        !answer.succeeded() && answer.message().contains(text),
        "{answer:?}"
    );
}

#[tokio::test]
async fn every_call_of_1_x() {
    let mut it = Scene::new().await;
    a_host_says_who_it_is(&it).await;
    labels_change(&it).await;
    configurations_are_kept(&it).await;
    components_come_and_go(&it).await;
    what_a_host_cannot_start_is_refused(&it).await;
    providers_and_links_come_and_go(&it).await;
    a_host_is_stopped(&mut it).await;
}

async fn a_host_says_who_it_is(it: &Scene) {
    let host = eventually("the host", async || {
        it.client.get_hosts().await.expect("hosts").pop()
    })
    .await;
    let host = response(Ok(host));
    assert_eq!(host.lattice(), LATTICE);
    assert_eq!(host.ctl_host(), Some("127.0.0.1"));
    assert!(host.uptime_human().is_some() && host.version().is_some());

    let inventory = it.inventory().await;
    assert_eq!(inventory.host_id(), it.id);
    assert_eq!(inventory.friendly_name(), host.friendly_name());
    assert_eq!(Some(inventory.version()), host.version());
    assert_eq!(inventory.version().split('.').count(), 3);
    assert!(inventory.components().is_empty() && inventory.providers().is_empty());
}

async fn labels_change(it: &Scene) {
    let ctl = &it.client;
    done(ctl.put_label(&it.id, "colour", "red").await);
    assert_eq!(it.inventory().await.labels()["colour"], "red");
    eventually("a bid", async || {
        (it.bids("echo", &[("colour", "red"), ("zone", "test")])
            .await
            == 1)
            .then_some(())
    })
    .await;
    for _twice in 0..2 {
        done(ctl.delete_label(&it.id, "colour").await);
    }
    assert!(!it.inventory().await.labels().contains_key("colour"));
    assert_eq!(it.bids("echo", &[("colour", "red")]).await, 0);
    refused(
        ctl.put_label(&it.id, "hostcore.os", "plan9").await,
        "hostcore.",
    );
    refused(ctl.delete_label(&it.id, "hostcore.os").await, "hostcore.");
}

async fn configurations_are_kept(it: &Scene) {
    let ctl = &it.client;
    let values: HashMap<_, _> = map(&[("greeting", "hello")]);
    told(ctl.get_config("settings").await, "no configuration");
    done(ctl.put_config("settings", values.clone()).await);
    done(ctl.put_config("gone", values.clone()).await);
    assert_eq!(response(ctl.get_config("settings").await), values);
    for _twice in 0..2 {
        done(ctl.delete_config("gone").await);
    }
    told(ctl.get_config("gone").await, "no configuration");
}

async fn components_come_and_go(it: &Scene) {
    let ctl = &it.client;
    let actor = Actor::new();
    let (one, two) = (
        actor.write(it.host.directory(), 1),
        actor.write(it.host.directory(), 2),
    );

    it.scale(&one, 2, Some("a")).await;
    it.await_instances("echo", &[("a", 2)]).await;
    let inventory = it.inventory().await;
    let described = &inventory.components()[0];
    assert_eq!(described.image_ref(), one);
    assert_eq!((described.name(), described.revision()), (Some("Echo"), 1));
    assert_eq!(it.bids("echo", &[]).await, 0);

    it.scale(&one, 3, Some("b")).await;
    it.await_instances("echo", &[("a", 2), ("b", 3)]).await;
    it.scale(&one, 0, Some("b")).await;
    it.await_instances("echo", &[("a", 2)]).await;
    it.scale(&one, 7, None).await;
    it.await_instances("echo", &[("a", 7)]).await;

    let config = Vec::new();
    let other = ctl.scale_component(&it.id, &two, "echo", 4, None, config, false);
    told(other.await, "allow_update is not set");
    it.await_instances("echo", &[("a", 4)]).await;
    assert_eq!(it.inventory().await.components()[0].revision(), 1);
    done(ctl.update_component(&it.id, "echo", &two, None).await);
    eventually("the other code", async || {
        (it.inventory().await.components()[0].revision() == 2).then_some(())
    })
    .await;
    let three = actor.write(it.host.directory(), 3);
    let updated = ctl.scale_component(&it.id, &three, "echo", 1, None, Vec::new(), true);
    done(updated.await);
    it.await_instances("echo", &[("a", 1)]).await;
    assert_eq!(it.inventory().await.components()[0].revision(), 3);

    let claims = response(ctl.get_claims().await);
    let known = claims.iter().find(|claims| claims["sub"] == actor.key());
    let known = known.expect("its claims");
    assert_eq!(
        (&known["iss"], &known["issuer"]),
        (&actor.issuer(), &actor.issuer())
    );
    assert_eq!(
        (known["name"].as_str(), known["rev"].as_str()),
        ("Echo", "3")
    );

    for _twice in 0..2 {
        it.scale(&three, 0, None).await;
        it.await_instances("echo", &[]).await;
    }
}

async fn what_a_host_cannot_start_is_refused(it: &Scene) {
    let ctl = &it.client;
    let image = "registry.example/echo:0.1.0";
    let reason = "registries are not supported yet";
    let scaled = ctl.scale_component(&it.id, image, "other", 1, None, Vec::new(), false);
    refused(scaled.await, reason);
    refused(
        ctl.start_provider(&it.id, image, "other", None, Vec::new())
            .await,
        reason,
    );
    let absent = ctl.update_component(&it.id, "other", "file:///other.wasm", None);
    refused(absent.await, "not found");
}

async fn providers_and_links_come_and_go(it: &Scene) {
    let ctl = &it.client;
    eventually("a bid", async || {
        (it.provider_bids("store").await == 1).then_some(())
    })
    .await;
    let annotations: BTreeMap<_, _> = map(&[("scaler", "a")]);
    for _twice in 0..2 {
        let started = ctl.start_provider(
            &it.id,
            KEYVALUE,
            "store",
            Some(annotations.clone()),
            Vec::new(),
        );
        done(started.await);
    }
    eventually("the provider", async || {
        (it.inventory().await.providers().len() == 1).then_some(())
    })
    .await;
    let inventory = it.inventory().await;
    let provider = &inventory.providers()[0];
    assert_eq!(
        (provider.id(), provider.image_ref()),
        ("store", Some(KEYVALUE))
    );
    assert_eq!(provider.annotations(), Some(&annotations));
    assert_eq!(it.provider_bids("store").await, 0);

    let link = Link::builder()
        .source_id("echo")
        .target("store")
        .name("default")
        .wit_namespace("wasi")
        .wit_package("keyvalue")
        .interfaces(vec!["store".to_owned()])
        .target_config(vec!["settings".to_owned()])
        .build()
        .expect("a link");
    for _twice in 0..2 {
        done(ctl.put_link(link.clone()).await);
    }
    let links = response(ctl.get_links().await);
    assert!(links.contains(&link), "{links:?}");
    let elsewhere = Link::builder()
        .source_id("echo")
        .target("other")
        .name("default")
        .wit_namespace("wasi")
        .wit_package("keyvalue")
        .interfaces(vec!["store".to_owned(), "atomics".to_owned()])
        .build()
        .expect("a link");
    refused(ctl.put_link(elsewhere).await, "already");
    for _twice in 0..2 {
        done(ctl.delete_link("echo", "default", "wasi", "keyvalue").await);
    }
    assert!(response(ctl.get_links().await).is_empty());

    done(ctl.stop_provider(&it.id, "store").await);
    assert!(it.inventory().await.providers().is_empty());
    told(ctl.stop_provider(&it.id, "store").await, "no such provider");
}

async fn a_host_is_stopped(it: &mut Scene) {
    let mut registries = HashMap::new();
    let credential = RegistryCredential::from_token("s3cr3t", "oci");
    registries.insert("registry.example".to_owned(), credential);
    done_sent(it.client.put_registries(registries).await);
    done(it.client.stop_host(&it.id, Some(10_000)).await);
    let status = it.host.end().await;
    assert!(status.success(), "{status}:\n{}", it.host.log());
    assert!(!it.host.log().contains("s3cr3t"));
}

/// The client answers itself.
fn done_sent(answer: Answer<()>) {
    assert!(answer.expect("sent").succeeded());
}
