//! Bad manifests: every mistake at once, each with its place.

mod common;

use common::{bad, fixture, good, mistake, parse, with};
use exosuit_manifest::{Code, Diagnostic, Severity, Source};
use serde_json::json;

/// Line, column, code and path: what a test can say without repeating every text.
fn places(diagnostics: &[Diagnostic]) -> Vec<(usize, usize, &str, &str)> {
    diagnostics
        .iter()
        .map(|d| (d.line, d.column, d.code.as_str(), d.path.as_str()))
        .collect()
}

fn lines(range: std::ops::Range<u32>, line: impl Fn(u32) -> String) -> String {
    range.map(line).collect::<Vec<_>>().concat()
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let diagnostics = bad(&fixture("broken"));

    let [a, b, c, d] = [0, 1, 2, 3].map(|index| format!("spec.components[{index}]"));
    let at = |component: &str, path: &str| format!("{component}.{path}");
    let link = at(&a, "traits[1].properties.target");
    let expected = [
        (2, 7, "invalid_value", "kind".to_owned()),
        (4, 9, "invalid_value", "metadata.name".to_owned()),
        (
            6,
            14,
            "invalid_value",
            "metadata.annotations.version".to_owned(),
        ),
        (10, 13, "invalid_value", at(&a, "type")),
        (12, 9, "missing", at(&a, "properties.image")),
        (12, 9, "unknown_field", at(&a, "properties.imgae")),
        (
            16,
            24,
            "wrong_type",
            at(&a, "traits[0].properties.instances"),
        ),
        (17, 23, "duplicate", at(&a, "traits[0].properties.replicas")),
        (23, 21, "unknown_target", at(&link, "name")),
        (25, 19, "missing", at(&link, "config[0].name")),
        (
            26,
            30,
            "wrong_type",
            at(&link, "config[0].properties.address"),
        ),
        (29, 17, "unsupported", at(&link, "secrets")),
        (30, 17, "unknown_trait", at(&a, "traits[2].type")),
        (35, 16, "invalid_value", at(&b, "properties.image")),
        (36, 19, "invalid_value", at(&b, "properties.contract")),
        (40, 21, "wrong_type", at(&b, "traits[0].properties.target")),
        (41, 13, "duplicate", at(&c, "name")),
        (44, 16, "invalid_value", at(&c, "properties.image")),
        (45, 13, "invalid_value", at(&c, "properties.id")),
        (
            50,
            23,
            "invalid_value",
            at(&c, "traits[0].properties.limits.memory"),
        ),
        (
            51,
            24,
            "invalid_value",
            at(&c, "traits[0].properties.execution"),
        ),
        (56, 11, "unsupported", at(&d, "properties.application")),
    ];
    let expected = expected
        .each_ref()
        .map(|(line, column, code, path)| (*line, *column, *code, path.as_str()));
    assert_eq!(places(&diagnostics), expected);

    let warnings = diagnostics.iter().filter(|d| !d.is_error());
    let warnings: Vec<_> = warnings.map(|d| d.code).collect();
    assert_eq!(warnings, [Code::UnknownField, Code::UnknownTrait]);
}

