//! The permissions of calls: links, claims, and the texts of refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use exosuit_core::{Code, Grants, Identity, Link, Notice, Origin, Target};
use exosuit_router::{Clock, Options};

use crate::support::*;

#[tokio::test]
async fn a_provider_is_reached_with_link_and_claim() {
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    let provider = world.provide("kv", KEYVALUE).await;
    let put = world.router.put_link(link("counter", "kv", KEYVALUE)).await;
    assert_eq!(put, Ok(()));

    let answer = world.call(import("counter", KEYVALUE)).await;
    assert_eq!(answer.as_deref(), Ok(&b"payload"[..]));
    assert_eq!(provider.log(), ["link counter", "invoke counter"]);
    assert!(world.notices.take().is_empty());
}

#[tokio::test]
async fn a_refusal_names_the_missing_link() {
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    let provider = world.provide("kv", KEYVALUE).await;

    let error = world.call(import("counter", KEYVALUE)).await;
    let error = error.expect_err("there is no link");
    assert_eq!(error.code, Code::MissingLink);
    let words =
        "Invocation not authorized: missing link definition for wasmcloud:keyvalue on default";
    assert!(error.detail.contains(words), "{error}");
    assert!(error.detail.contains("actor counter"), "{error}");
    assert!(!error.detail.contains("claims"), "{error}");
    assert!(provider.log().is_empty());
    assert_eq!(world.notices.failures(), [Code::MissingLink]);
}

#[tokio::test]
async fn a_refusal_names_the_missing_claim() {
    let world = World::new();
    world.provide("kv", KEYVALUE).await;
    let put = world.router.put_link(link("counter", "kv", KEYVALUE)).await;
    assert_eq!(put, Ok(()), "the claims are not known yet");
    world.run("counter", identity(&[HTTP]), Arc::new(Says("")));
    assert_eq!(world.notices.refused_links(), [Code::MissingClaim]);

    let error = world.call(import("counter", KEYVALUE)).await;
    let error = error.expect_err("there is no claim");
    assert_eq!(error.code, Code::MissingClaim);
    let words = "Invocation not authorized: missing capability claim for wasmcloud:keyvalue";
    assert!(error.detail.contains(words), "{error}");
    assert!(error.detail.contains("actor counter"), "{error}");
}

#[tokio::test]
async fn a_missing_link_and_claim_are_both_told() {
    let world = World::new();
    world.run("counter", identity(&[]), Arc::new(Says("")));
    let error = world.call(import("counter", KEYVALUE)).await;
    let error = error.expect_err("there is neither");
    assert_eq!(error.code, Code::MissingLink);
    assert!(error.detail.contains("claims do not name it"), "{error}");
}

#[tokio::test]
async fn links_are_the_grant_of_an_unsigned_actor() {
    let world = World::new();
    let unsigned = Identity {
        grants: Grants::Links,
        ..identity(&[])
    };
    world.run("counter", unsigned, Arc::new(Says("")));
    world.provide("kv", KEYVALUE).await;
    let refused = world.call(import("counter", KEYVALUE)).await;
    assert_eq!(code(refused), Some(Code::MissingLink));
    let put = world.router.put_link(link("counter", "kv", KEYVALUE)).await;
    assert_eq!(put, Ok(()));
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
}

