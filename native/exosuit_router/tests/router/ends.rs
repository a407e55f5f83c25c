//! Links that name their ends by id or by public key, whichever comes first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use exosuit_core::{Capability, Code, Error, Link};

use crate::support::*;

/// Every way to name the actor `counter` and the provider `kv`.
fn pairs() -> Vec<(String, String)> {
    let (actor, provider) = (public_key('A'), provider_key('K'));
    let actors = ["counter", &actor];
    let pair =
        |actor: &str| ["kv", &provider].map(|provider| (actor.to_owned(), provider.to_owned()));
    actors.into_iter().flat_map(pair).collect()
}

#[tokio::test]
async fn a_link_by_any_name_serves_calls_whatever_comes_first() -> Result<(), Error> {
    for (source, target) in pairs() {
        for order in ["lpa", "lap", "pla", "pal", "alp", "apl"] {
            let world = World::new();
            let provider = Provider::new(KEYVALUE);
            let capability = Arc::clone(&provider) as Arc<dyn Capability>;
            let key = Some(id(&provider_key('K')));
            let link = link(&source, &target, KEYVALUE);
            for step in order.chars() {
                match step {
                    'l' => world.router.put_link(link.clone()).await?,
                    'p' => {
                        let put =
                            world
                                .router
                                .put_provider(id("kv"), key.clone(), capability.clone());
                        assert!(put.await?.is_empty(), "{order}");
                    }
                    _ => drop(world.run("counter", signed('A', &[KEYVALUE]), Arc::new(Says("")))),
                }
            }
            let called = world.call(import("counter", KEYVALUE)).await;
            assert!(called.is_ok(), "{source} {target} {order}: {called:?}");
            let back = world.call(from_provider("kv", KEYVALUE, "counter")).await;
            assert!(back.is_ok(), "{source} {target} {order}: {back:?}");

            world.router.delete_link(&link.key()).await?;
            let log = ["link", "invoke", "unlink"].map(|what| format!("{what} {source}"));
            assert_eq!(provider.log(), log, "{order}");
            for refused in [
                world.call(import("counter", KEYVALUE)).await,
                world.call(from_provider("kv", KEYVALUE, "counter")).await,
            ] {
                assert_eq!(code(refused), Some(Code::MissingLink), "{source} {target}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_hears_of_itself_by_its_id() -> Result<(), Error> {
    let world = World::new();
    let key = provider_key('H');
    let provider = world.provide_keyed("http", &key, HTTP).await;
    for link in [link(&key, "site", HTTP), link("other", &key, HTTP)] {
        world.router.put_link(link.clone()).await?;
        world.router.delete_link(&link.key()).await?;
    }
    let ends = std::mem::take(&mut *provider.ends.lock());
    assert_eq!(ends, ["http site", "http site", "other http", "other http"]);
    Ok(())
}

#[tokio::test]
async fn links_by_key_are_given_back_when_the_provider_goes() -> Result<(), Error> {
    let world = World::new();
    world.run("counter", signed('A', &[KEYVALUE]), Arc::new(Says("")));
    let key = provider_key('K');
    let by_key = link("counter", &key, KEYVALUE);
    world.router.put_link(by_key).await?;
    let first = world.provide_keyed("kv", &key, KEYVALUE).await;
    let second = world.provide_keyed("kv", &key, KEYVALUE).await;
    assert_eq!(first.log(), ["link counter", "unlink counter", "stop"]);
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());

    world.router.delete_provider(&id("kv")).await?;
    let log = ["link counter", "invoke counter", "unlink counter", "stop"];
    assert_eq!(second.log(), log);
    let gone = world.call(import("counter", KEYVALUE)).await;
    assert_eq!(code(gone), Some(Code::Unavailable));
    Ok(())
}

#[tokio::test]
async fn ends_are_checked_by_either_name() -> Result<(), Error> {
    for (source, target) in pairs() {
        let world = World::new();
        let key = provider_key('K');
        world.run("counter", signed('A', &[HTTP]), Arc::new(Says("")));
        world.provide_keyed("kv", &key, KEYVALUE).await;
        let unclaimed = world.router.put_link(link(&source, &target, KEYVALUE));
        assert_eq!(code(unclaimed.await), Some(Code::MissingClaim));
        let other = world.router.put_link(link(&source, &target, HTTP)).await;
        assert_eq!(code(other), Some(Code::InvalidLink));
        let both = world.router.put_link(link(&target, "kv", KEYVALUE)).await;
        assert_eq!(code(both), Some(Code::InvalidLink));

        // Made before anything is known of the actor, it is refused when that comes.
        world.router.forget_actor(&id("counter"));
        world.notices.take();
        world
            .router
            .put_link(link(&source, &target, KEYVALUE))
            .await?;
        world.run("counter", signed('A', &[HTTP]), Arc::new(Says("")));
        assert_eq!(world.notices.refused_links(), [Code::MissingClaim]);
        let unclaimed = world.call(import("counter", KEYVALUE)).await;
        assert_eq!(code(unclaimed), Some(Code::MissingClaim));
    }
    Ok(())
}

#[tokio::test]
async fn of_two_links_the_one_by_id_counts() -> Result<(), Error> {
    let world = World::new();
    world.run("counter", signed('A', &[KEYVALUE]), Arc::new(Says("")));
    let by_id = world.provide("one", KEYVALUE).await;
    let by_key = world.provide("two", KEYVALUE).await;
    let first = link("counter", "one", KEYVALUE);
    let key = public_key('A');
    world.router.put_link(link(&key, "two", KEYVALUE)).await?;
    world.router.put_link(first.clone()).await?;
    by_id.log();
    by_key.log();

    world.call(import("counter", KEYVALUE)).await?;
    world.router.delete_link(&first.key()).await?;
    world.call(import("counter", KEYVALUE)).await?;
    assert_eq!(by_id.log(), ["invoke counter", "unlink counter"]);
    assert_eq!(by_key.log(), [format!("invoke {key}")]);
    Ok(())
}

#[tokio::test]
async fn an_actor_is_the_target_of_a_link_by_its_key() -> Result<(), Error> {
    let world = World::new();
    world.run("one", identity(&[]), Arc::new(Says("one")));
    world.run("two", signed('B', &[]), Arc::new(Says("two")));
    let link = link("one", &public_key('B'), "example:greeter");
    world.router.put_link(link).await?;
    let answer = world.call(import("one", "example:greeter")).await;
    assert_eq!(answer.as_deref(), Ok(&b"two"[..]));
    Ok(())
}

#[tokio::test]
async fn a_key_is_one_providers() -> Result<(), Error> {
    let world = World::new();
    let key = provider_key('K');
    world.provide_keyed("kv", &key, KEYVALUE).await;
    let put = |name: &str, key: Option<&str>| {
        let capability = Provider::new(KEYVALUE) as Arc<dyn Capability>;
        world.router.put_provider(id(name), key.map(id), capability)
    };
    assert_eq!(code(put("other", Some(&key)).await), Some(Code::Conflict));
    assert_eq!(code(put(&key, None).await), Some(Code::Conflict));
    assert_eq!(code(put("other", Some("kv")).await), Some(Code::Conflict));
    let actor = world.router.specify_actor(id(&key), limits(1, 1));
    assert_eq!(code(actor), Some(Code::Conflict));
    world.specify("actor", limits(1, 1));
    assert_eq!(code(put("kv", Some("actor")).await), Some(Code::Conflict));

    world.router.delete_provider(&id("kv")).await?;
    assert!(put("other", Some(&key)).await?.is_empty());
    // By an id that is its key it has one name.
    let second = provider_key('L');
    assert!(put(&second, Some(&second)).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_link_by_key_waits_for_the_lane_of_its_provider() -> Result<(), Error> {
    let world = World::new();
    let (slow, key) = (Provider::slow(KEYVALUE), provider_key('K'));
    let capability = Arc::clone(&slow) as Arc<dyn Capability>;
    let put = world
        .router
        .put_provider(id("kv"), Some(id(&key)), capability);
    assert!(put.await?.is_empty());
    let links: [Link; 2] = [link("one", "kv", KEYVALUE), link("two", &key, KEYVALUE)];
    let mut first = Box::pin(world.router.put_link(links[0].clone()));
    assert!(poll_once(first.as_mut()).is_pending());
    let mut second = Box::pin(world.router.put_link(links[1].clone()));
    assert!(poll_once(second.as_mut()).is_pending());
    assert_eq!(slow.asked.load(Ordering::SeqCst), 1);

    slow.taking.add_permits(2);
    assert_eq!(tokio::join!(first, second), (Ok(()), Ok(())));
    assert_eq!(slow.log(), ["link one", "link two"]);
    Ok(())
}
