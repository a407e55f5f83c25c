//! The events that `wasmcloud-control-interface` 0.28.1 receives, read as strictly as wadm of the OTP
//! era reads them: no crate has their types.

use std::collections::HashMap;

use serde::Deserialize;
use wasmcloud_control_interface_otp::LinkDefinition;

use crate::actors::Actor;
use crate::events::Events;
use crate::otp::{CONTRACT, KEYVALUE, Scene, accepted, by, map};

const NAMES: &[&str] = &[
    "actor_started",
    "actor_stopped",
    "actors_started",
    "actors_stopped",
    "health_check_passed",
    "host_heartbeat",
    "host_started",
    "host_stopped",
    "linkdef_deleted",
    "linkdef_set",
    "provider_started",
    "provider_stopped",
    "refmap_set",
];

type Map = HashMap<String, String>;

#[derive(Debug, Deserialize)]
struct ActorsStarted {
    public_key: String,
    image_ref: String,
    annotations: Map,
    host_id: String,
    claims: ActorClaims,
    count: usize,
}

#[derive(Debug, Deserialize)]
struct ActorStarted {
    public_key: String,
    image_ref: String,
    annotations: Map,
    claims: ActorClaims,
    instance_id: String,
}

#[derive(Debug, Deserialize, Eq, PartialEq)]
struct ActorClaims {
    call_alias: Option<String>,
    caps: Vec<String>,
    issuer: String,
    tags: Option<Vec<String>>,
    name: String,
    version: String,
    revision: usize,
    not_before_human: String,
    expires_human: String,
}

#[derive(Debug, Deserialize)]
struct ActorsStopped {
    public_key: String,
    host_id: String,
    annotations: Map,
    count: usize,
    remaining: usize,
}

#[derive(Debug, Deserialize)]
struct ActorStopped {
    public_key: String,
    annotations: Map,
    instance_id: String,
}

/// Of the fields that tell one, and all there is of a health check.
#[derive(Debug, Deserialize, Eq, PartialEq)]
struct Provider {
    public_key: String,
    link_name: String,
    contract_id: String,
}

#[derive(Debug, Deserialize)]
struct ProviderStarted {
    #[serde(flatten)]
    provider: Provider,
    image_ref: String,
    instance_id: String,
    annotations: Map,
    claims: ProviderClaims,
}

#[derive(Debug, Deserialize)]
struct ProviderClaims {
    issuer: String,
    /// With commas between them, unlike those of actors.
    tags: Option<String>,
    name: String,
    version: String,
    not_before_human: String,
    expires_human: String,
}

#[derive(Debug, Deserialize)]
struct ProviderStopped {
    #[serde(flatten)]
    provider: Provider,
    instance_id: String,
    annotations: Map,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct LinkChanged {
    id: String,
    #[serde(flatten)]
    link: LinkDefinition,
}

#[derive(Debug, Deserialize)]
struct Heartbeat {
    actors: HashMap<String, usize>,
    providers: Vec<Provider>,
    labels: Map,
    friendly_name: String,
    version: String,
    uptime_human: String,
    uptime_seconds: u64,
}

#[derive(Debug, Deserialize)]
struct HostStopped {
    labels: Map,
}

#[tokio::test]
async fn events_of_the_otp_era() {
    let it = Scene::new().await;
    let receiver = it.client.events_receiver().await.expect("a receiver");
    let mut events = Events::new(receiver, &it.id, NAMES);
    // What was sent on the same connection before is with the server when this is answered.
    it.client.get_hosts().await.expect("hosts");

    let actor = Actor::new();
    let image = actor.write(it.host.directory(), 1);
    let ctl = &it.client;
    accepted(ctl.start_actor(&it.id, &image, 2, by("a")).await);
    let first = started(&it, &mut events, &actor, &image, 2).await;
    accepted(ctl.scale_actor(&it.id, "", &actor.key(), 5, by("a")).await);
    let more = started(&it, &mut events, &actor, &image, 3).await;
    let running = [first, more].concat();
    let provider = provider_started(&it, &mut events).await;
    links_change(&it, &mut events, &actor, &provider).await;
    a_heart_beats(&it, &mut events, &actor, &provider).await;

    let key = &provider.public_key;
    accepted(
        ctl.stop_provider(&it.id, key, "default", CONTRACT, None)
            .await,
    );
    let stopped: ProviderStopped = events.next("provider_stopped").await;
    assert_eq!(stopped.provider, provider);
    assert_eq!(Some(stopped.annotations), by("a"));
    assert!(!stopped.reason.is_empty() && !stopped.instance_id.is_empty());

    accepted(ctl.stop_actor(&it.id, &actor.key(), 2, by("a")).await);
    let gone = stopped_actors(&it, &mut events, &actor, (2, 3)).await;
    accepted(ctl.stop_actor(&it.id, &actor.key(), 0, by("a")).await);
    let rest = stopped_actors(&it, &mut events, &actor, (3, 0)).await;
    assert_eq!(sorted([gone, rest].concat()), sorted(running));

    accepted(ctl.stop_host(&it.id, Some(10)).await);
    let stopped: HostStopped = events.next("host_stopped").await;
    assert_eq!(stopped.labels["zone"], "test");
}

/// As many have started: the ids of the instances.
async fn started<E: serde::Serialize>(
    it: &Scene,
    events: &mut Events<E>,
    actor: &Actor,
    image: &str,
    count: usize,
) -> Vec<String> {
    let several: ActorsStarted = events.next("actors_started").await;
    assert_eq!(
        (&several.public_key, &several.host_id),
        (&actor.key(), &it.id)
    );
    assert_eq!((several.image_ref.as_str(), several.count), (image, count));
    assert_eq!(Some(&several.annotations), by("a").as_ref());
    let claims = &several.claims;
    assert_eq!(
        (claims.issuer.as_str(), claims.name.as_str()),
        (actor.issuer().as_str(), "Echo")
    );
    assert_eq!((claims.version.as_str(), claims.revision), ("0.1.0", 1));
    assert_eq!(claims.caps, ["wasmcloud:keyvalue", "wasi:keyvalue"]);
    assert_eq!(claims.call_alias.as_deref(), Some("echo"));
    assert_eq!(claims.tags.as_deref(), Some([].as_slice()));
    assert_eq!(claims.expires_human, "never");
    assert!(!claims.not_before_human.is_empty());

    let mut ids = Vec::new();
    for _each in 0..count {
        let one: ActorStarted = events.next("actor_started").await;
        assert_eq!(
            (&one.public_key, &one.image_ref),
            (&several.public_key, &several.image_ref)
        );
        assert_eq!(
            (&one.annotations, &one.claims),
            (&several.annotations, claims)
        );
        ids.push(one.instance_id);
    }
    ids
}

/// So many have stopped, so many remain: the ids of the former.
async fn stopped_actors<E: serde::Serialize>(
    it: &Scene,
    events: &mut Events<E>,
    actor: &Actor,
    counts: (usize, usize),
) -> Vec<String> {
    let several: ActorsStopped = events.next("actors_stopped").await;
    assert_eq!(
        (&several.public_key, &several.host_id),
        (&actor.key(), &it.id)
    );
    assert_eq!((several.count, several.remaining), counts);
    assert_eq!(Some(&several.annotations), by("a").as_ref());
    let mut ids = Vec::new();
    for _each in 0..counts.0 {
        let one: ActorStopped = events.next("actor_stopped").await;
        assert_eq!(
            (&one.public_key, &one.annotations),
            (&several.public_key, &several.annotations)
        );
        ids.push(one.instance_id);
    }
    ids
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "each has an id of its own");
    ids
}

