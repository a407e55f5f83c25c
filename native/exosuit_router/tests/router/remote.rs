//! Calls that come from other hosts.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use exosuit_core::{Code, Error, Identity, Origin, Target};
use exosuit_router::{Clock, Options};

use crate::others::{asking, remote_actor, remote_provider};
use crate::support::*;

#[tokio::test]
async fn a_call_from_elsewhere_goes_no_further() -> Result<(), Error> {
    let world = World::new();
    let others = world.join();
    world.run("counter", identity(&[]), Arc::new(Says("here")));
    for link in [link("caller", "kv", KEYVALUE), link("http", "absent", HTTP)] {
        world.router.put_link(link).await?;
    }
    let absent = || Target::Actor("absent".into());
    for (call, why) in [
        (call(Origin::Host, absent()), Code::UnknownTarget),
        (
            call(remote_actor("caller", None), absent()),
            Code::UnknownTarget,
        ),
        (
            call(remote_actor("caller", None), asking(KEYVALUE)),
            Code::Unavailable,
        ),
        (
            call(remote_provider("http", None, HTTP), absent()),
            Code::UnknownTarget,
        ),
    ] {
        assert_eq!(code(world.call_from_afar(call).await), Some(why));
    }
    assert!(others.is_unused());
    assert_eq!(world.call_from_afar(from_host("counter")).await?, "here");
    Ok(())
}

#[tokio::test]
async fn an_actor_from_elsewhere_calls_actors_by_any_name() -> Result<(), Error> {
    let world = World::new();
    let named = Identity {
        call_alias: Some("greeter".into()),
        ..signed('A', &[])
    };
    world.run("hello", named, Arc::new(Says("hello")));
    for name in ["hello", "greeter", &public_key('A')] {
        for target in [Target::Actor(name.into()), asking(name)] {
            let call = call(remote_actor("caller", None), target);
            assert_eq!(world.call_from_afar(call).await?, "hello");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_actor_from_elsewhere_needs_a_link_to_the_provider() -> Result<(), Error> {
    let (key, provider_key) = (public_key('A'), provider_key('K'));
    for source in ["caller", &key] {
        for target in ["kv", &provider_key] {
            let world = World::new();
            let provider = world.provide_keyed("kv", &provider_key, KEYVALUE).await;
            let ask = || {
                let origin = remote_actor("caller", Some(&key));
                world.call_from_afar(call(origin, asking(KEYVALUE)))
            };
            assert_eq!(code(ask().await), Some(Code::MissingLink));
            world
                .router
                .put_link(link(source, target, KEYVALUE))
                .await?;
            assert_eq!(ask().await?, "payload", "{source} {target}");
            let log = [format!("link {source}"), format!("invoke {source}")];
            assert_eq!(provider.log(), log);

            let stranger = remote_actor("stranger", Some(&public_key('S')));
            let refused = world.call_from_afar(call(stranger, asking(KEYVALUE))).await;
            assert_eq!(code(refused), Some(Code::MissingLink));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_is_no_actor_to_be_called() {
    let world = World::new();
    let key = provider_key('K');
    let provider = world.provide_keyed("kv", &key, KEYVALUE).await;
    for name in ["kv", &key] {
        let call = call(remote_actor("caller", None), Target::Actor(name.into()));
        let refused = world.call_from_afar(call).await;
        assert_eq!(code(refused), Some(Code::MissingClaim));
    }
    assert!(provider.log().is_empty());
}

#[tokio::test]
async fn claims_of_a_caller_elsewhere_count_as_far_as_they_are_known() -> Result<(), Error> {
    let clock = Clock::new(|| UNIX_EPOCH + Duration::from_secs(1_000));
    let world = World::with(Options {
        clock,
        ..Options::default()
    });
    let key = public_key('A');
    world.run("hello", identity(&[]), Arc::new(Says("hello")));
    world.provide("kv", KEYVALUE).await;
    world
        .router
        .put_link(link("caller", "kv", KEYVALUE))
        .await?;
    let origin = || remote_actor("caller", Some(&key));
    let ask = || world.call_from_afar(call(origin(), asking(KEYVALUE)));
    let greet = || world.call_from_afar(call(origin(), Target::Actor("hello".into())));

    assert!(ask().await.is_ok(), "its host vouches for it");
    world.router.know(id(&key), signed('A', &[HTTP]));
    assert_eq!(code(ask().await), Some(Code::MissingClaim));
    assert!(greet().await.is_ok());
    let until = |second| Identity {
        expires_at: Some(second),
        ..signed('A', &[KEYVALUE])
    };
    world.router.know(id(&key), until(1_001));
    assert!(ask().await.is_ok());
    world.router.know(id(&key), until(1_000));
    assert_eq!(code(ask().await), Some(Code::ExpiredClaims));
    assert_eq!(code(greet().await), Some(Code::ExpiredClaims));
    world.router.forget_known(&id(&key));
    assert!(ask().await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_provider_from_elsewhere_calls_the_actors_it_is_linked_to() -> Result<(), Error> {
    let (key, actor) = (provider_key('H'), public_key('A'));
    let ends = [
        ("http", "site"),
        (&key, "site"),
        ("http", &actor),
        (&key, &actor),
    ];
    for (provider, site) in ends {
        for (source, target) in [(provider, site), (site, provider)] {
            let world = World::new();
            world.run("site", signed('A', &[HTTP]), Arc::new(Says("served")));
            let ask = |what: &str| {
                let origin = remote_provider("http", Some(&key), what);
                world.call_from_afar(call(origin, Target::Actor("site".into())))
            };
            assert_eq!(code(ask(HTTP).await), Some(Code::MissingLink));
            world.router.put_link(link(source, target, HTTP)).await?;
            assert_eq!(ask(HTTP).await?, "served", "{source} {target}");
            assert_eq!(code(ask(KEYVALUE).await), Some(Code::MissingLink));

            world.publish("site", signed('A', &[]), Arc::new(Says("served")));
            assert_eq!(code(ask(HTTP).await), Some(Code::MissingClaim));
        }
    }
    Ok(())
}

#[tokio::test]
async fn nobody_from_elsewhere_is_one_of_ours() -> Result<(), Error> {
    let world = World::new();
    world.run("counter", signed('A', &[KEYVALUE]), Arc::new(Says("")));
    world.provide("kv", KEYVALUE).await;
    let by_key = link(&public_key('A'), "kv", KEYVALUE);
    world.router.put_link(by_key).await?;
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
    // The key of the actor here is not that of one who only has its id.
    let refused = world.call_from_afar(import("counter", KEYVALUE)).await;
    assert_eq!(code(refused), Some(Code::MissingLink));
    Ok(())
}

#[tokio::test]
async fn what_comes_in_is_bounded_like_all_calls() {
    let world = World::new();
    world.run("hello", identity(&[]), Arc::new(Says("hello")));
    let hello = || call(remote_actor("caller", None), Target::Actor("hello".into()));
    let deep = (0..17).fold(hello(), |call, _| nested(call));
    assert_eq!(code(world.call_from_afar(deep).await), Some(Code::Depth));
    assert_eq!(world.notices.failures(), [Code::Depth]);

    let here = world.router.here();
    world.router.withdraw();
    assert!(
        world.call_from_afar(hello()).await.is_ok(),
        "it was on its way"
    );
    world.router.drain();
    assert_eq!(
        code(world.call_from_afar(hello()).await),
        Some(Code::Unavailable)
    );
    drop(world);
    assert_eq!(code(here.deliver(hello()).await), Some(Code::Unavailable));
}
