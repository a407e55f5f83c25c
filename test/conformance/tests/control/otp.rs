//! Every call of `wasmcloud-control-interface` 0.28.1, the last that the OTP host understood.

use std::collections::HashMap;

use wasmcloud_control_interface_otp as peer;

use peer::{ActorInstance, Client, CtlOperationAck, HostInventory, RegistryCredential};

type Acknowledged = Result<CtlOperationAck, Box<dyn std::error::Error + Send + Sync>>;

use crate::actors::Actor;
use crate::host::Host;
use crate::nats::NatsServer;
use crate::{PATIENCE, WINDOW, eventually};

pub(crate) const KEYVALUE: &str = "wasmcloud+builtin://keyvalue";
pub(crate) const CONTRACT: &str = "wasmcloud:keyvalue";

pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) host: Host,
    _server: NatsServer,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let server = NatsServer::start().await;
        let host = Host::start(&server, &[]).await;
        let nats = nats_otp::connect(server.url()).await.expect("a client");
        // Without a look at the store: whoever has one needs not ask for links and claims.
        #[expect(deprecated, reason = "the way that asks")]
        let client = Client::new(nats, None, PATIENCE, WINDOW);
        let hosts = eventually("a host", async || {
            client.get_hosts().await.expect("hosts").pop()
        });
        let id = hosts.await.id;
        Self {
            client,
            id,
            host,
            _server: server,
        }
    }

    async fn inventory(&self) -> HostInventory {
        let inventory = self.client.get_host_inventory(&self.id).await;
        inventory.expect("an inventory")
    }

    /// The instances of an actor by their annotation, once there are as many as that.
    async fn await_instances(&self, actor: &Actor, wanted: &[(&str, usize)]) -> Vec<ActorInstance> {
        eventually("as many instances", async || {
            let actors = self.inventory().await.actors;
            let found = actors.into_iter().find(|found| found.id == actor.key());
            let instances = found.map(|found| found.instances).unwrap_or_default();
            (shares(&instances) == shares_of(wanted)).then_some(instances)
        })
        .await
    }

    async fn bids(&self, constraints: &[(&str, &str)]) -> usize {
        let bids = self.client.perform_actor_auction("any", map(constraints));
        bids.await.expect("bids").len()
    }

    async fn provider_bids(&self, link_name: &str) -> usize {
        let bids = self
            .client
            .perform_provider_auction(KEYVALUE, link_name, map(&[]));
        bids.await.expect("bids").len()
    }
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn by(scaler: &str) -> Option<HashMap<String, String>> {
    Some(map(&[("scaler", scaler)]))
}

fn shares(instances: &[ActorInstance]) -> HashMap<String, usize> {
    let mut shares = HashMap::new();
    for instance in instances {
        let annotations = instance.annotations.clone().unwrap_or_default();
        let scaler = annotations.get("scaler").cloned().unwrap_or_default();
        *shares.entry(scaler).or_default() += 1;
    }
    shares
}

fn shares_of(wanted: &[(&str, usize)]) -> HashMap<String, usize> {
    wanted
        .iter()
        .map(|(scaler, n)| ((*scaler).to_owned(), *n))
        .collect()
}

pub(crate) fn accepted(ack: Acknowledged) {
    let ack = ack.expect("an acknowledgement");
    assert!(ack.accepted && ack.error.is_empty(), "{ack:?}");
}

fn refused(ack: Acknowledged, reason: &str) {
    let ack = ack.expect("an acknowledgement");
    assert!(!ack.accepted && ack.error.contains(reason), "{ack:?}");
}

#[tokio::test]
async fn every_call_of_the_otp_era() {
    let mut it = Scene::new().await;
    a_host_says_who_it_is(&it).await;
    actors_come_and_go(&it).await;
    what_a_host_cannot_start_is_refused(&it).await;
    providers_and_links_come_and_go(&it).await;
    a_host_is_stopped(&mut it).await;
}

