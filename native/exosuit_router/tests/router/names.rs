//! By what actors are called, and who has a name that two claim.

use std::sync::Arc;

use exosuit_core::{Code, Error, Identity, Notice};

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
async fn an_alias_with_a_slash_is_an_alias() {
    let world = World::new();
    world.run(
        "ponger",
        aliased("wasmcloud/ponger"),
        Arc::new(Says("pong")),
    );
    world.run("pinger", identity(&[]), Arc::new(Says("")));
    assert_eq!(world.notices.take().len(), 0);

    for call in [
        from_host("wasmcloud/ponger"),
        import("pinger", "wasmcloud/ponger"),
    ] {
        assert_eq!(world.call(call).await.as_deref(), Ok(&b"pong"[..]));
    }
}

#[tokio::test]
async fn an_id_in_the_form_of_a_key_is_the_key() {
    let world = World::new();
    world.specify(&public_key('B'), limits(1, 1));
    let publish = |identity| code(try_publish(&world, &public_key('B'), identity));
    assert_eq!(publish(signed('C', &[])), Some(Code::InvalidClaims));
    assert_eq!(publish(identity(&[])), Some(Code::InvalidClaims));
    assert_eq!(publish(signed('B', &[])), None);
}

#[tokio::test]
async fn actors_of_one_image_share_its_names_and_those_of_another_issuer_do_not() {
    let world = World::new();
    let names = |letter| Identity {
        call_alias: Some("greeter".into()),
        ..of_issuer("ONE", signed(letter, &[]))
    };
    let publication = world.run("first", names('A'), Arc::new(Says("hello")));
    world.run("second", names('A'), Arc::new(Says("hello")));
    world.run(&public_key('A'), names('A'), Arc::new(Says("hello")));
    assert_eq!(world.notices.take().len(), 0);
    for name in [public_key('A'), "greeter".into()] {
        let answer = world.call(from_host(&name)).await;
        assert_eq!(answer.as_deref(), Ok(&b"hello"[..]), "{name}");
    }

    // Neither the key, nor the alias, nor the alias as an id: not even while its owner restarts.
    world.router.retract_actor(&publication);
    for (name, identity) in [
        ("third", of_issuer("TWO", signed('A', &[]))),
        ("third", of_issuer("TWO", names('B'))),
        ("greeter", identity(&[])),
        ("greeter", of_issuer("TWO", signed('B', &[]))),
    ] {
        world.specify(name, limits(1, 1));
        let error = try_publish(&world, name, identity).expect_err("a name that is taken");
        assert_eq!(error.code, Code::Conflict);
        for said in [name, "first", "ONE"] {
            assert!(error.detail.contains(said), "{error}");
        }
        world.router.forget_actor(&id(name));
    }
    // Its owner's own may have it as its id.
    world.run(
        "greeter",
        of_issuer("ONE", signed('C', &[])),
        Arc::new(Says("")),
    );

    for owner in ["first", "second", &public_key('A')] {
        world.router.forget_actor(&id(owner));
    }
    world.run(
        "third",
        of_issuer("TWO", signed('A', &[])),
        Arc::new(Says("now")),
    );
    let answer = world.call(from_host(&public_key('A'))).await;
    assert_eq!(answer.as_deref(), Ok(&b"now"[..]));
}

#[tokio::test]
async fn an_id_that_never_ran_takes_no_calls_of_an_alias() {
    let world = World::new();
    world.run("ponger", aliased("pong"), Arc::new(Says("pong")));
    world.specify("pong", limits(1, 1));
    let answer = world.call(from_host("pong")).await;
    assert_eq!(answer.as_deref(), Ok(&b"pong"[..]));
}

