//! Calls that find no target here, and go to other hosts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use exosuit_core::{
    Answer, Code, Destination, Elsewhere, Error, Exchange, Id, Identity, Invocation, Local, Notice,
    Origin, Outgoing, Payload, Target,
};
use exosuit_router::Options;
use http_body_util::{BodyExt, Empty};

use crate::support::*;

const GREETER: &str = "example:greeter";

async fn reaches(world: &World, call: Invocation, place: &str) {
    let what = format!("{:?}", call.target);
    let answer = world.call(call).await;
    assert_eq!(answer.as_deref(), Ok(place.as_bytes()), "{what}");
}

fn by_actor(caller: &str, name: &str) -> Invocation {
    call(Origin::Actor(id(caller)), Target::Actor(name.into()))
}

#[tokio::test]
async fn without_other_hosts_what_is_not_here_is_nowhere() {
    let world = World::new();
    world.run("counter", identity(&[]), Arc::new(Says("")));
    world.router.know(id(&public_key('B')), signed('B', &[]));
    for name in ["absent", &public_key('B')] {
        let absent = world.call(from_host(name)).await;
        assert_eq!(code(absent), Some(Code::UnknownTarget));
    }
}

#[tokio::test]
async fn an_actor_that_is_not_here_is_called_elsewhere_by_any_name() {
    let world = World::new();
    world.run("counter", signed('A', &[]), Arc::new(Says("here")));
    let others = world.join();
    let (key, alias) = (public_key('B'), "greeter");
    let known = Identity {
        call_alias: Some(alias.into()),
        ..signed('B', &[])
    };
    world.router.know(id(&key), known);
    let by_key = format!("actor {key}");
    for (name, place) in [
        ("absent", "actor absent"),
        (&key, &by_key),
        (alias, &by_key),
    ] {
        for call in [
            from_host(name),
            by_actor("counter", name),
            import("counter", name),
        ] {
            reaches(&world, call, place).await;
        }
    }
    reaches(&world, by_actor("counter", "counter"), "here").await;

    world.router.forget_known(&id(&key));
    reaches(&world, from_host(alias), "actor greeter").await;
    others.sent.lock().clear();
    // No name of anybody.
    for name in ["a.b", "*", ""] {
        let unknown = world.call(from_host(name)).await;
        assert_eq!(code(unknown), Some(Code::UnknownTarget));
    }
    assert!(others.is_unused());
}

#[tokio::test]
async fn an_alias_of_an_actor_that_is_here_as_well_stays_here() {
    let world = World::new();
    world.run("two", signed('B', &[]), Arc::new(Says("here")));
    let others = world.join();
    let known = Identity {
        call_alias: Some("greeter".into()),
        ..signed('B', &[])
    };
    world.router.know(id(&public_key('B')), known);
    reaches(&world, from_host("greeter"), "here").await;
    assert!(others.is_unused());
}

#[tokio::test]
async fn the_key_of_the_caller_goes_along() -> Result<(), Error> {
    let world = World::new();
    let key = public_key('A');
    world.run("counter", signed('A', &[]), Arc::new(Says("")));
    world.run("unsigned", identity(&[]), Arc::new(Says("")));
    world.run(&public_key('C'), signed('C', &[]), Arc::new(Says("")));
    world.provide_keyed("http", &provider_key('H'), HTTP).await;
    world.router.put_link(link("http", "absent", HTTP)).await?;
    let others = world.join();

    for (call, expected) in [
        (by_actor("counter", "absent"), Some(key)),
        (by_actor("unsigned", "absent"), None),
        (by_actor(&public_key('C'), "absent"), None),
        (
            from_provider("http", HTTP, "absent"),
            Some(provider_key('H')),
        ),
        (from_host("absent"), None),
    ] {
        let origin = call.origin.clone();
        world.call(call).await?;
        let sent = others.last();
        assert_eq!(
            sent.origin_key.as_ref().map(Id::as_str),
            expected.as_deref()
        );
        assert_eq!(sent.invocation.origin, origin);
    }
    Ok(())
}

