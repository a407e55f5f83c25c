//! Good manifests, old and new, and what they come to.

mod common;

use common::{fixture, good, good_at, parse, with};
use exosuit_manifest::{Image, Manifest, Part, ScalerKind};
use serde_json::{Value, json};

/// A manifest as programs see it, without positions.
fn shape(manifest: &Manifest) -> Value {
    fn strip(value: &mut Value) {
        if let Value::Object(map) = value {
            map.retain(|key, _| !key.contains("place"));
            map.values_mut().for_each(strip);
        } else if let Value::Array(list) = value {
            list.iter_mut().for_each(strip);
        }
    }
    let mut shape = serde_json::to_value(manifest).expect("a manifest serialises");
    strip(&mut shape);
    shape
}

#[test]
fn the_examples_have_no_mistake_and_no_warning() {
    for name in [
        "counter/app",
        "counter/app-component",
        "pingpong/app",
        "embed/priv/app",
    ] {
        good_at("examples", name);
    }
}

#[test]
fn the_counter_as_a_wasmbus_actor() {
    let shape = shape(&good("counter"));

    assert_eq!(shape["name"], "counter");
    assert_eq!(shape["version"], "v0.1.0");
    let actor = &shape["components"][0];
    assert_eq!(actor["id"], "counter-counter");
    assert_eq!(
        actor["image"],
        json!({"kind": "file", "value": "/apps/counter_s.wasm"})
    );
    assert_eq!(actor["max_instances"], 10);
    let keyvalue = &shape["providers"][1];
    assert_eq!(
        keyvalue["image"],
        json!({"kind": "builtin", "value": "keyvalue"})
    );
    assert_eq!(keyvalue["config"], json!({"backend": "file"}));
    let link = |package, target, config| {
        json!({
            "source": "counter-counter",
            "target": target,
            "name": "default",
            "contract": format!("wasmcloud:{package}"),
            "namespace": "wasmcloud",
            "package": package,
            "interfaces": [],
            "source_config": {},
            "source_parts": [],
            "target_config": config,
            "target_parts": [],
        })
    };
    let address = json!({"address": "127.0.0.1:8080"});
    assert_eq!(
        shape["links"],
        json!([
            link("httpserver", "counter-httpserver", address),
            link("keyvalue", "counter-keyvalue", json!({}))
        ])
    );
}

#[test]
fn a_link_on_a_capability_leads_from_it_to_the_component() {
    let manifest = good("counter-component");

    let to_store = &manifest.links[0];
    assert_eq!(to_store.source.as_str(), "counter-counter");
    assert_eq!(to_store.target.as_str(), "counter-keyvalue");
    assert_eq!(to_store.contract.as_str(), "wasi:keyvalue");
    assert_eq!(to_store.interfaces, ["store", "atomics"]);
    let link = &manifest.links[1];
    assert_eq!(link.source.as_str(), "counter-httpserver");
    assert_eq!(link.target.as_str(), "counter-counter");
    assert_eq!(link.contract.as_str(), "wasi:http");
    assert_eq!(link.interfaces, ["incoming-handler"]);
    assert_eq!(link.source_config["address"], "127.0.0.1:8080");
    assert!(link.target_config.is_empty());
}

