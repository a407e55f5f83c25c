//! The host commands against hosts of a lattice, by a real nats-server.

mod common;
#[path = "common/fake_host.rs"]
mod fake_host;
#[path = "../../exosuit_lattice/tests/common/mod.rs"]
mod lattice;

use std::collections::BTreeMap;

use common::{Answer, Workshop, answer, exosuit};
use fake_host::{FakeHosts, Manner, host_id, no};
use lattice::nats::NatsServer;
use serde_json::json;

/// Runs a command against the lattice of this server.
async fn run(server: &NatsServer, arguments: &[&str]) -> Answer {
    run_with(server.url(), arguments, &[]).await
}

async fn run_with(url: String, arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
    let arguments = arguments.iter().copied().chain(["--lattice", &url]);
    let mut command = exosuit(arguments);
    command.envs(environment.iter().copied());
    let running = tokio::task::spawn_blocking(move || answer(&mut command));
    running.await.expect("it ran").expect("an answer")
}

fn ok(answer: &Answer) -> &str {
    assert_eq!(
        (answer.code, answer.stderr.as_str()),
        (Some(0), ""),
        "{answer:?}"
    );
    answer.stdout.trim_end()
}

/// The error, which is on stderr and, with `--json`, on stdout as well.
fn refused(answer: &Answer, code: &str, text: &str) {
    let error = answer.json().expect("JSON");
    assert_eq!(
        (answer.code, &error["code"]),
        (Some(if code == "usage" { 2 } else { 1 }), &json!(code)),
        "{answer:?}"
    );
    assert!(
        answer.stderr.contains(text),
        "{text:?} is not in {}",
        answer.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_with_what_runs_on_them() {
    let server = NatsServer::start().await;
    let hosts = FakeHosts::start(&server, 2, Manner::default()).await;
    let listed = run(&server, &["hosts", "--json"]).await;
    ok(&listed);
    let listed = listed.json().expect("JSON");
    let mut ids = hosts.ids.clone();
    ids.sort();
    let found: Vec<_> = listed["hosts"]
        .as_array()
        .expect("hosts")
        .iter()
        .map(|host| host["host_id"].clone())
        .collect();
    assert_eq!(found, ids);
    let first = listed["hosts"]
        .as_array()
        .expect("hosts")
        .iter()
        .find(|host| host["host_id"] == *hosts.ids[0]);
    assert_eq!(
        first,
        Some(&json!({
            "host_id": hosts.ids[0], "friendly_name": "host-0", "labels": {"zone": "0"}, "uptime_seconds": 61,
            "version": "0.1.0", "actors": 1, "providers": 1, "reachable": true,
        }))
    );

    let table = run(&server, &["hosts"]).await;
    assert!(ok(&table).contains("host-1"), "{}", table.stdout);
    assert!(table.stdout.contains("1m 1s"), "{}", table.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_nothing_more_is_listed_as_not_reachable() {
    let server = NatsServer::start().await;
    let manner = Manner {
        answers: BTreeMap::from([("host.get", no("not now"))]),
        ..Manner::default()
    };
    let _hosts = FakeHosts::start(&server, 1, manner).await;
    let listed = run(&server, &["hosts", "--json"])
        .await
        .json()
        .expect("JSON");
    assert_eq!(listed["hosts"][0]["reachable"], false);
    assert_eq!(listed["hosts"][0]["actors"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_one_host_it_is_meant() {
    let server = NatsServer::start().await;
    let hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    let inventory = run(&server, &["inventory", "--json"]).await;
    ok(&inventory);
    let inventory = inventory.json().expect("JSON");
    assert_eq!(inventory["host_id"], json!(hosts.ids[0]));
    assert_eq!(inventory["lattice"], "default");
    assert_eq!(inventory["actors"][0]["id"], "echo");
    assert_eq!(inventory["actors"][0]["instances"], 2);
    assert_eq!(inventory["actors"][0]["claims"]["revision"], 3);
    assert_eq!(inventory["providers"][0]["id"], "store");
    assert_eq!(inventory["links"][0]["source"], "echo");

    let table = run(&server, &["inventory"]).await;
    assert!(
        ok(&table).contains("wasi:keyvalue/store"),
        "{}",
        table.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_one_must_be_named() {
    let server = NatsServer::start().await;
    let hosts = FakeHosts::start(&server, 2, Manner::default()).await;
    let any = run(&server, &["inventory", "--json"]).await;
    refused(&any, "usage", "there are 2 hosts in lattice default");
    assert!(
        any.stderr.contains(&hosts.ids[0]) && any.stderr.contains("(host-1)"),
        "{}",
        any.stderr
    );

    for name in [hosts.ids[1].as_str(), &hosts.ids[1][..20], "host-1"] {
        let named = run(&server, &["inventory", "--json", "--host", name]).await;
        ok(&named);
        assert_eq!(named.json().expect("JSON")["host_id"], json!(hosts.ids[1]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_told_with_who_is() {
    let server = NatsServer::start().await;
    let nobody = run(&server, &["inventory", "--json"]).await;
    refused(
        &nobody,
        "unavailable",
        "no host answers in lattice default at nats://127.0.0.1",
    );
    let nobody = run(&server, &["link", "list", "--json"]).await;
    refused(&nobody, "unavailable", "--lattice-name");
    let nobody = run(&server, &["inventory", "--json", "--host", &host_id()]).await;
    refused(&nobody, "unavailable", "no host answers");
    let nobody = run(&server, &["hosts", "--json"]).await;
    refused(&nobody, "unavailable", "no host answers");

    let hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    let other = run(&server, &["inventory", "--json", "--host", "elsewhere"]).await;
    refused(
        &other,
        "not_found",
        &format!(
            "no host elsewhere in lattice default at {}: known are {}",
            server.url(),
            hosts.ids[0]
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_named_without_the_password() {
    let mut server = NatsServer::start().await;
    server.stop();
    let url = server.url().replace("nats://", "nats://ann:s3cret@");
    let refusal = run_with(url, &["hosts", "--json"], &[]).await;
    refused(&refusal, "unreachable", &server.url());
    assert!(!refusal.stderr.contains("s3cret"), "{}", refusal.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_as_such() {
    let server = NatsServer::start_with("authorization { user: ann, password: right }").await;
    let url = server.url().replace("nats://", "nats://ann:wrong@");
    let refusal = run_with(url, &["hosts", "--json"], &[]).await;
    refused(&refusal, "unauthorized", "refused the credentials");

    let url = server.url().replace("nats://", "nats://ann:right@");
    let refusal = run_with(url, &["hosts", "--json"], &[]).await;
    refused(&refusal, "unavailable", "no host answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_started_and_its_outcome_awaited() {
    let server = NatsServer::start().await;
    let hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    let more = [
        "--id",
        "new",
        "--instances",
        "7",
        "--config",
        "k=v",
        "--annotation",
        "team=b",
    ];
    let arguments: Vec<_> = ["actor", "start", "/srv/new.wasm"]
        .into_iter()
        .chain(more)
        .collect();
    assert_eq!(ok(&run(&server, &arguments).await), "new");

    let told = hosts.told();
    let [(put, values), (scale, body)] = told.as_slice() else {
        panic!("{told:?}");
    };
    let name = put.strip_prefix("config.put.").expect("a configuration");
    assert_eq!(values, &json!({"k": "v"}));
    assert_eq!(*scale, format!("component.scale.{}", hosts.ids[0]));
    assert_eq!(
        body,
        &json!({
            "component_ref": "file:///srv/new.wasm", "component_id": "new", "host_id": hosts.ids[0],
            "count": 7, "config": [name], "annotations": {"team": "b"}, "allow_update": false,
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_without_an_id_is_called_by_its_key() {
    let shop = Workshop::new().expect("a workshop");
    shop.sign("account", "module", &[]).expect("signed");
    let file = shop.path("out.wasm").display().to_string();
    let server = NatsServer::start().await;
    let _hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    let started = run(&server, &["actor", "start", &file]).await;
    assert_eq!(ok(&started), shop.public_key("module").expect("a key"));

    let unknown = run(
        &server,
        &["actor", "start", "file:///nowhere.wasm", "--json"],
    )
    .await;
    refused(&unknown, "io", "needs an --id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_is_told_later_is_the_failure_of_the_command() {
    let server = NatsServer::start().await;
    let manner = Manner {
        error: Some("files are\u{1b} not read here"),
        ..Manner::default()
    };
    let hosts = FakeHosts::start(&server, 1, manner).await;
    let start = ["actor", "start", "/srv/new.wasm", "--id", "new", "--json"];
    refused(
        &run(&server, &start).await,
        "refused",
        &format!("{}: files are\\u{{1b}} not read here", hosts.ids[0]),
    );
    refused(
        &run(&server, &["actor", "stop", "echo", "--json"]).await,
        "refused",
        "not read here",
    );
    refused(
        &run(
            &server,
            &["actor", "update", "echo", "/srv/b.wasm", "--json"],
        )
        .await,
        "refused",
        "not read here",
    );
    refused(
        &run(&server, &["provider", "start", "keyvalue", "--json"]).await,
        "refused",
        "not read here",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_outcome_one_waits_no_longer_than_one_says() {
    let server = NatsServer::start().await;
    let manner = Manner {
        silent: true,
        ..Manner::default()
    };
    let _hosts = FakeHosts::start(&server, 1, manner).await;
    let stop = ["actor", "stop", "echo", "--json"];
    let stop = |more: &[&'static str]| {
        stop.into_iter()
            .chain(more.iter().copied())
            .collect::<Vec<_>>()
    };
    let waited = run(&server, &stop(&["--wait", "200ms"])).await;
    refused(
        &waited,
        "deadline",
        "did not report its outcome within 200ms",
    );
    ok(&run(&server, &stop(&["--no-wait"])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_refuses_at_once_is_told() {
    let server = NatsServer::start().await;
    let manner = Manner {
        answers: BTreeMap::from([("component", no("no more")), ("link", no("never"))]),
        ..Manner::default()
    };
    let hosts = FakeHosts::start(&server, 1, manner).await;
    refused(
        &run(&server, &["actor", "stop", "echo", "--json"]).await,
        "refused",
        &format!("{}: no more", hosts.ids[0]),
    );
    refused(
        &run(&server, &["link", "list", "--json"]).await,
        "refused",
        "never",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_are_stopped_scaled_and_updated_as_they_are() {
    let server = NatsServer::start().await;
    let hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    let scale = format!("component.scale.{}", hosts.ids[0]);
    ok(&run(&server, &["actor", "stop", "echo"]).await);
    ok(&run(&server, &["actor", "scale", "echo", "9"]).await);
    ok(&run(&server, &["actor", "scale", "echo", "2"]).await);
    ok(&run(&server, &["actor", "update", "echo", "/srv/echo2.wasm"]).await);
    let as_it_is = |count: u32| {
        json!({
            "component_ref": "file:///srv/echo.wasm", "component_id": "echo", "host_id": hosts.ids[0],
            "count": count, "annotations": {}, "allow_update": false,
        })
    };
    let update = json!({
        "component_id": "echo", "new_component_ref": "file:///srv/echo2.wasm", "host_id": hosts.ids[0],
        "annotations": {"team": "a"}, "force": false, "allow_issuer_change": false,
    });
    let expected = [
        (scale.clone(), as_it_is(0)),
        (scale, as_it_is(9)),
        (format!("component.update.{}", hosts.ids[0]), update),
    ];
    assert_eq!(hosts.told(), expected);

    refused(
        &run(&server, &["actor", "stop", "other", "--json"]).await,
        "not_found",
        "no actor \"other\"",
    );
    let taken = ["actor", "start", "/a.wasm", "--id", "store", "--json"];
    refused(
        &run(&server, &taken).await,
        "conflict",
        "has provider \"store\"",
    );
    for (option, field) in [
        ("--force", "force"),
        ("--allow-issuer-change", "allow_issuer_change"),
    ] {
        ok(&run(&server, &["actor", "update", "echo", "/a.wasm", option]).await);
        let told = hosts.told();
        assert_eq!(
            told.last().map(|(_, body)| &body[field]),
            Some(&json!(true)),
            "{option}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_come_and_go() {
    let server = NatsServer::start().await;
    let hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    assert_eq!(
        ok(&run(&server, &["provider", "start", "keyvalue"]).await),
        "keyvalue"
    );
    let module = run(&server, &["provider", "start", "exosuit+module://clock"]).await;
    assert_eq!(ok(&module), "clock");
    ok(&run(&server, &["provider", "stop", "store"]).await);
    let started = |reference: &str, id: &str| {
        let body = json!({
            "provider_ref": reference, "provider_id": id, "host_id": hosts.ids[0], "config": [], "annotations": {},
        });
        (format!("provider.start.{}", hosts.ids[0]), body)
    };
    let stopped = json!({"provider_id": "store", "host_id": hosts.ids[0]});
    let expected = [
        started("wasmcloud+builtin://keyvalue", "keyvalue"),
        started("exosuit+module://clock", "clock"),
        (format!("provider.stop.{}", hosts.ids[0]), stopped),
    ];
    assert_eq!(hosts.told(), expected);
    refused(
        &run(&server, &["provider", "stop", "other", "--json"]).await,
        "not_found",
        "no provider",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_made_and_removed_by_whichever_host_answers() {
    let server = NatsServer::start().await;
    let hosts = FakeHosts::start(&server, 3, Manner::default()).await;
    let put = [
        "link",
        "put",
        "echo",
        "store",
        "wasi:keyvalue",
        "--interface",
        "store",
        "--target-config",
        "bucket=b",
    ];
    assert_eq!(ok(&run(&server, &put).await), "linked");
    assert_eq!(
        ok(&run(&server, &["link", "del", "echo", "wasi:keyvalue"]).await),
        "removed"
    );
    let told = hosts.told();
    let [(config, _), (put, link), (del, key)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!((put.as_str(), del.as_str()), ("link.put", "link.del"));
    let config = config.strip_prefix("config.put.").expect("a configuration");
    assert_eq!(
        link,
        &json!({
            "source_id": "echo", "target": "store", "name": "default", "wit_namespace": "wasi",
            "wit_package": "keyvalue", "interfaces": ["store"], "source_config": [], "target_config": [config],
        })
    );
    assert_eq!(
        key,
        &json!({"source_id": "echo", "name": "default", "wit_namespace": "wasi", "wit_package": "keyvalue"})
    );
    let wrong = run(&server, &["link", "del", "echo", "keyvalue", "--json"]).await;
    refused(&wrong, "usage", "expected namespace:package");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_the_lattice_and_the_command_line_counts_more() {
    let server = NatsServer::start().await;
    let hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    let inventory = |arguments: &'static [&'static str]| {
        let mut command = exosuit(arguments.iter().copied());
        command.env("EXOSUIT_LATTICE", server.url());
        async move {
            let running = tokio::task::spawn_blocking(move || answer(&mut command));
            running.await.expect("it ran").expect("an answer")
        }
    };
    let told = inventory(&["inventory", "--json"])
        .await
        .json()
        .expect("JSON");
    assert_eq!(told["host_id"], json!(hosts.ids[0]));
    let there = inventory(&["inventory", "--json", "--socket", "/nowhere.sock"]).await;
    refused(&there, "missing", "no host runs at /nowhere.sock");
    let other = run_with(
        server.url(),
        &["inventory", "--json"],
        &[("WASMCLOUD_LATTICE_PREFIX", "other")],
    )
    .await;
    refused(&other, "unavailable", "lattice other");
    let wrong = run(&server, &["inventory", "--json", "--lattice-name", "a.b"]).await;
    refused(&wrong, "usage", "--lattice-name");
    let nowhere = [("EXOSUIT_LATTICE_CREDS", "/nowhere.creds")];
    let wrong = run_with(server.url(), &["inventory", "--json"], &nowhere).await;
    refused(&wrong, "invalid_credentials", "/nowhere.creds");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_a_lattice_is_refused_without_one() {
    let alone = common::run(["inventory", "--json", "--host", "N"]).expect("an answer");
    refused(&alone, "usage", "--host needs a lattice");
}