#[tokio::test]
async fn a_link_leads_to_other_hosts_with_the_claim() -> Result<(), Error> {
    let world = World::new();
    let others = world.join();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    world.run("unclaimed", identity(&[]), Arc::new(Says("")));
    let (provider, actor) = (provider_key('K'), public_key('B'));

    for (target, claimed) in [
        (provider.as_str(), format!("link to {provider}")),
        ("kv", "link to kv".to_owned()),
        (&actor, format!("actor {actor}")),
    ] {
        for source in ["counter", "unclaimed"] {
            let link = link(source, target, KEYVALUE);
            world.router.put_link(link).await?;
        }
        reaches(&world, import("counter", KEYVALUE), &claimed).await;
        // What may be an actor is called as one, which needs no claim and reaches no provider.
        if target.starts_with('V') {
            others.sent.lock().clear();
            let refused = world.call(import("unclaimed", KEYVALUE)).await;
            assert_eq!(code(refused), Some(Code::MissingClaim));
            assert!(others.is_unused());
        } else {
            let place = format!("actor {target}");
            reaches(&world, import("unclaimed", KEYVALUE), &place).await;
        }
        for source in ["counter", "unclaimed"] {
            let key = link(source, target, KEYVALUE).key();
            world.router.delete_link(&key).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_allowed_here_does_not_leave() {
    let world = World::new();
    let others = world.join();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    world.provide("http", HTTP).await;
    let until = Identity {
        expires_at: Some(1),
        ..identity(&[])
    };
    world.run("expired", until, Arc::new(Says("")));

    let deep = (0..17).fold(from_host("absent"), |call, _| nested(call));
    for (call, why) in [
        (import("counter", KEYVALUE), Code::MissingLink),
        (by_actor("expired", "absent"), Code::ExpiredClaims),
        (by_actor("stranger", "absent"), Code::MissingClaim),
        (from_provider("http", HTTP, "absent"), Code::MissingLink),
        (deep, Code::Depth),
    ] {
        assert_eq!(code(world.call(call).await), Some(why));
    }
    assert!(others.is_unused());
}

#[tokio::test]
async fn a_provider_calls_the_actors_that_it_is_linked_to_wherever_they_are() -> Result<(), Error> {
    let world = World::new();
    let others = world.join();
    world.provide_keyed("http", &provider_key('H'), HTTP).await;
    let (by_key, actor) = (provider_key('H'), public_key('B'));
    for link in [
        link("http", "one", HTTP),
        link("two", "http", HTTP),
        link(&by_key, "three", HTTP),
        link(&actor, &by_key, HTTP),
    ] {
        world.router.put_link(link).await?;
    }
    for name in ["one", "two", "three", &actor] {
        let place = format!("actor {name}");
        reaches(&world, from_provider("http", HTTP, name), &place).await;
    }
    // Here it comes first.
    world.run("one", identity(&[HTTP]), Arc::new(Says("here")));
    reaches(&world, from_provider("http", HTTP, "one"), "here").await;

    others.sent.lock().clear();
    world.router.know(id(&actor), signed('B', &[KEYVALUE]));
    let unclaimed = world.call(from_provider("http", HTTP, &actor)).await;
    assert_eq!(code(unclaimed), Some(Code::MissingClaim));
    assert!(others.is_unused());
    Ok(())
}

#[tokio::test]
async fn the_lattice_picks_who_serves_if_it_is_to() -> Result<(), Error> {
    let world = World::with(Options {
        local_first: false,
        ..Options::default()
    });
    let key = public_key('A');
    let alias = Identity {
        call_alias: Some("greeter".into()),
        ..signed('A', &[KEYVALUE])
    };
    world.run("counter", alias, Arc::new(Says("here")));
    world.provide("kv", KEYVALUE).await;
    world
        .router
        .put_link(link("counter", "kv", KEYVALUE))
        .await?;
    // Alone it serves all by itself.
    reaches(&world, from_host("counter"), "here").await;

    let others = world.join();
    let by_key = format!("actor {key}");
    for (name, place) in [
        ("counter", "actor counter"),
        (&key, &by_key),
        ("greeter", &by_key),
    ] {
        reaches(&world, from_host(name), place).await;
    }
    reaches(&world, import("counter", KEYVALUE), "link to kv").await;
    others.sent.lock().clear();
    let from_afar = world.call_from_afar(from_host("counter")).await?;
    assert_eq!(from_afar, "here");

    world.router.withdraw();
    reaches(&world, from_host("counter"), "here").await;
    reaches(&world, import("counter", KEYVALUE), "payload").await;
    assert!(others.is_unused());
    Ok(())
}

#[tokio::test]
async fn a_failure_elsewhere_is_passed_on_and_told() {
    let world = World::new();
    let others = world.join();
    *others.fails.lock() = Some(Error::new(Code::Unavailable, "nobody serves absent"));
    let failed = world.call(from_host("absent")).await;
    let error = failed.expect_err("nobody serves it");
    assert_eq!(
        (error.code, &*error.detail),
        (Code::Unavailable, "nobody serves absent")
    );
    let [Notice::CallFailed { target, .. }] = &world.notices.take()[..] else {
        panic!("expected one failure");
    };
    assert_eq!(target, "absent");
}

#[tokio::test]
async fn a_call_elsewhere_ends_with_its_deadline() {
    struct Silent;
    impl Elsewhere for Silent {
        fn deliver(&self, _: Outgoing) -> Answer {
            Box::pin(std::future::pending())
        }
        fn serve(&self, _: Local) {}
        fn withdraw(&self, _: &Id) {}
    }
    let world = World::new();
    world.router.set_elsewhere(Arc::new(Silent));
    let mut call = from_host("absent");
    call.context.deadline = Instant::now() + Duration::from_millis(5);
    assert_eq!(code(world.call(call).await), Some(Code::Deadline));
    assert_eq!(world.router.in_flight(), 0);
}

#[tokio::test]
async fn a_request_elsewhere_is_under_way_until_its_lease_ends() -> Result<(), Error> {
    let world = World::new();
    let others = world.join();
    let body = Empty::new().map_err(|never| match never {}).boxed();
    let exchange = Exchange::new(http::Request::new(body));
    let request = Invocation {
        payload: Payload::Http(Box::new(exchange)),
        ..from_host("absent")
    };
    world.call(request).await?;
    assert_eq!(world.router.in_flight(), 1);
    drop(others.last());
    assert_eq!(world.router.in_flight(), 0);
    Ok(())
}

#[tokio::test]
async fn a_link_to_an_absent_actor_goes_where_the_link_says() -> Result<(), Error> {
    let world = World::new();
    let others = world.join();
    world.run("one", identity(&[GREETER]), Arc::new(Says("")));
    let made = link("one", "greeter", GREETER);
    world.router.put_link(made.clone()).await?;
    world.call(import("one", GREETER)).await?;
    let Destination::Linked(sent) = others.last().to else {
        panic!("expected the link");
    };
    assert_eq!(*sent, made);

    // Once it is known what it is, no claim is needed.
    world.router.know(id("greeter"), identity(&[]));
    world.call(import("one", GREETER)).await?;
    assert!(matches!(others.last().to, Destination::Actor(name) if name == id("greeter")));
    Ok(())
}