#[test]
fn components_are_joined_to_each_other_and_to_several_providers_of_one_package() {
    let text = with(
        "{name: b, type: component, properties: {image: b.wasm}, traits: [
          {type: link, properties: {namespace: exosuit, package: test, interfaces: [calc],
            target: {name: first}}},
          {type: link, properties: {namespace: wasi, package: keyvalue, interfaces: [store],
            target: {name: kv}}},
          {type: link, properties: {namespace: wasi, package: keyvalue, interfaces: [atomics],
            target: {name: other}}}]}
    - {name: kv, type: capability, properties: {image: wasmcloud+builtin://keyvalue}}
    - {name: other, type: capability, properties: {image: wasmcloud+builtin://keyvalue}}",
    );
    let parsed = parse(&text).expect("a good manifest");

    let links = parsed.manifest.links.iter().map(|link| {
        let interfaces = link.interfaces.join(" ");
        format!(
            "{} → {}: {}/{interfaces}",
            link.source, link.target, link.contract
        )
    });
    assert_eq!(
        links.collect::<Vec<_>>(),
        [
            "app-b → app-first: exosuit:test/calc",
            "app-b → app-kv: wasi:keyvalue/store",
            "app-b → app-other: wasi:keyvalue/atomics",
        ]
    );
}

#[test]
fn what_is_set_for_an_end_of_a_link_is_the_providers_to_judge() {
    let settings = "{address: '127.0.0.1:8080', path: /counter, host: a.example, \
                    routing_mode: host, default_address: '127.0.0.1:80', new_one: true}";
    let text = with(&format!(
        "{{name: http, type: capability, properties: {{image: wasmcloud+builtin://http-server, \
         config: [{{name: all, properties: {{default_address: '127.0.0.1:80'}}}}]}}, traits: [\
         {{type: link, properties: {{namespace: wasi, package: http, \
         interfaces: [incoming-handler], target: {{name: first}}, \
         source: {{config: [{{name: route, properties: {settings}}}]}}}}}}]}}"
    ));
    let parsed = parse(&text).expect("a good manifest");

    // What it does not know is named, and handed over all the same.
    let [warning] = &parsed.warnings[..] else {
        panic!("{:?}", parsed.warnings);
    };
    assert!(warning.message.contains("new_one"), "{warning}");
    let link = &parsed.manifest.links[0];
    assert_eq!(link.source_config.len(), 6);
    assert_eq!(link.source_config["path"], "/counter");
    assert_eq!(
        parsed.manifest.providers[0].config["default_address"],
        "127.0.0.1:80"
    );
}

#[test]
fn the_old_form_and_the_new_form_mean_the_same() {
    let (mut old, new) = (good("old"), good("new"));

    // Only the old form says what a provider implements, and names the links on their provider.
    let server = &mut old.providers[0];
    assert_eq!(
        server.contract.take().map(|contract| contract.to_string()),
        Some("wasmcloud:httpserver".to_owned())
    );
    assert_eq!(
        std::mem::take(&mut server.link_name).as_str(),
        old.links[0].name.as_str()
    );
    assert_eq!(shape(&old), shape(&new));
}

#[test]
fn later_parts_of_a_configuration_win() {
    let link = &good("new").links[0];
    assert_eq!(link.target_config["address"], "0.0.0.0:8080");
    assert_eq!(link.target_config["readonly_mode"], "false");
}

#[test]
fn a_part_without_properties_is_stored_elsewhere() {
    let text = with(
        "{name: b, type: component, properties: {image: b.wasm, config: [\
         {name: base, properties: {level: info}}, {name: db}, \
         {name: more, properties: {level: debug}}]}}",
    );
    let parsed = parse(&text).expect("a good manifest").manifest;
    let actor = &parsed.components[parsed.components.len() - 1];
    assert_eq!(actor.config["level"], "debug");
    let [
        Part::Given(base),
        Part::Stored { name, .. },
        Part::Given(more),
    ] = &*actor.config_parts
    else {
        panic!("three parts in their order, not {:?}", actor.config_parts);
    };
    assert_eq!(
        (&*base["level"], &**name, &*more["level"]),
        ("info", "db", "debug")
    );

    let whole = &good("new").links[0];
    assert!(whole.target_parts.is_empty());
    let bad =
        with("{name: b, type: component, properties: {image: b.wasm, config: [{name: a b}]}}");
    let text = parse(&bad).expect_err("a bad name")[0].to_string();
    assert!(
        text.contains("expected the name of a stored configuration"),
        "{text}"
    );
}

#[test]
fn the_links_of_early_1_x_are_read() {
    let manifest = good("transitional");

    let actor = &manifest.components[0];
    assert_eq!(actor.image, Image::File("/opt/hello.wasm".to_owned()));
    assert_eq!(actor.config["times"], "3");
    let link = &manifest.links[0];
    assert_eq!(link.target, actor.id);
    assert_eq!(link.source_config["address"], "127.0.0.1:8081");
    assert_eq!(manifest.providers[0].scaler, ScalerKind::Daemon);
    assert_eq!(
        manifest.providers[1].image,
        Image::Module("MyApp.Clock".to_owned())
    );
}

#[test]
fn the_trait_exosuit_sets_what_only_exosuit_knows() {
    let shape = shape(&good("settings"));

    assert_eq!(
        shape["components"][0]["settings"],
        json!({
            "limits": {
                "memory": 64 << 20,
                "table": 10_000,
                "queue": 0,
                "log": 1_000,
                "deadline": 90_000,
                "resource_idle": 600_000,
            },
            "instances": {"kind": "warm", "pool": 4, "calls": 1_000, "idle_ms": 30_000},
            "execution": "async",
            "grants": {
                "arguments": ["--verbose"],
                "environment": {"RUST_LOG": "debug", "WORKERS": "2"},
                "directories": [
                    {"host": "/apps/data", "guest": "/data", "access": "read"},
                    {"host": "/var/cache/app", "guest": "/cache", "access": "write"},
                ],
            },
        })
    );
    assert_eq!(
        shape["components"][1]["settings"]["instances"],
        json!({"kind": "warm", "pool": null, "calls": null, "idle_ms": null})
    );
    assert_eq!(shape["components"][0]["annotations"]["team"], "core");
    assert_eq!(shape["providers"][0]["annotations"]["team"], "time");
}

#[test]
fn what_is_not_given_is_left_to_the_host() {
    let actor = &good("transitional").components[0];
    assert_eq!(actor.max_instances, None);
    assert_eq!(actor.settings, exosuit_manifest::ActorSettings::default());
}

#[test]
fn a_manifest_may_be_json() -> anyhow::Result<()> {
    let json = json!({
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": {"name": "app"},
        "spec": {"components": [
            {"name": "a", "type": "component", "properties": {"image": "a.wasm"}}
        ]},
    });
    let text = serde_json::to_string_pretty(&json)?.replace("  ", "\t");
    let parsed = parse(&text).expect("a good manifest");
    assert_eq!(parsed.manifest.components[0].id.as_str(), "app-a");
    Ok(())
}

#[test]
fn an_anchor_is_read_where_its_aliases_stand() {
    let text = fixture("counter")
        .replace("namespace: wasmcloud", "namespace: &space wasmcloud")
        .replacen("namespace: &space wasmcloud", "namespace: wasmcloud", 1)
        .replace("package: keyvalue", "package: *space");
    let parsed = parse(&text).expect("a good manifest");
    let contract = &parsed.manifest.links[1].contract;
    assert_eq!(contract.as_str(), "wasmcloud:wasmcloud");
}

#[test]
fn the_contract_of_an_old_link_comes_from_its_target() {
    let text = with(
        "{name: b, type: actor, properties: {image: b.wasm}, \
         traits: [{type: linkdef, properties: {target: log}}]}\n    \
         - {name: log, type: capability, properties: {image: x.par.gz, contract: 'a:builtin:b'}}",
    );
    let parsed = parse(&text).expect("a good manifest");
    let contract = &parsed.manifest.links[0].contract;
    assert_eq!(
        (contract.namespace(), contract.package()),
        ("a", "builtin:b")
    );
}

#[test]
fn a_link_may_name_an_interface_twice() {
    let text = with(
        "{name: b, type: component, properties: {image: b.wasm}, traits: [{type: link, \
         properties: {namespace: a, package: b, interfaces: [c, c], target: first}}]}",
    );
    assert!(parse(&text).is_ok());
}

#[test]
fn the_examples_are_good_for_a_host_with_the_builtins() -> anyhow::Result<()> {
    for example in ["counter/app", "counter/app-component", "pingpong/app"] {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
        let text = std::fs::read_to_string(format!("{directory}/{example}.yaml"))?;
        let parsed = parse(&text).expect("a good manifest");
        assert_eq!(parsed.warnings, [], "{example}");
        let refusals = (parsed.manifest).unsupported(Some(&[]));
        assert_eq!(refusals, [], "{example}");
    }
    Ok(())
}