#[tokio::test]
async fn a_link_counts_under_its_own_name_contract_and_source() -> Result<(), exosuit_core::Error> {
    let world = World::new();
    let claims = identity(&[KEYVALUE, "wasmcloud:blobstore"]);
    world.run("counter", claims.clone(), Arc::new(Says("")));
    world.run("thief", claims, Arc::new(Says("")));
    world.provide("kv", KEYVALUE).await;
    let backup = Link {
        name: link_name("backup"),
        ..link("counter", "kv", KEYVALUE)
    };
    world.router.put_link(backup).await?;

    let through = |caller, what: &str, name: &str| {
        let (namespace, link) = (what.to_owned(), name.to_owned());
        let target = Target::Import { namespace, link };
        world.call(call(Origin::Actor(id(caller)), target))
    };
    assert!(through("counter", KEYVALUE, "backup").await.is_ok());
    for (caller, what, name) in [
        ("counter", KEYVALUE, "default"),
        ("counter", "wasmcloud:blobstore", "backup"),
        ("thief", KEYVALUE, "backup"),
    ] {
        let refused = through(caller, what, name).await;
        assert_eq!(
            code(refused),
            Some(Code::MissingLink),
            "{caller} {what} {name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_link_of_interfaces_covers_those_alone() -> Result<(), exosuit_core::Error> {
    let world = World::new();
    world.run("counter", identity(&["wasi:keyvalue"]), Arc::new(Says("")));
    let store = world.provide("store", "wasi:keyvalue").await;
    let atomics = world.provide("atomics", "wasi:keyvalue").await;
    for interface in ["store", "atomics"] {
        let link = Link {
            interfaces: vec![interface.into()],
            ..link("counter", interface, "wasi:keyvalue")
        };
        world.router.put_link(link).await?;
    }
    let call = |operation: &str| {
        let mut call = import("counter", "wasi:keyvalue");
        call.operation = operation.into();
        world.call(call)
    };
    assert!(call("wasi:keyvalue/store@0.2.0-draft#open").await.is_ok());
    assert!(call("wasi:keyvalue/atomics#increment").await.is_ok());
    assert_eq!(store.log(), ["link counter", "invoke counter"]);
    assert_eq!(atomics.log(), ["link counter", "invoke counter"]);

    for operation in [
        "wasi:keyvalue/batch#get",
        "KeyValue.Get",
        "a:b/store#open",
        "store",
    ] {
        assert_eq!(
            code(call(operation).await),
            Some(Code::MissingLink),
            "{operation}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_calls_the_actors_it_is_linked_with() -> Result<(), exosuit_core::Error> {
    let world = World::new();
    world.provide("http", HTTP).await;
    for name in ["old", "new", "apart"] {
        world.run(name, identity(&[HTTP]), Arc::new(Says("served")));
    }
    world.router.put_link(link("old", "http", HTTP)).await?;
    world.router.put_link(link("http", "new", HTTP)).await?;

    for actor in ["old", "new"] {
        let answer = world.call(from_provider("http", HTTP, actor)).await;
        assert_eq!(answer.as_deref(), Ok(&b"served"[..]), "{actor}");
    }
    for (provider, what, actor) in [
        ("http", HTTP, "apart"),
        ("http", KEYVALUE, "old"),
        ("other", HTTP, "old"),
    ] {
        let refused = world.call(from_provider(provider, what, actor)).await;
        assert_eq!(
            code(refused),
            Some(Code::MissingLink),
            "{provider} {what} {actor}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_does_not_call_an_actor_whose_claims_lack_the_contract() {
    let world = World::new();
    world.provide("http", HTTP).await;
    let put = world.router.put_link(link("site", "http", HTTP)).await;
    assert_eq!(put, Ok(()));
    world.run("site", identity(&[KEYVALUE]), Arc::new(Says("served")));

    let refused = world.call(from_provider("http", HTTP, "site")).await;
    assert_eq!(code(refused), Some(Code::MissingClaim));
}

#[tokio::test]
async fn a_builtin_needs_a_claim_and_no_link() {
    const LOGGING: &str = "wasmcloud:builtin:logging";
    let world = World::new();
    let logging = Provider::new(LOGGING);
    world.router.set_builtin(contract(LOGGING), logging.clone());
    world.run("loud", identity(&[LOGGING]), Arc::new(Says("")));
    world.run("mute", identity(&[]), Arc::new(Says("")));

    assert!(world.call(import("loud", LOGGING)).await.is_ok());
    let refused = world.call(import("mute", LOGGING)).await;
    assert_eq!(code(refused), Some(Code::MissingClaim));
    assert_eq!(logging.log(), ["invoke"]);
    let unknown = world.call(import("loud", "wasmcloud:builtin:magic")).await;
    assert_eq!(code(unknown), Some(Code::MissingLink));
}

#[tokio::test]
async fn a_call_of_an_actor_that_is_unknown_here_is_refused() {
    let world = World::new();
    world.run("echo", identity(&[]), Arc::new(Says("echo")));
    world.specify("unborn", limits(1, 1));
    for caller in ["ghost", "unborn"] {
        let refused = world.call(import(caller, "echo")).await;
        assert_eq!(code(refused), Some(Code::MissingClaim), "{caller}");
    }
}

#[tokio::test]
async fn expired_claims_stop_calls_from_and_to_the_actor() {
    let now = Arc::new(AtomicU64::new(1_000));
    let clock = {
        let now = Arc::clone(&now);
        let time = move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst));
        Clock::new(move || -> SystemTime { time() })
    };
    let world = World::with(Options {
        clock,
        ..Options::default()
    });
    let until = Identity {
        expires_at: Some(2_000),
        ..identity(&[])
    };
    world.run("old", until, Arc::new(Says("old")));
    world.run("other", identity(&[]), Arc::new(Says("other")));

    now.store(1_999, Ordering::SeqCst);
    assert!(world.call(from_host("old")).await.is_ok());
    assert!(world.call(import("old", "other")).await.is_ok());
    now.store(2_000, Ordering::SeqCst);
    for call in [
        from_host("old"),
        import("old", "other"),
        import("other", "old"),
    ] {
        assert_eq!(code(world.call(call).await), Some(Code::ExpiredClaims));
        assert_eq!(
            world.notices.failures(),
            [Code::ExpiredClaims],
            "one for each"
        );
    }
    assert!(world.call(from_host("other")).await.is_ok());
}

#[tokio::test]
async fn calls_are_nested_so_deep_and_no_deeper() {
    let world = World::with(Options {
        max_depth: 3,
        ..Options::default()
    });
    let itself = PassesOn {
        router: world.router.clone(),
        me: "loop",
        to: Target::Actor("loop".into()),
    };
    world.run("loop", identity(&[]), Arc::new(itself));

    let endless = world.call(from_host("loop")).await;
    assert_eq!(code(endless), Some(Code::Depth));
    // Where it was refused, and to whom it was told; not at each step between.
    assert_eq!(world.notices.failures(), [Code::Depth, Code::Depth]);
}

#[tokio::test]
async fn a_failure_is_observed_where_the_call_came_in() {
    let world = World::new();
    world.run("broken", identity(&[]), Arc::new(Fails(Code::Trap)));
    world.run("caller", identity(&[]), Arc::new(Says("")));

    let failed = world.call(from_host("broken")).await;
    assert_eq!(code(failed), Some(Code::Trap));
    let [
        Notice::CallFailed {
            origin,
            target,
            operation,
            error,
        },
    ] = &world.notices.take()[..]
    else {
        panic!("expected one notice");
    };
    assert_eq!((origin, error.code), (&Origin::Host, Code::Trap));
    assert_eq!((&**target, &**operation), ("broken", "KeyValue.Get"));

    let within = world.call(nested(import("caller", "broken"))).await;
    assert_eq!(code(within), Some(Code::Trap));
    assert!(world.notices.take().is_empty(), "it failed to its caller");
}

#[tokio::test]
async fn long_and_strange_names_of_a_guest_are_cut_and_escaped() {
    let world = World::new();
    world.run("guest", identity(&[]), Arc::new(Says("")));
    let strange = format!("\u{1b}[2J\n{}", "ä".repeat(10_000));
    let error = world.call(import("guest", &strange)).await;
    let error = error.expect_err("nobody is called so");
    assert!(error.detail.len() < 500 && !error.detail.contains(['\n', '\u{1b}']));
    let [Notice::CallFailed { target, .. }] = &world.notices.take()[..] else {
        panic!("expected one notice");
    };
    assert!(target.len() < 500 && !target.contains('\n'));
}
