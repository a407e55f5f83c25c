//! The command line accepts only valid numbers, names and references, and ignores no argument.

mod common;

use common::{Answer, Workshop, answer, exosuit, run};

/// With a lattice in the environment, at an address where nobody listens.
fn beside_a_lattice(arguments: &[&str]) -> anyhow::Result<Answer> {
    let mut command = exosuit(arguments.iter().copied());
    answer(command.env("EXOSUIT_LATTICE", "nats://127.0.0.1:1"))
}

#[test]
fn an_image_in_a_registry_is_no_path() -> anyhow::Result<()> {
    for verb in [&["actor", "start"][..], &["actor", "update", "echo"]] {
        let refused = run(verb.iter().copied().chain(["ghcr.io/acme/hello.wasm"]))?;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        for said in [
            "names an image in a registry, and registries are not supported yet",
            "write \"./ghcr.io/acme/hello.wasm\"",
        ] {
            assert!(refused.stderr.contains(said), "{}", refused.stderr);
        }
        // These are files: what is missing is the host.
        for path in [
            "./hello.wasm",
            "/x/hello.wasm",
            "file:///x/hello.wasm",
            "hello.wasm",
        ] {
            let refused = run(verb.iter().copied().chain([path]))?;
            assert!(
                refused.stderr.contains("no host runs at"),
                "{path}: {}",
                refused.stderr
            );
        }
        let refused = run(verb.iter().copied().chain(["wasmcloud+builtin://keyvalue"]))?;
        assert!(
            refused.stderr.contains("which is a provider"),
            "{}",
            refused.stderr
        );
    }
    Ok(())
}

#[test]
fn numbers_and_names_are_refused_with_what_would_be_right() -> anyhow::Result<()> {
    let wrong: [(&[&str], &str); 6] = [
        (&["actor", "scale", "a", "4294967295"], "100000"),
        (&["actor", "scale", "a", "0"], "1..=100000"),
        (
            &["actor", "start", "a.wasm", "--instances", "100001"],
            "1..=100000",
        ),
        (&["call", "a", "op", "--timeout", "25h"], "at most 24h"),
        (
            &["link", "put", "a", "b", "keyvalue"],
            "expected namespace:package",
        ),
        (&["link", "del", "a", "a::b"], "expected namespace:package"),
    ];
    for (arguments, said) in wrong {
        let refused = run(arguments.iter().copied())?;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    Ok(())
}

#[test]
fn an_application_goes_to_the_lattice_of_the_environment_or_to_the_host_that_is_named()
-> anyhow::Result<()> {
    let shop = Workshop::new()?;
    std::fs::write(shop.path("app.yaml"), "")?;
    let data_dir = shop.path("none");
    let data_dir = data_dir.to_str().expect("a path in UTF-8");
    for command in [["apply", "app.yaml"], ["delete", "app"]] {
        let arguments = [&command[..], &["--data-dir", data_dir]].concat();
        let refused = beside_a_lattice(&arguments)?;
        assert!(
            refused.stderr.contains("no host runs at"),
            "{}",
            refused.stderr
        );
        let refused = beside_a_lattice(&command)?;
        assert!(
            refused.stderr.contains("no NATS server can be reached"),
            "{}",
            refused.stderr
        );
    }
    Ok(())
}

#[test]
fn nothing_that_was_said_is_passed_over() -> anyhow::Result<()> {
    let seed = "SCAC4FMBTNB6HHZ4LOZ5PUYZ6ATCWAZDYGVXSJGCRC5PQGN3ELC5PEJ5YY";
    let of_no_use: [(&[&str], &str); 2] = [
        (&["hosts", "--wait", "5s"], "--wait needs a lattice"),
        (&["inventory", "--host", "a"], "--host needs a lattice"),
    ];
    for (arguments, said) in of_no_use {
        let refused = run(arguments.iter().copied())?;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    let refused = run(["call", "a", "op", "--cluster-seed", seed])?;
    assert!(!refused.stderr.contains(seed), "{}", refused.stderr);
    Ok(())
}

#[test]
fn up_needs_a_manifest_or_a_lattice_which_the_environment_may_name() -> anyhow::Result<()> {
    let refused = run(["up"])?;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("name a MANIFEST, or a lattice"),
        "{}",
        refused.stderr
    );
    for variable in ["EXOSUIT_LATTICE", "WASMCLOUD_NATS_HOST"] {
        let mut command = exosuit(["up"]);
        let refused = answer(command.env(variable, "127.0.0.1"))?;
        assert!(
            refused.stderr.contains("a host needs its VM"),
            "{}",
            refused.stderr
        );
    }
    Ok(())
}

#[test]
fn the_help_of_up_lists_the_environment() -> anyhow::Result<()> {
    let help = run(["up", "--help"])?;
    for said in [
        "EXOSUIT_CLUSTER_SEED",
        "WASMCLOUD_NATS_HOST",
        "HOST_<NAME>",
        "arguments take precedence",
    ] {
        assert!(help.stdout.contains(said), "{}", help.stdout);
    }
    Ok(())
}