async fn a_host_says_who_it_is(it: &Scene) {
    let host = eventually("the host", async || {
        it.client.get_hosts().await.expect("hosts").pop()
    })
    .await;
    assert!(host.id.starts_with('N') && host.id.len() == 56, "{host:?}");
    let issuers = host.cluster_issuers.expect("issuers");
    assert!(issuers.starts_with('C'), "{issuers}");
    assert_eq!(host.lattice_prefix.as_deref(), Some("default"));
    assert_eq!(host.ctl_host.as_deref(), Some("127.0.0.1"));
    assert!(host.uptime_human.is_some() && host.version.is_some());
    assert_eq!(host.labels.expect("labels")["zone"], "test");

    let inventory = it.inventory().await;
    assert_eq!(inventory.host_id, it.id);
    assert_eq!(inventory.issuer, issuers);
    assert_eq!(inventory.labels["hostcore.os"], std::env::consts::OS);
    assert_eq!(inventory.labels["hostcore.arch"], std::env::consts::ARCH);
    assert_eq!(
        inventory.labels["hostcore.osfamily"],
        std::env::consts::FAMILY
    );
    assert_eq!(inventory.friendly_name.split('-').count(), 3);
    assert!(inventory.actors.is_empty() && inventory.providers.is_empty());
}

async fn actors_come_and_go(it: &Scene) {
    let actor = Actor::new();
    let (one, two) = (
        actor.write(it.host.directory(), 1),
        actor.write(it.host.directory(), 2),
    );

    eventually("a bid", async || {
        (it.bids(&[("zone", "test")]).await == 1).then_some(())
    })
    .await;
    assert_eq!(it.bids(&[("zone", "elsewhere")]).await, 0);

    let ctl = &it.client;
    accepted(ctl.start_actor(&it.id, &one, 2, by("a")).await);
    let instances = it.await_instances(&actor, &[("a", 2)]).await;
    assert_ne!(instances[0].instance_id, instances[1].instance_id);
    assert_eq!(instances[0].revision, 1);
    let described = it.inventory().await.actors.remove(0);
    assert_eq!(described.image_ref.as_ref(), Some(&one));
    assert_eq!(described.name.as_deref(), Some("Echo"));

    // None is one; others' stay what they are.
    accepted(ctl.start_actor(&it.id, &one, 0, by("b")).await);
    it.await_instances(&actor, &[("a", 2), ("b", 1)]).await;
    accepted(ctl.scale_actor(&it.id, "", &actor.key(), 5, by("a")).await);
    it.await_instances(&actor, &[("a", 5), ("b", 1)]).await;
    accepted(ctl.stop_actor(&it.id, &actor.key(), 2, by("a")).await);
    it.await_instances(&actor, &[("a", 3), ("b", 1)]).await;
    accepted(ctl.stop_actor(&it.id, &actor.key(), 0, by("b")).await);
    it.await_instances(&actor, &[("a", 3)]).await;
    accepted(ctl.scale_actor(&it.id, &one, &actor.key(), 4, None).await);
    it.await_instances(&actor, &[("a", 4)]).await;

    accepted(ctl.update_actor(&it.id, &actor.key(), &two, None).await);
    let instances = it.await_instances(&actor, &[("a", 4)]).await;
    assert!(instances.iter().all(|instance| instance.revision == 2));
    let older = ctl.update_actor(&it.id, &actor.key(), &one, None).await;
    refused(older, "Unable to perform live update");

    let claims = ctl.get_claims().await.expect("claims").claims;
    let known = claims.iter().find(|claims| claims["sub"] == actor.key());
    let known = known.expect("its claims");
    assert_eq!(known["iss"], actor.issuer());
    assert_eq!(known["caps"], "wasmcloud:keyvalue,wasi:keyvalue");
    assert_eq!(
        (known["rev"].as_str(), known["version"].as_str()),
        ("2", "0.2.0")
    );

    accepted(ctl.scale_actor(&it.id, &two, &actor.key(), 0, None).await);
    it.await_instances(&actor, &[]).await;
    accepted(ctl.stop_actor(&it.id, &actor.key(), 1, None).await);
}