async fn provider_started<E: serde::Serialize>(it: &Scene, events: &mut Events<E>) -> Provider {
    let started = it
        .client
        .start_provider(&it.id, KEYVALUE, None, by("a"), None);
    accepted(started.await);
    let started: ProviderStarted = events.next("provider_started").await;
    assert_eq!(started.image_ref, KEYVALUE);
    assert_eq!(Some(started.annotations), by("a"));
    assert!(!started.instance_id.is_empty());
    let claims = started.claims;
    assert_eq!(
        (claims.tags, claims.issuer, claims.version),
        (None, String::new(), String::new())
    );
    assert_eq!(claims.not_before_human, "immediately");
    assert_eq!(claims.expires_human, "never");
    assert!(!claims.name.is_empty());
    let provider = started.provider;
    assert!(provider.public_key.starts_with('V'), "{provider:?}");
    assert_eq!(provider.link_name, "default");
    assert_eq!(provider.contract_id, CONTRACT);
    let healthy: Provider = events.next("health_check_passed").await;
    assert_eq!(healthy, provider);
    provider
}

async fn links_change<E: serde::Serialize>(
    it: &Scene,
    events: &mut Events<E>,
    actor: &Actor,
    provider: &Provider,
) {
    let (key, values) = (actor.key(), map(&[("bucket", "s3cr3t")]));
    let advertised =
        it.client
            .advertise_link(&key, &provider.public_key, CONTRACT, "default", values);
    accepted(advertised.await);
    let set: LinkChanged = events.next("linkdef_set").await;
    accepted(it.client.remove_link(&key, CONTRACT, "default").await);
    let deleted: LinkChanged = events.next("linkdef_deleted").await;
    assert_eq!(set.id, deleted.id);
    for link in [set.link, deleted.link] {
        assert_eq!(
            (&link.actor_id, &link.provider_id),
            (&key, &provider.public_key)
        );
        assert_eq!(
            (link.contract_id.as_str(), link.link_name.as_str()),
            (CONTRACT, "default")
        );
        // Whoever may read the store has them there.
        assert!(link.values.is_empty(), "{:?}", link.values);
    }
}

/// A ping is answered by a heartbeat, too.
async fn a_heart_beats<E: serde::Serialize>(
    it: &Scene,
    events: &mut Events<E>,
    actor: &Actor,
    provider: &Provider,
) {
    let beat: Heartbeat = crate::within("a heartbeat that has all", async {
        loop {
            it.client.get_hosts().await.expect("hosts");
            let beat: Heartbeat = events.next("host_heartbeat").await;
            if !beat.providers.is_empty() {
                break beat;
            }
        }
    })
    .await;
    assert_eq!(beat.actors, HashMap::from([(actor.key(), 5)]));
    assert_eq!(beat.providers.as_slice(), std::slice::from_ref(provider));
    assert_eq!(beat.labels["zone"], "test");
    assert_eq!(beat.friendly_name.split('-').count(), 3);
    assert!(semver::Version::parse(&beat.version).is_ok(), "{beat:?}");
    assert!(!beat.uptime_human.is_empty() && beat.uptime_seconds < 3_600);
}
