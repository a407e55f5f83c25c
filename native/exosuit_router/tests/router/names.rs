//! By what actors are called, and who has a name that two claim.

use std::sync::Arc;

use exosuit_core::{Code, Identity, Notice};

use crate::support::*;

#[tokio::test]
async fn an_actor_is_called_by_id_public_key_or_alias() {
    let world = World::new();
    let named = Identity {
        public_key: Some(public_key('A')),
        call_alias: Some("greeter".into()),
        ..identity(&[])
    };
    world.run("hello", named, Arc::new(Says("hello")));
    world.run("other", identity(&[]), Arc::new(Says("other")));

    for name in ["hello", "greeter", &public_key('A')] {
        let by_host = world.call(from_host(name)).await;
        assert_eq!(by_host.as_deref(), Ok(&b"hello"[..]), "{name}");
        // No claim and no link are needed from actor to actor.
        let by_actor = world.call(import("other", name)).await;
        assert_eq!(by_actor.as_deref(), Ok(&b"hello"[..]), "{name}");
    }
    let unknown = world.call(from_host("nobody")).await;
    assert_eq!(code(unknown), Some(Code::UnknownTarget));
}

#[tokio::test]
async fn a_public_key_belongs_to_one_actor() {
    let world = World::new();
    let keyed = |letter| Identity {
        public_key: Some(public_key(letter)),
        ..identity(&[])
    };
    let publication = world.run("first", keyed('A'), Arc::new(Says("first")));
    world.specify("second", limits(1, 1));
    let publish = |name: &str, identity| {
        let target = Arc::new(Says("second"));
        code(world.router.publish_actor(&id(name), identity, target))
    };
    assert_eq!(publish("second", keyed('A')), Some(Code::Conflict));
    // Not even while the first restarts.
    world.router.retract_actor(&publication);
    assert_eq!(publish("second", keyed('A')), Some(Code::Conflict));
    let usurper = world
        .router
        .specify_actor(id(&public_key('A')), limits(1, 1));
    assert_eq!(code(usurper), Some(Code::Conflict));

    world.router.forget_actor(&id("first"));
    assert_eq!(publish("second", keyed('A')), None);
    let answer = world.call(from_host(&public_key('A'))).await;
    assert_eq!(answer.as_deref(), Ok(&b"second"[..]));

    // An id in the form of a key is the key.
    world.specify(&public_key('B'), limits(1, 1));
    assert_eq!(
        publish(&public_key('B'), keyed('C')),
        Some(Code::InvalidClaims)
    );
    assert_eq!(
        publish(&public_key('B'), identity(&[])),
        Some(Code::InvalidClaims)
    );
    assert_eq!(publish(&public_key('B'), keyed('B')), None);
}

#[tokio::test]
async fn an_alias_belongs_to_who_claimed_it_first_until_that_is_forgotten() {
    let world = World::new();
    let alias = |name: &str| Identity {
        call_alias: Some(name.into()),
        ..identity(&[])
    };
    let who = async || {
        world
            .call(from_host("greeter"))
            .await
            .map(|text| text.to_vec())
    };
    let publication = world.run("first", alias("greeter"), Arc::new(Says("first")));
    world.run("second", alias("greeter"), Arc::new(Says("second")));
    assert!(matches!(
        &world.notices.take()[..],
        [Notice::AliasRefused { .. }]
    ));
    assert_eq!(who().await, Ok(b"first".to_vec()));

    // A restart does not lose it, an update may give it up, and the next inherits it.
    world.router.retract_actor(&publication);
    world.publish("first", alias("greeter"), Arc::new(Says("again")));
    assert_eq!(who().await, Ok(b"again".to_vec()));
    world.publish("first", alias("renamed"), Arc::new(Says("first")));
    assert_eq!(who().await, Ok(b"second".to_vec()));
    world.router.forget_actor(&id("second"));
    assert_eq!(
        who().await.map_err(|error| error.code),
        Err(Code::UnknownTarget)
    );
}

#[tokio::test]
async fn an_alias_catches_no_calls_that_are_meant_for_others() {
    let world = World::new();
    let alias = |name: &str| Identity {
        call_alias: Some(name.into()),
        ..identity(&[])
    };
    world.run("victim", identity(&[KEYVALUE]), Arc::new(Says("victim")));
    for (actor, name) in [("a", KEYVALUE), ("b", &public_key('A')), ("c", "")] {
        world.run(actor, alias(name), Arc::new(Says("caught")));
        let notices = world.notices.take();
        assert!(
            matches!(&notices[..], [Notice::AliasRefused { .. }]),
            "{name}"
        );
        assert!(world.call(import("victim", name)).await.is_err(), "{name}");
        world.notices.take();
    }
    // The id of another actor, and the provider of a link, go before the alias.
    world.run("d", alias("victim"), Arc::new(Says("caught")));
    let answer = world.call(from_host("victim")).await;
    assert_eq!(answer.as_deref(), Ok(&b"victim"[..]));
    let put = world.router.put_link(link("victim", "kv", KEYVALUE)).await;
    assert_eq!(put, Ok(()));
    world.run("e", alias("kv"), Arc::new(Says("caught")));
    let absent = world.call(import("victim", KEYVALUE)).await;
    assert_eq!(code(absent), Some(Code::Unavailable));
}
