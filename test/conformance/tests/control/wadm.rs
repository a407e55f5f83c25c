//! wadm's API, answered by a host: every call of `wadm-client` 0.10.0, and a real wadm 0.21.1 in the same lattice.

use std::path::Path;

use futures_util::StreamExt;
use serde_json::{Value, json};
use wadm::config::WadmConfig;
use wadm_client::Client;
use wadm_client::error::ClientError;
use wadm_types::Manifest;
use wadm_types::api::{Status, StatusType};

use crate::actors::Actor;
use crate::host::Host;
use crate::nats::NatsServer;
use crate::{eventually, within};

const LATTICE: &str = "mine";
const OPTIONS: [(&str, &str); 1] = [("WASMCLOUD_LATTICE", LATTICE)];

struct Scene {
    client: Client,
    host: Host,
    server: NatsServer,
}

impl Scene {
    async fn new() -> Self {
        let server = NatsServer::start().await;
        let host = Host::start_with(&server, &["--wadm-api"], &OPTIONS).await;
        let client = client(&server).await;
        // It answers once it knows that no wadm does.
        eventually("an answer", async || client.list_manifests().await.ok()).await;
        Self {
            client,
            host,
            server,
        }
    }

    async fn await_status(&self, wanted: StatusType) -> Status {
        eventually("the status", async || {
            let status = self
                .client
                .get_manifest_status("shop")
                .await
                .expect("a status");
            (status.info.status_type == wanted).then_some(status)
        })
        .await
    }
}

async fn client(server: &NatsServer) -> Client {
    let nats = nats_v1::connect(server.url()).await.expect("a client");
    Client::from_nats_client(LATTICE, None, nats)
}

/// An echo and a store, linked.
fn manifest(version: &str, actor: &str) -> Manifest {
    let manifest = json!({
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": {
            "name": "shop",
            "annotations": {"version": version, "description": "sells"},
        },
        "spec": {"components": [
            {
                "name": "echo",
                "type": "component",
                "properties": {"image": actor},
                "traits": [
                    {"type": "spreadscaler", "properties": {"instances": 2}},
                    {"type": "link", "properties": {
                        "namespace": "wasmcloud",
                        "package": "keyvalue",
                        "interfaces": [],
                        "target": {"name": "store"},
                    }},
                ],
            },
            {
                "name": "store",
                "type": "capability",
                "properties": {"image": "wasmcloud+builtin://keyvalue"},
            },
        ]},
    });
    serde_json::from_value(manifest).expect("a manifest of wadm")
}

fn actor(directory: &Path) -> String {
    Actor::new().write(directory, 1)
}

#[tokio::test]
async fn an_application_goes_through_every_call() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let image = actor(scene.host.directory());

    let put = client
        .put_manifest(manifest("v1", &image))
        .await
        .expect("put");
    assert_eq!(put, ("shop".to_owned(), "v1".to_owned()));
    let listed = client.list_manifests().await.expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].name.as_str(), listed[0].version.as_str()),
        ("shop", "v1")
    );
    assert_eq!(listed[0].deployed_version, None);
    assert_eq!(listed[0].description.as_deref(), Some("sells"));
    scene.await_status(StatusType::Undeployed).await;

    let statuses = client.subscribe_to_status("shop").await.expect("a stream");
    let deployed = client
        .deploy_manifest("shop", None)
        .await
        .expect("deployed");
    assert_eq!(deployed, ("shop".to_owned(), Some("v1".to_owned())));
    let status = scene.await_status(StatusType::Deployed).await;
    let names: Vec<_> = (status.scalers.iter())
        .map(|scaler| {
            (
                scaler.kind.as_str(),
                scaler.name.as_str(),
                scaler.info.status_type,
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            ("SpreadScaler", "shop-echo", StatusType::Deployed),
            ("SpreadScaler", "shop-store", StatusType::Deployed),
        ]
    );
    within("the status as an event", async {
        let mut statuses = Box::pin(statuses);
        while let Some(message) = statuses.next().await {
            let status: Status = serde_json::from_slice(&message.payload).expect("a status");
            if status.info.status_type == StatusType::Deployed {
                break;
            }
        }
    })
    .await;

    let second = client
        .put_and_deploy_manifest(manifest("v2", &image))
        .await
        .expect("v2");
    assert_eq!(second, ("shop".to_owned(), "v2".to_owned()));
    let versions = client.list_versions("shop").await.expect("versions");
    let versions: Vec<_> = versions
        .iter()
        .map(|it| (it.version.as_str(), it.deployed))
        .collect();
    assert_eq!(versions, [("v1", false), ("v2", true)]);
    let got = client.get_manifest("shop", Some("v1")).await.expect("v1");
    assert_eq!(got, manifest("v1", &image));
    assert_eq!(
        client.get_manifest("shop", None).await.expect("the newest"),
        manifest("v2", &image)
    );
    client
        .deploy_manifest("shop", Some("v1"))
        .await
        .expect("back");
    assert_eq!(
        client.list_manifests().await.expect("a list")[0]
            .deployed_version
            .as_deref(),
        Some("v1")
    );

    assert_eq!(
        client.undeploy_manifest("shop").await.expect("undeployed"),
        "shop"
    );
    scene.await_status(StatusType::Undeployed).await;
    assert!(
        client
            .delete_manifest("shop", Some("v2"))
            .await
            .expect("deleted")
    );
    assert!(
        !client
            .delete_manifest("shop", Some("v2"))
            .await
            .expect("a noop")
    );
    assert!(client.delete_manifest("shop", None).await.expect("deleted"));
    assert!(!client.delete_manifest("shop", None).await.expect("a noop"));
    assert!(client.list_manifests().await.expect("a list").is_empty());
}