#[test]
fn a_message_says_where_what_would_be_right_and_what_was_found() {
    let texts: Vec<_> = bad(&fixture("broken"))
        .iter()
        .map(ToString::to_string)
        .collect();

    for text in [
        "app.yaml:10:13: spec.components[0].type: expected component, capability or actor; \
         did you mean \"component\"?, found \"componnent\"",
        "app.yaml:12:9: spec.components[0].properties.imgae: unknown field, not read; \
         did you mean \"image\"?",
        "app.yaml:16:24: spec.components[0].traits[0].properties.instances: \
         expected a number of instances from 1 to 100000, found \"many\"",
        "app.yaml:23:21: spec.components[0].traits[1].properties.target.name: expected the name \
         of a component of this manifest; did you mean \"keyvalue\"?, found \"keyvalu\"",
        "app.yaml:29:17: spec.components[0].traits[1].properties.target.secrets: secrets are not \
         supported yet",
        "app.yaml:41:13: spec.components[2].name: expected a name of its own; line 9 has this \
         one, found \"counter\"",
        "app.yaml:56:11: spec.components[3].properties.application: expected image: components \
         of other applications are not supported",
    ] {
        assert!(
            texts.iter().any(|t| t == text),
            "{text}\nis not in\n{texts:#?}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_told_with_their_place() {
    let source = Source {
        file: "app.yaml".to_owned(),
        directory: "/apps".to_owned(),
    };
    let text = |bytes: &[u8]| {
        let diagnostics = exosuit_manifest::decode(bytes, &source).expect_err("not UTF-8");
        diagnostics[0].to_string()
    };
    let expected = "expected UTF-8: save the file as UTF-8, found the byte 0xe9";
    assert_eq!(text(b"\xe9"), format!("app.yaml:1:1: {expected}"));
    let latin_1 = b"kind: Application\n# caf\xc3\xa9 and caf\xe9\n";
    assert_eq!(text(latin_1), format!("app.yaml:2:15: {expected}"));
    assert_eq!(exosuit_manifest::decode("é".as_bytes(), &source), Ok("é"));
}

#[test]
fn numbers_beyond_their_bounds_are_refused_with_the_bound() {
    let scaled = |number: &str| {
        let component = format!(
            "{{name: b, type: component, properties: {{image: b.wasm}}, traits: [\
             {{type: spreadscaler, properties: {{instances: {number}}}}}, {{type: exosuit, \
             properties: {{limits: {{queue: {number}, table: {number}, log: {number}, \
             deadline: {number}, memory: {number}}}, instances: {{warm: {{pool: {number}, \
             calls: {number}, idle: {number}}}}}}}}}]}}"
        );
        bad(&with(&component))
    };
    for extreme in [
        "-1",
        "18446744073709551616",
        "1.5",
        "340282366920938463463374607431768211456",
        "[1]",
    ] {
        let refused = scaled(extreme);
        assert_eq!(refused.len(), 9, "{extreme}: {refused:#?}");
    }
    let refused: Vec<_> = scaled("4294967295")
        .iter()
        .map(ToString::to_string)
        .collect();
    let instances = "expected a number of instances from 1 to 100000, found 4294967295";
    assert!(
        refused.iter().any(|text| text.contains(instances)),
        "{refused:#?}"
    );
}

#[test]
fn programs_read_a_diagnostic_as_a_map() -> anyhow::Result<()> {
    let first = &bad(&fixture("broken"))[0];
    assert_eq!(
        serde_json::to_value(first)?,
        json!({
            "file": "app.yaml",
            "line": 2,
            "column": 7,
            "path": "kind",
            "found": "\"Aplication\"",
            "message": "expected Application",
            "severity": "error",
            "code": "invalid_value",
        })
    );
    Ok(())
}

#[test]
fn links_that_cannot_hold_together_are_refused() {
    let diagnostics = bad(&fixture("conflicts"));
    let trait_of =
        |component, index| format!("spec.components[{component}].traits[{index}].properties");
    let target = format!("{}.target", trait_of(0, 5));
    assert_eq!(
        places(&diagnostics),
        [
            (19, 23, "link_conflict", trait_of(0, 3).as_str()),
            (21, 23, "link_conflict", trait_of(0, 4).as_str()),
            (23, 32, "unknown_target", target.as_str()),
            (24, 7, "duplicate", "spec.components[1]"),
            (35, 23, "unknown_target", trait_of(2, 0).as_str()),
        ]
    );
    assert!(diagnostics[0].message.contains("by line 13"));
}

#[test]
fn unknown_fields_and_traits_only_warn() {
    let text = with(
        "{name: b, type: component, properties: {image: b.wasm, linkname: x}, \
         traits: [{type: custom, properties: {a: 1}}], replicas: 3}",
    );
    let parsed = parse(&text).expect("a good manifest");
    let warnings: Vec<_> = parsed.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(
        warnings,
        [Code::UnknownField, Code::UnknownTrait, Code::UnknownField]
    );
}

#[test]
fn a_number_where_text_belongs_should_be_in_quotes() {
    assert_eq!(
        mistake("{name: 7, type: component, properties: {image: b.wasm}}"),
        "app.yaml:7:14: spec.components[1].name: expected a name of 1 to 255 characters of A-Z, \
         a-z, 0-9, _ and -, in quotes, found 7"
    );
}

#[test]
fn a_field_without_a_value_is_missing_at_its_key() {
    let text = with("name: b\n      type: component\n      properties:\n        image:\n");
    let [only] = bad(&text).try_into().expect("one mistake");
    assert_eq!((only.line, only.column, only.code), (10, 9, Code::Missing));
}

#[test]
fn a_key_stands_once_in_a_map() {
    assert_eq!(
        mistake("{name: b, type: component, type: actor, properties: {image: b.wasm}}"),
        "app.yaml:7:34: spec.components[1]: expected each key once; line 7 has it already, \
         found \"type\""
    );
}

#[test]
fn one_file_holds_one_application() {
    let text = format!("{0}---\n{0}", fixture("counter"));
    let [only] = bad(&text).try_into().expect("one mistake");
    assert_eq!((only.line, only.code), (47, Code::Unsupported));
}

#[test]
fn parts_of_yaml_that_mean_nothing_here_are_refused() {
    for (text, message) in [
        ("", "expected an Application"),
        ("~", "expected an Application"),
        ("[a]", "expected an Application"),
        ("a: [", "expected YAML"),
        ("a: *b", "expected YAML"),
        ("a: &a [*a]", "expected an alias to stand behind"),
        ("[a]: b", "expected a name as key"),
        ("? \n: b", "expected a name as key"),
        ("<<: {kind: Application}", "merge keys"),
        ("kind: !mine Application", "expected a value without a tag"),
        ("kind: !!int 7", "expected a value without a tag"),
        (
            "metadata: !!set {name: a}",
            "expected a value without a tag",
        ),
    ] {
        let diagnostics = bad(text);
        let found = diagnostics.iter().any(|d| d.message.starts_with(message));
        assert!(found, "{text:?}: {diagnostics:#?}");
    }
}

#[test]
fn a_tag_or_quotes_make_text_of_a_number() {
    for name in ["'7'", "!!str 7"] {
        let text = with(&format!(
            "{{name: {name}, type: component, properties: {{image: a}}}}"
        ));
        let parsed = parse(&text).expect("a good manifest");
        assert_eq!(parsed.manifest.components[1].name, "7");
    }
}

#[test]
fn aliases_depth_and_size_are_bounded() {
    for (name, place) in [
        ("billion-laughs", (8, 8)),
        ("deep", (67, 129)),
        ("deep-flow", (1, 70)),
    ] {
        let [only] = bad(&fixture(name)).try_into().expect("one mistake");
        assert_eq!(only.code, Code::TooLarge, "{name}");
        assert_eq!((only.line, only.column), place, "{name}");
    }

    let long = format!("a: {}", "x".repeat(1 << 20));
    assert_eq!(bad(&long)[0].code, Code::TooLarge);
}

#[test]
fn an_alias_of_a_long_text_counts_for_what_readers_copy() {
    let aliases = lines(0..40_000, |n| format!("    k{n}: *a\n"));
    let text = format!(
        "a: &a {}\nmetadata:\n  annotations:\n{aliases}",
        "x".repeat(300_000)
    );
    let [only] = bad(&text).try_into().expect("one mistake");
    assert_eq!(only.code, Code::TooLarge);
}

#[test]
fn aliases_cannot_make_a_tree_deeper_than_written_out() {
    let levels = lines(1..40, |n| format!("k{n}: &k{n} [[*k{}]]\n", n - 1));
    let diagnostics = bad(&format!("k0: &k0 a\n{levels}"));
    assert_eq!(
        diagnostics.last().map(|last| last.code),
        Some(Code::TooLarge)
    );
}

#[test]
fn what_is_listed_is_bounded() {
    let mistakes = lines(0..1_000, |n| format!("          k{n}: []\n"));
    let component = "name: b\n      type: component\n      properties:\n        image: a\n";
    let text = with(&format!("{component}        config:\n{mistakes}"));
    let diagnostics = bad(&text);
    assert_eq!(diagnostics.len(), 101);
    let last = &diagnostics[100];
    assert_eq!(last.code, Code::Truncated);
    assert_eq!(last.message, "900 more of these are not listed");
}

#[test]
fn long_texts_are_cut_in_messages() {
    let long = "x.".repeat(1_000);
    let text = mistake(&format!(
        "{{name: {long}, type: component, properties: {{image: b.wasm}}}}"
    ));
    assert!(text.len() < 250, "{text}");
}

#[test]
fn what_a_host_cannot_honour_is_told_with_its_place() {
    let refusals = good("elsewhere").unsupported(Some(&["MyApp.Time"]));

    let texts: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "app.yaml:11:16: spec.components[0].properties.image: \
             \"ghcr.io/example/remote:0.1.0\" names an image in a registry, and registries are \
             not supported yet",
            "app.yaml:27:16: spec.components[1].properties.image: expected a built-in provider \
             (http-client, http-server, keyvalue, messaging, messaging-nats); did you mean \"http-server\"?, found \"http-serve\"",
            "app.yaml:35:16: spec.components[2].properties.image: expected a module among the \
             host's providers (MyApp.Time), found \"MyApp.Clock\"",
            "app.yaml:39:16: spec.components[3].properties.image: expected a built-in provider \
             or a module: providers from a file are not supported yet, found \
             \"/apps/archive.par.gz\"",
        ]
    );
    assert!(refusals.iter().all(|r| r.severity == Severity::Error));
    assert!(refusals.iter().all(|r| r.code == Code::NotHere));
}

