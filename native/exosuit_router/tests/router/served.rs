//! The targets that the router announces to other hosts.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use exosuit_core::{Capability, Code, Error};

use crate::support::*;

#[tokio::test]
async fn an_actor_is_served_from_its_first_publication_until_it_is_forgotten() {
    let world = World::new();
    let others = world.join();
    world.specify("hello", limits(1, 1));
    assert!(others.told().is_empty(), "nothing runs yet");
    let first = world.publish("hello", signed('A', &[]), Arc::new(Says("")));
    let key = public_key('A');
    let served = format!("serve actor hello as {key}");
    assert_eq!(others.told(), [&*served]);

    // While it restarts, calls wait for it here.
    world.router.retract_actor(&first);
    world.publish("hello", signed('A', &[KEYVALUE]), Arc::new(Says("")));
    assert!(others.told().is_empty());
    // Another key is another name.
    world.publish("hello", identity(&[]), Arc::new(Says("")));
    assert_eq!(others.told(), ["serve actor hello"]);

    world.router.forget_actor(&id("hello"));
    world.router.forget_actor(&id("hello"));
    assert_eq!(others.told(), ["withdraw hello"]);
}

#[tokio::test]
async fn an_actor_that_is_given_up_is_withdrawn() {
    let world = World::new();
    let others = world.join();
    let error = || Error::new(Code::Trap, "it does not start");
    let publication = world.run("hello", identity(&[]), Arc::new(Says("")));
    world.router.fail_actor(&id("hello"), error());
    assert_eq!(others.told(), ["serve actor hello"], "it still runs");
    world.router.retract_actor(&publication);
    assert_eq!(others.told(), ["withdraw hello"]);

    let publication = world.publish("hello", identity(&[]), Arc::new(Says("")));
    assert_eq!(others.told(), ["serve actor hello"]);
    world.router.retract_actor(&publication);
    world.router.fail_actor(&id("hello"), error());
    assert_eq!(others.told(), ["withdraw hello"]);
}

#[tokio::test]
async fn a_retired_actor_is_withdrawn_at_once() {
    let world = World::new();
    let others = world.join();
    let actor = Holds::new();
    let _publication = world.run("hello", identity(&[]), actor.clone());
    let mut running = world.start(from_host("hello"));
    assert!(poll(&mut running).is_pending());
    let hello = id("hello");
    let retiring = world
        .router
        .retire_actor(&hello, std::time::Duration::from_mins(1));
    assert_eq!(others.told(), ["serve actor hello", "withdraw hello"]);
    actor.let_go(1);
    let (answer, ()) = tokio::join!(running, retiring);
    assert!(answer.is_ok());
}

#[tokio::test]
async fn a_provider_is_served_once_it_has_its_links() -> Result<(), Error> {
    let world = World::new();
    let others = world.join();
    let (slow, key) = (Provider::slow(KEYVALUE), provider_key('K'));
    world.router.put_link(link("one", "kv", KEYVALUE)).await?;
    let capability = Arc::clone(&slow) as Arc<dyn Capability>;
    let mut putting = Box::pin(
        world
            .router
            .put_provider(id("kv"), Some(id(&key)), capability),
    );
    assert!(poll_once(putting.as_mut()).is_pending());
    assert!(others.told().is_empty());
    slow.taking.add_permits(1);
    assert!(putting.await?.is_empty());
    let served = format!("serve provider kv as {key}");
    assert_eq!(others.told(), [&*served]);

    world.provide_keyed("kv", &key, KEYVALUE).await;
    assert_eq!(others.told(), ["withdraw kv", &served]);
    world.router.delete_provider(&id("kv")).await?;
    world.router.delete_provider(&id("kv")).await?;
    assert_eq!(others.told(), ["withdraw kv"]);
    Ok(())
}

#[tokio::test]
async fn a_provider_is_withdrawn_before_it_has_let_go() -> Result<(), Error> {
    let world = World::new();
    let others = world.join();
    let slow = Provider::slow(KEYVALUE);
    assert_eq!(world.put_provider("kv", &slow).await?, []);
    let mut putting = Box::pin(world.router.put_link(link("one", "kv", KEYVALUE)));
    assert!(poll_once(putting.as_mut()).is_pending());
    let kv = id("kv");
    let mut deleting = Box::pin(world.router.delete_provider(&kv));
    assert!(poll_once(deleting.as_mut()).is_pending());
    assert_eq!(others.told(), ["serve provider kv", "withdraw kv"]);
    slow.taking.add_permits(1);
    assert_eq!(tokio::join!(putting, deleting), (Ok(()), Ok(())));
    assert!(others.told().is_empty());
    Ok(())
}

#[tokio::test]
async fn who_joins_late_is_told_all() {
    let world = World::new();
    world.run("hello", identity(&[]), Arc::new(Says("")));
    world.specify("waiting", limits(1, 1));
    world.provide("kv", KEYVALUE).await;
    for _ in 0..2 {
        let mut told = world.join().told();
        told.sort_unstable();
        assert_eq!(told, ["serve actor hello", "serve provider kv"]);
    }
}

#[tokio::test]
async fn a_host_that_drains_withdraws_all() {
    let world = World::new();
    let others = world.join();
    let publication = world.run("hello", identity(&[]), Arc::new(Says("")));
    world.provide("kv", KEYVALUE).await;
    others.told();

    world.router.drain();
    let mut told = others.told();
    told.sort_unstable();
    assert_eq!(told, ["withdraw hello", "withdraw kv"]);
    world.publish("hello", signed('A', &[]), Arc::new(Says("")));
    world.router.retract_actor(&publication);
    assert!(others.told().is_empty());
}

#[test]
fn what_is_told_last_is_what_is_so() {
    const IDS: [&str; 3] = ["one", "two", "three"];
    let world = World::new();
    let others = world.join();
    thread::scope(|scope| {
        for offset in 0..4_usize {
            let world = &world;
            scope.spawn(move || {
                for round in 0..300 {
                    let name = id(IDS[(round + offset) % IDS.len()]);
                    if (round * 7 + offset) % 5 < 2 {
                        world.router.forget_actor(&name);
                    } else {
                        // Forgotten by another thread between the two, it is not there to publish.
                        let _ = world.router.specify_actor(name.clone(), limits(1, 1));
                        let target = Arc::new(Says(""));
                        let _ = world.router.publish_actor(&name, identity(&[]), target);
                    }
                }
            });
        }
    });
    let mut served: HashMap<String, bool> = HashMap::new();
    for line in others.told() {
        let (what, name) = line.rsplit_once(' ').expect("what and whom");
        let serve = what.starts_with("serve");
        let before = served.insert(name.to_owned(), serve);
        assert_ne!(before.unwrap_or(false), serve, "{line} was told twice");
    }
    let actors = world.router.actors();
    for name in IDS {
        let published = actors
            .iter()
            .any(|actor| actor.id.as_str() == name && actor.published);
        assert_eq!(served.get(name) == Some(&true), published, "{name}");
    }
}