#[tokio::test]
async fn the_client_understands_every_refusal() {
    let scene = Scene::new().await;
    let client = &scene.client;
    for absent in [
        client.get_manifest("shop", None).await.err(),
        client.list_versions("shop").await.err(),
        client.deploy_manifest("shop", None).await.err(),
        client.undeploy_manifest("shop").await.err(),
    ] {
        assert!(matches!(absent, Some(ClientError::NotFound(name)) if name == "shop"));
    }
    let status = client.get_manifest_status("shop").await.expect("a status");
    assert_eq!(status.info.status_type, StatusType::Undeployed);

    let image = actor(scene.host.directory());
    client
        .put_manifest(manifest("v1", &image))
        .await
        .expect("put");
    let mut unknown = serde_json::to_value(manifest("v2", &image)).expect("JSON");
    unknown["spec"]["components"][0]["properties"]["image"] = json!("ghcr.io/a/b:1");
    let registry: Manifest = serde_json::from_value(unknown).expect("a manifest of wadm");
    for (refused, why) in [
        (
            client.put_manifest(manifest("v1", &image)).await,
            "already exists",
        ),
        (
            client.put_manifest(manifest("latest", &image)).await,
            "version",
        ),
        (
            client
                .put_manifest(manifest("v2", "file:///nowhere.wasm"))
                .await,
            "nowhere.wasm",
        ),
        (client.put_manifest(registry).await, "registr"),
    ] {
        let Err(ClientError::ApiError(message)) = refused else {
            panic!("expected an error with {why:?}, got {refused:?}");
        };
        assert!(message.contains(why), "{why:?} is not in {message:?}");
    }
    let refused = client.deploy_manifest("shop", Some("v9")).await;
    assert!(matches!(refused, Err(ClientError::ApiError(_))));
}

#[tokio::test]
async fn a_host_makes_way_for_a_real_wadm() {
    let scene = Scene::new().await;
    let image = actor(scene.host.directory());
    scene
        .client
        .put_manifest(manifest("v1", &image))
        .await
        .expect("put");

    // wadm has no manifest of this lattice.
    let config = WadmConfig {
        nats_server: scene.server.url(),
        ..WadmConfig::default()
    };
    let wadm = wadm::start_wadm(config).await.expect("wadm starts");
    eventually("the host's silence", async || {
        scene
            .host
            .log()
            .contains("does not answer wadm's API")
            .then_some(())
    })
    .await;
    for _ in 0..8 {
        let listed = scene.client.list_manifests().await.expect("a list");
        assert!(listed.is_empty(), "{listed:?}");
    }

    let mut second = Host::spawn(&scene.server, &["--wadm-api"], &OPTIONS);
    let ended = second.end().await;
    assert_ne!(ended.code(), Some(0));
    assert!(second.log().contains("a wadm answers"), "{}", second.log());

    drop(wadm);
    let listed = eventually("the host's answer", async || {
        let listed: Vec<_> = scene.client.list_manifests().await.ok()?;
        (!listed.is_empty()).then_some(listed)
    });
    assert_eq!(listed.await[0].name, "shop");
}

#[tokio::test]
async fn what_is_no_request_is_answered_in_wadms_form() {
    let scene = Scene::new().await;
    let nats = nats_v1::connect(scene.server.url())
        .await
        .expect("a client");
    for (subject, body) in [
        ("put", "no manifest"),
        ("get.shop", "no JSON"),
        ("deploy.shop", "[]"),
        ("fly", ""),
    ] {
        let subject = format!("wadm.api.{LATTICE}.model.{subject}");
        let reply = nats.request(subject, body.into()).await.expect("a reply");
        let reply: Value = serde_json::from_slice(&reply.payload).expect("JSON");
        assert_eq!(reply["result"], "error", "{reply}");
        assert!(reply["message"].is_string(), "{reply}");
    }
}