#[test]
fn settings_that_no_host_honours_yet_are_told_not_passed_over() {
    let refusals = good("settings").unsupported(Some(&["MyApp.Clock"]));

    let execution = "spec.components[0].traits[0].properties.execution";
    assert_eq!(places(&refusals), [(29, 24, "not_here", execution)]);
    assert!(refusals[0].message.contains("a choice of each call"));

    let configured = good("transitional");
    let refusals = configured.unsupported(Some(&["MyApp.Clock"]));
    assert_eq!(refusals, []);
}

/// A small manifest with these settings of the trait `exosuit`.
fn settings(settings: &str) -> String {
    format!(
        "{{name: b, type: component, properties: {{image: b.wasm}}, \
         traits: [{{type: exosuit, properties: {settings}}}]}}"
    )
}

#[test]
fn a_grant_that_is_not_understood_says_what_would_be_right() {
    let at = "spec.components[1].traits[0].properties.grants";
    for (grants, path, message) in [
        ("[a]", "", "expected a map of grants, found a list"),
        (
            "{arguments: -v}",
            ".arguments",
            "expected a list of texts, found \"-v\"",
        ),
        (
            "{arguments: [[a]]}",
            ".arguments[0]",
            "expected a text without zero bytes, found a list",
        ),
        (
            "{arguments: [\"a\\0b\"]}",
            ".arguments[0]",
            "expected a text without zero bytes, found \"a\\0b\"",
        ),
        (
            "{environment: [A=1]}",
            ".environment",
            "expected a map of environment variables, found a list",
        ),
        (
            "{environment: {A: [1]}}",
            ".environment.A",
            "expected text, a number or a boolean, found a list",
        ),
        (
            "{environment: {'A=B': secret}}",
            ".environment[\"A=B\"]",
            "expected a name without = and zero bytes, and a value without zero bytes",
        ),
        (
            "{environment: {A: \"secret\\0\"}}",
            ".environment.A",
            "expected a name without = and zero bytes, and a value without zero bytes",
        ),
        (
            "{directories: {host: a, guest: /a}}",
            ".directories",
            "expected a list of directories, found a map",
        ),
        (
            "{directories: [{guest: /a}]}",
            ".directories[0].host",
            "expected the path of a directory, such as ./data, found nothing",
        ),
        (
            "{directories: [{host: a}]}",
            ".directories[0].guest",
            "expected a path from the root without . and .., such as /data, found nothing",
        ),
        (
            "{directories: [{host: a, guest: a}]}",
            ".directories[0].guest",
            "expected a path from the root without . and .., such as /data, found \"a\"",
        ),
        (
            "{directories: [{host: a, guest: /a/../b}]}",
            ".directories[0].guest",
            "expected a path from the root without . and .., such as /data, found \"/a/../b\"",
        ),
        (
            "{directories: [{host: a, guest: /a, access: wirte}]}",
            ".directories[0].access",
            "expected read or write; did you mean \"write\"?, found \"wirte\"",
        ),
        (
            "{directories: [{host: a, guest: /a}, {host: b, guest: /a}]}",
            ".directories[1].guest",
            "expected a name of its own; line 7 has this one, found \"/a\"",
        ),
    ] {
        let text = mistake(&settings(&format!("{{grants: {grants}}}")));
        assert!(
            text.ends_with(&format!(": {at}{path}: {message}")),
            "{text}"
        );
    }
}