#[tokio::test]
async fn an_alias_that_is_the_id_of_another_issuers_actor_is_refused() {
    let world = World::new();
    world.run("pay", identity(&[]), Arc::new(Says("squatter")));
    world.specify("shop", limits(1, 1));
    let shop = of_issuer("ONE", aliased("pay"));
    let error = try_publish(&world, "shop", shop).expect_err("a name that is taken");
    assert_eq!(error.code, Code::Conflict);
    assert!(
        error.detail.contains("shop") && error.detail.contains("pay"),
        "{error}"
    );
}

#[tokio::test]
async fn a_name_of_several_is_ambiguous_where_settings_or_links_differ() -> Result<(), Error> {
    let world = World::new();
    let with = |settings: &str| Identity {
        settings: settings.into(),
        ..signed('A', &[KEYVALUE])
    };
    let key = public_key('A');
    world.provide("kv", KEYVALUE).await;
    world.run("one", with("x"), Arc::new(Says("one")));
    world.run("two", with("x"), Arc::new(Says("two")));
    world.run("caller", identity(&[]), Arc::new(Says("")));
    assert!(world.call(from_host(&key)).await.is_ok());

    let ambiguous = async |call| {
        let error = world.call(call).await.expect_err("ambiguous");
        assert_eq!(error.code, Code::UnknownTarget);
        for said in ["ambiguous", "one", "two"] {
            assert!(error.detail.contains(said), "{error}");
        }
    };
    world.router.put_link(link("one", "kv", KEYVALUE)).await?;
    ambiguous(from_host(&key)).await;
    ambiguous(import("caller", &key)).await;
    // A provider reaches the one that it is joined to, by whatever name it is called.
    let answer = world.call(from_provider("kv", KEYVALUE, &key)).await;
    assert_eq!(answer.as_deref(), Ok(&b"one"[..]));
    world.router.put_link(link("two", "kv", KEYVALUE)).await?;
    assert!(world.call(from_host(&key)).await.is_ok());

    world.publish("two", with("y"), Arc::new(Says("two")));
    ambiguous(from_host(&key)).await;
    ambiguous(from_provider("kv", KEYVALUE, &key)).await;
    // By id it is never ambiguous.
    let answer = world.call(from_host("two")).await;
    assert_eq!(answer.as_deref(), Ok(&b"two"[..]));
    world.router.forget_actor(&id("one"));
    let answer = world.call(from_host(&key)).await;
    assert_eq!(answer.as_deref(), Ok(&b"two"[..]));
    Ok(())
}

fn aliased(alias: &str) -> Identity {
    Identity {
        call_alias: Some(alias.into()),
        ..identity(&[])
    }
}

fn of_issuer(issuer: &str, identity: Identity) -> Identity {
    Identity {
        issuer: Some(issuer.into()),
        ..identity
    }
}

fn try_publish(world: &World, name: &str, identity: Identity) -> Result<(), Error> {
    let target = Arc::new(Says("published"));
    let published = world.router.publish_actor(&id(name), identity, target);
    published.map(drop)
}

#[tokio::test]
async fn an_alias_of_one_issuer_belongs_to_the_key_that_had_it_first() {
    let world = World::new();
    let alias = |name: &str, letter| Identity {
        call_alias: Some(name.into()),
        ..signed(letter, &[])
    };
    let who = async || {
        world
            .call(from_host("greeter"))
            .await
            .map(|text| text.to_vec())
    };
    let publication = world.run("first", alias("greeter", 'A'), Arc::new(Says("first")));
    world.run("second", alias("greeter", 'B'), Arc::new(Says("second")));
    assert!(matches!(
        &world.notices.take()[..],
        [Notice::AliasRefused { .. }]
    ));
    assert_eq!(who().await, Ok(b"first".to_vec()));

    // A restart does not lose it, an update may give it up, and the next inherits it.
    world.router.retract_actor(&publication);
    world.publish("first", alias("greeter", 'A'), Arc::new(Says("again")));
    assert_eq!(who().await, Ok(b"again".to_vec()));
    world.publish("first", alias("renamed", 'A'), Arc::new(Says("first")));
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