async fn what_a_host_cannot_start_is_refused(it: &Scene) {
    let ctl = &it.client;
    let image = "registry.example/echo:0.1.0";
    let reason = "registries are not supported yet";
    refused(ctl.start_actor(&it.id, image, 1, None).await, reason);
    refused(
        ctl.scale_actor(&it.id, image, "MABC", 1, None).await,
        reason,
    );
    refused(ctl.update_actor(&it.id, "MABC", image, None).await, reason);
    refused(
        ctl.start_provider(&it.id, image, None, None, None).await,
        reason,
    );
    let absent = ctl.scale_actor(&it.id, "", "MABC", 1, None).await;
    refused(absent, "not found");
}

async fn providers_and_links_come_and_go(it: &Scene) {
    let ctl = &it.client;
    eventually("a bid", async || {
        (it.provider_bids("default").await == 1).then_some(())
    })
    .await;
    let configuration = Some(r#"{"backend":"memory"}"#.to_owned());
    accepted(
        ctl.start_provider(&it.id, KEYVALUE, None, by("a"), configuration)
            .await,
    );
    let provider = eventually("the provider", async || {
        it.inventory().await.providers.pop()
    })
    .await;
    assert!(provider.id.starts_with('V') && provider.id.len() == 56);
    assert_eq!(provider.contract_id, CONTRACT);
    assert_eq!(provider.link_name, "default");
    assert_eq!(provider.image_ref.as_deref(), Some(KEYVALUE));
    assert_eq!(provider.annotations, by("a"));

    let again = ctl.start_provider(&it.id, KEYVALUE, None, None, None).await;
    refused(again, "Provider with that link name is already running");
    assert_eq!(it.provider_bids("default").await, 0);
    eventually("a bid", async || {
        (it.provider_bids("other").await == 1).then_some(())
    })
    .await;

    let actor = Actor::new();
    let values = map(&[("bucket", "b")]);
    let key = actor.key();
    accepted(
        ctl.advertise_link(&key, &provider.id, CONTRACT, "default", values.clone())
            .await,
    );
    let links = ctl.query_links().await.expect("links").links;
    let link = links
        .iter()
        .find(|link| link.actor_id == key)
        .expect("the link");
    assert_eq!((&link.provider_id, &link.values), (&provider.id, &values));
    accepted(ctl.remove_link(&key, CONTRACT, "default").await);
    accepted(ctl.remove_link(&key, CONTRACT, "default").await);
    let links = ctl.query_links().await.expect("links").links;
    assert!(links.iter().all(|link| link.actor_id != key), "{links:?}");

    for _twice in 0..2 {
        accepted(
            ctl.stop_provider(&it.id, &provider.id, "default", CONTRACT, None)
                .await,
        );
        assert!(it.inventory().await.providers.is_empty());
    }
    // To whichever host answers first.
    accepted(ctl.start_provider("", KEYVALUE, None, None, None).await);
    eventually("the provider", async || {
        it.inventory().await.providers.pop()
    })
    .await;
}

async fn a_host_is_stopped(it: &mut Scene) {
    let mut registries = HashMap::new();
    let credential = RegistryCredential {
        token: Some("s3cr3t".to_owned()),
        registry_type: "oci".to_owned(),
        ..RegistryCredential::default()
    };
    registries.insert("registry.example".to_owned(), credential);
    it.client.put_registries(registries).await.expect("sent");
    accepted(it.client.stop_host(&it.id, Some(10)).await);
    let status = it.host.end().await;
    assert!(status.success(), "{status}:\n{}", it.host.log());
    assert!(!it.host.log().contains("s3cr3t"));
}
