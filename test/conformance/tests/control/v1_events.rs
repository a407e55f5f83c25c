//! The events that `wasmcloud-control-interface` 3.0.1 receives, read as strictly as wadm reads them:
//! with this crate's types where it has some, and by the fields that wadm wants where it has none.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmcloud_control_interface as peer;

use peer::{ComponentDescription, HostInventory, Link, ProviderDescription};

use crate::actors::Actor;
use crate::events::Events;
use crate::v1::{KEYVALUE, Scene, done, map};

/// Each has a subject of its own.
const NAMES: &[&str] = &[
    "component_scaled",
    "config_deleted",
    "config_set",
    "health_check_passed",
    "host_heartbeat",
    "host_stopped",
    "labels_changed",
    "linkdef_deleted",
    "linkdef_set",
    "provider_started",
    "provider_stopped",
];

type Map = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
struct ComponentScaled {
    annotations: Map,
    claims: Option<ComponentClaims>,
    image_ref: String,
    max_instances: u32,
    component_id: String,
    host_id: String,
    public_key: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ComponentClaims {
    call_alias: Option<String>,
    issuer: String,
    name: String,
    revision: Option<usize>,
    tags: Option<Vec<String>>,
    version: Option<String>,
    not_before_human: String,
    expires_human: String,
}

#[derive(Debug, Deserialize)]
struct ProviderStarted {
    annotations: Map,
    image_ref: String,
    provider_id: String,
    host_id: String,
}

#[derive(Debug, Deserialize)]
struct ProviderStopped {
    annotations: Map,
    provider_id: String,
    reason: String,
    host_id: String,
}

#[derive(Debug, Deserialize)]
struct HealthCheck {
    provider_id: String,
    host_id: String,
}

#[derive(Debug, Deserialize)]
struct LinkDeleted {
    source_id: String,
    name: String,
    wit_namespace: String,
    wit_package: String,
}

#[derive(Debug, Deserialize)]
struct ConfigChanged {
    config_name: String,
}

#[derive(Debug, Deserialize)]
struct LabelsChanged {
    host_id: String,
    labels: Map,
}

#[derive(Debug, Deserialize)]
struct HostStopped {
    labels: Map,
}

/// What `HostInventory` takes when it lacks, wadm does not.
#[derive(Debug, Deserialize)]
struct Heartbeat {
    components: Vec<ComponentDescription>,
    providers: Vec<ProviderDescription>,
    friendly_name: String,
    labels: Map,
    version: String,
    uptime_human: String,
    uptime_seconds: u64,
}

#[tokio::test]
async fn events_of_1_x() {
    let it = Scene::new().await;
    let names = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let receiver = it.client.events_receiver(names).await.expect("a receiver");
    let mut events = Events::new(receiver, &it.id, NAMES);
    // What was sent on the same connection before is with the server when this is answered.
    it.inventory().await;

    let actor = Actor::new();
    let image = actor.write(it.host.directory(), 1);
    labels_and_configurations_change(&it, &mut events).await;
    for (count, by) in [(2, Some("a")), (5, Some("a")), (3, None)] {
        it.scale(&image, count, by).await;
        // Whose they are they stay when nobody says whose.
        assert_eq!(
            component_scaled(&it, &mut events, &actor, &image).await,
            count
        );
    }
    provider_started(&it, &mut events).await;
    links_change(&it, &mut events).await;
    a_heart_beats(&it, &mut events).await;
    provider_stopped(&it, &mut events).await;
    it.scale(&image, 0, None).await;
    assert_eq!(component_scaled(&it, &mut events, &actor, &image).await, 0);

    done(it.client.stop_host(&it.id, Some(10_000)).await);
    let stopped: HostStopped = events.next("host_stopped").await;
    assert_eq!(stopped.labels["zone"], "test");
}

async fn labels_and_configurations_change<E: Serialize>(it: &Scene, events: &mut Events<E>) {
    done(it.client.put_label(&it.id, "colour", "red").await);
    let changed: LabelsChanged = events.next("labels_changed").await;
    assert_eq!(
        (&changed.host_id, changed.labels["colour"].as_str()),
        (&it.id, "red")
    );
    for name in ["settings", "gone"] {
        let values: HashMap<_, _> = map(&[("greeting", "hello")]);
        done(it.client.put_config(name, values).await);
        let set: ConfigChanged = events.next("config_set").await;
        assert_eq!(set.config_name, name);
    }
    done(it.client.delete_config("gone").await);
    let deleted: ConfigChanged = events.next("config_deleted").await;
    assert_eq!(deleted.config_name, "gone");
}

/// To how many.
async fn component_scaled<E: Serialize>(
    it: &Scene,
    events: &mut Events<E>,
    actor: &Actor,
    image: &str,
) -> u32 {
    let scaled: ComponentScaled = events.next("component_scaled").await;
    assert_eq!(
        (scaled.component_id.as_str(), scaled.image_ref.as_str()),
        ("echo", image)
    );
    assert_eq!(
        (scaled.host_id, scaled.public_key),
        (it.id.clone(), Some(actor.key()))
    );
    let claims = scaled.claims.expect("claims");
    assert_eq!(
        (claims.issuer, claims.name.as_str()),
        (actor.issuer(), "Echo")
    );
    assert_eq!(
        (claims.version.as_deref(), claims.revision),
        (Some("0.1.0"), Some(1))
    );
    assert_eq!(
        (claims.call_alias.as_deref(), claims.tags),
        (Some("echo"), Some(vec![]))
    );
    assert!(!claims.not_before_human.is_empty() && !claims.expires_human.is_empty());
    assert_eq!(scaled.annotations, map(&[("scaler", "a")]));
    scaled.max_instances
}

async fn provider_started<E: Serialize>(it: &Scene, events: &mut Events<E>) {
    let by = map(&[("scaler", "a")]);
    let started = it
        .client
        .start_provider(&it.id, KEYVALUE, "store", Some(by), Vec::new());
    done(started.await);
    let started: ProviderStarted = events.next("provider_started").await;
    assert_eq!(started.annotations, map(&[("scaler", "a")]));
    assert_eq!(started.image_ref, KEYVALUE);
    assert_eq!(
        (started.provider_id.as_str(), started.host_id),
        ("store", it.id.clone())
    );
    let healthy: HealthCheck = events.next("health_check_passed").await;
    assert_eq!(
        (healthy.provider_id.as_str(), healthy.host_id),
        ("store", it.id.clone())
    );
}

async fn provider_stopped<E: Serialize>(it: &Scene, events: &mut Events<E>) {
    done(it.client.stop_provider(&it.id, "store").await);
    let stopped: ProviderStopped = events.next("provider_stopped").await;
    assert_eq!(stopped.annotations, map(&[("scaler", "a")]));
    assert_eq!(
        (stopped.provider_id.as_str(), stopped.host_id),
        ("store", it.id.clone())
    );
    assert!(!stopped.reason.is_empty());
}

async fn links_change<E: Serialize>(it: &Scene, events: &mut Events<E>) {
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
    done(it.client.put_link(link.clone()).await);
    assert_eq!(events.next::<Link>("linkdef_set").await, link);
    let deleted = it.client.delete_link("echo", "default", "wasi", "keyvalue");
    done(deleted.await);
    let deleted: LinkDeleted = events.next("linkdef_deleted").await;
    assert_eq!(
        (deleted.source_id.as_str(), deleted.name.as_str()),
        ("echo", "default")
    );
    assert_eq!(
        (deleted.wit_namespace.as_str(), deleted.wit_package.as_str()),
        ("wasi", "keyvalue")
    );
}

/// A ping is answered by a heartbeat, too; its data is the inventory.
async fn a_heart_beats<E: Serialize>(it: &Scene, events: &mut Events<E>) {
    let (data, beat) = crate::within("a heartbeat that has all", async {
        loop {
            it.client.get_hosts().await.expect("hosts");
            let data: Value = events.next("host_heartbeat").await;
            let beat: Heartbeat = serde_json::from_value(data.clone()).expect("a heartbeat");
            if !beat.providers.is_empty() {
                break (data, beat);
            }
        }
    })
    .await;
    let inventory = it.inventory().await;
    let told: HostInventory = serde_json::from_value(data).expect("an inventory");
    assert_eq!(told.host_id(), it.id);
    assert_eq!(told.components(), inventory.components());
    assert_eq!(told.providers(), inventory.providers());

    let [component] = beat.components.as_slice() else {
        panic!("{beat:?}");
    };
    assert_eq!((component.id(), component.max_instances()), ("echo", 3));
    assert!(component.annotations().is_some(), "{component:?}");
    assert!(beat.providers[0].annotations().is_some(), "{beat:?}");
    assert_eq!(beat.friendly_name, inventory.friendly_name());
    assert_eq!(&beat.labels, inventory.labels());
    assert!(semver::Version::parse(&beat.version).is_ok(), "{beat:?}");
    assert!(!beat.uptime_human.is_empty() && beat.uptime_seconds < 3_600);
}