#[test]
fn directories_are_counted_as_each_call_opens_them() {
    let list: Vec<_> = (0..17)
        .map(|n| format!("{{host: a, guest: /{n}}}"))
        .collect();
    let grants = |count: usize| {
        let directories = list[..count].join(", ");
        settings(&format!("{{grants: {{directories: [{directories}]}}}}"))
    };
    assert!(parse(&with(&grants(16))).is_ok());
    let text = mistake(&grants(17));
    assert!(
        text.ends_with("directories[16]: expected at most 16 directories"),
        "{text}"
    );
}

#[test]
fn a_deadline_is_one_of_the_limits() {
    let parsed = parse(&with(&settings("{limits: {deadline: 2s}}"))).expect("a good manifest");
    let limits = &parsed.manifest.components[1].settings.limits;
    assert_eq!(limits.deadline_ms, Some(2_000));
    for deadline in ["0s", "5", "[]"] {
        let text = mistake(&settings(&format!("{{limits: {{deadline: {deadline}}}}}")));
        let message = "limits.deadline: expected a duration such as 500ms, 30s or 2m";
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn what_a_host_cannot_honour_is_told_together_with_what_is_wrong() {
    let text = fixture("elsewhere").replace("name: keyvalue", "name: key value");
    let source = Source {
        file: "app.yaml".to_owned(),
        directory: "/apps".to_owned(),
    };
    let diagnostics =
        exosuit_manifest::parse_for(&text, &source, Some(&[])).expect_err("a bad manifest");

    let codes: Vec<_> = diagnostics.iter().map(|d| d.code).collect();
    assert!(codes.contains(&Code::NotHere), "{diagnostics:#?}");
    assert_eq!(codes.last(), Some(&Code::InvalidValue));
}

#[test]
fn a_host_that_has_all_of_it_refuses_nothing() {
    let refusals = good("counter").unsupported(Some(&[]));
    assert_eq!(refusals, []);
}

#[test]
fn settings_that_a_built_in_provider_does_not_honour_are_named_with_their_line() {
    let text = "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: app}
spec:
  components:
    - name: counter
      type: component
      properties: {image: counter.wasm}
      traits:
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            target:
              name: store
              config:
                - {name: a, properties: {BUCKT: tenant-a, URL: \"redis://x\"}}
    - name: store
      type: capability
      properties:
        image: wasmcloud+builtin://keyvalue
        config:
          - {name: b, properties: {max_bites: 1m}}
";
    let warnings = parse(text).expect("a good manifest").warnings;
    let found: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        warnings
            .iter()
            .all(|warning| warning.code == Code::NoEffect)
    );
    for (line, part) in [
        ("app.yaml:12:", "did you mean \"bucket\"?"),
        ("app.yaml:12:", "setting URL has no effect here"),
        ("app.yaml:23:", "did you mean \"max_bytes\"?"),
    ] {
        let is_it = |text: &&String| text.starts_with(line) && text.contains(part);
        assert!(
            found.iter().any(|text| is_it(&text)),
            "{line} {part}: {found:#?}"
        );
    }

    // Two tenants would share their data.
    let wrong_end = text.replace("BUCKT: tenant-a, URL: \"redis://x\"", "");
    let wrong_end = wrong_end.replace(
        "            target:\n",
        "            source_config: {bucket: a}\n            target:\n",
    );
    let diagnostics = bad(&wrong_end);
    assert!(
        diagnostics[0]
            .message
            .contains("the provider's end of the link"),
        "{diagnostics:#?}"
    );
}

#[test]
fn a_singleton_cannot_be_on_several_hosts() {
    let of = |kind: &str, image: &str, scaler: &str| {
        format!(
            "{{name: a, type: {kind}, properties: {{image: {image}}}, traits: [{{type: exosuit, \
             properties: {{singleton: true}}}}, {scaler}]}}"
        )
    };
    let daemon = "{type: daemonscaler, properties: {spread: [{name: a}]}}";
    let found = mistake(&of("component", "b.wasm", daemon));
    assert!(found.contains("expected no daemonscaler"), "{found}");

    let three = "{type: spreadscaler, properties: {instances: 3}}";
    let builtin = "wasmcloud+builtin://keyvalue";
    let found = mistake(&of("capability", builtin, three));
    assert!(found.contains("expected instances: 1"), "{found}");
}

#[test]
fn singleton_is_true_or_false() {
    let of = |value: &str| {
        format!(
            "{{name: a, type: component, properties: {{image: b.wasm}}, traits: [{{type: exosuit, \
             properties: {{singleton: {value}}}}}]}}"
        )
    };
    for wrong in ["\"true\"", "1", "yes", "[]"] {
        let found = mistake(&of(wrong));
        assert!(found.contains("expected true or false"), "{found}");
    }
}
