//! Providers come and go, with what they were linked to.

use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Answer, Capability, CapabilityCall, Code, Contract, Error, Id};
use exosuit_router::Options;

use crate::support::*;

#[tokio::test]
async fn a_deleted_provider_lets_go_and_gets_its_links_again_when_it_returns() -> Result<(), Error>
{
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    let provider = world.provide("kv", KEYVALUE).await;
    world
        .router
        .put_link(link("counter", "kv", KEYVALUE))
        .await?;

    world.router.delete_provider(&id("kv")).await?;
    assert_eq!(provider.log(), ["link counter", "unlink counter", "stop"]);
    let absent = world.call(import("counter", KEYVALUE)).await;
    assert_eq!(code(absent), Some(Code::Unavailable));
    world.router.delete_provider(&id("kv")).await?;
    assert!(provider.log().is_empty() && world.router.providers().is_empty());

    let successor = world.provide("kv", KEYVALUE).await;
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
    assert_eq!(successor.log(), ["link counter", "invoke counter"]);

    // One that takes its place takes its links, and it stops.
    let third = world.provide("kv", KEYVALUE).await;
    assert_eq!(successor.log(), ["unlink counter", "stop"]);
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
    assert_eq!(third.log(), ["link counter", "invoke counter"]);
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_provider_does_not_end_its_successor() -> Result<(), Error> {
    let world = World::new();
    let (first, second) = (Provider::new(KEYVALUE), Provider::new(KEYVALUE));
    let [first_one, second_one]: [Arc<dyn Capability>; 2] = [first.clone(), second.clone()];
    let kv = id("kv");
    world
        .router
        .put_provider(kv.clone(), None, first_one.clone())
        .await?;
    world
        .router
        .put_provider(kv.clone(), None, second_one.clone())
        .await?;
    assert_eq!(first.log(), ["stop"]);

    world.router.end_provider(&kv, &first_one).await?;
    assert!(second.log().is_empty());
    assert_eq!(world.router.providers().len(), 1);

    world.router.end_provider(&kv, &second_one).await?;
    assert_eq!(second.log(), ["stop"]);
    assert!(world.router.providers().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_provider_is_out_of_reach_before_it_has_let_go() -> Result<(), Error> {
    let world = World::new();
    world.run("one", identity(&[KEYVALUE]), Arc::new(Says("")));
    let provider = Provider::slow(KEYVALUE);
    provider.taking.add_permits(1);
    assert_eq!(world.put_provider("kv", &provider).await?, []);
    world.router.put_link(link("one", "kv", KEYVALUE)).await?;
    assert!(world.call(import("one", KEYVALUE)).await.is_ok());

    // Its lane is taken by a link that it is slow to take.
    let mut putting = Box::pin(world.router.put_link(link("two", "kv", KEYVALUE)));
    assert!(poll_once(putting.as_mut()).is_pending());
    let kv = id("kv");
    let mut deleting = Box::pin(world.router.delete_provider(&kv));
    assert!(poll_once(deleting.as_mut()).is_pending());
    let refused = world.call(import("one", KEYVALUE)).await;
    assert_eq!(code(refused), Some(Code::Unavailable));

    provider.taking.add_permits(1);
    assert_eq!((putting.await, deleting.await), (Ok(()), Ok(())));
    let log = provider.log();
    assert_eq!(log[log.len() - 3..], ["unlink one", "unlink two", "stop"]);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_given_up() -> Result<(), Error> {
    let world = World::with(Options {
        provider_timeout: Duration::from_millis(5),
        ..Options::default()
    });
    let provider = Provider::slow(KEYVALUE);
    assert_eq!(world.put_provider("kv", &provider).await?, []);
    let late = world.router.put_link(link("one", "kv", KEYVALUE)).await;
    assert_eq!(code(late), Some(Code::Deadline));
    assert!(world.router.links().is_empty());
    provider.taking.add_permits(1);
    world.router.put_link(link("one", "kv", KEYVALUE)).await
}

#[tokio::test]
async fn calls_into_a_provider_end_with_it() -> Result<(), Error> {
    struct Endless(Vec<Contract>);
    impl Capability for Endless {
        fn contracts(&self) -> &[Contract] {
            &self.0
        }
        fn invoke(&self, _: CapabilityCall) -> Answer {
            Box::pin(std::future::pending())
        }
    }
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    let endless = Arc::new(Endless(vec![contract(KEYVALUE)]));
    world.router.put_provider(id("kv"), None, endless).await?;
    world
        .router
        .put_link(link("counter", "kv", KEYVALUE))
        .await?;
    let mut running = world.start(import("counter", KEYVALUE));
    assert!(poll(&mut running).is_pending());
    world.router.delete_provider(&id("kv")).await?;
    assert_eq!(code(running.await), Some(Code::Dropped));
    Ok(())
}

#[tokio::test]
async fn an_id_is_an_actors_or_a_providers() {
    let world = World::new();
    world.run("actor", identity(&[]), Arc::new(Says("")));
    world.provide("provider", KEYVALUE).await;
    let conflict = world.put_provider("actor", &Provider::new(KEYVALUE)).await;
    assert_eq!(code(conflict), Some(Code::Conflict));
    let conflict = world.router.specify_actor(id("provider"), limits(1, 1));
    assert_eq!(code(conflict), Some(Code::Conflict));
    let unknown = world
        .router
        .publish_actor(&id("nobody"), identity(&[]), Arc::new(Says("")));
    assert_eq!(code(unknown), Some(Code::UnknownTarget));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_order_links_and_providers_end_where_the_table_says() {
    let world = World::new();
    let providers = [Provider::new(KEYVALUE), Provider::new(KEYVALUE)];
    let mut tasks = Vec::new();
    for round in 0..200_usize {
        let router = world.router.clone();
        let provider = providers[round % 2].clone() as Arc<dyn Capability>;
        let name: Id = id(["kv", "other"][round % 2]);
        let link = link(&format!("actor-{}", round % 5), name.as_str(), KEYVALUE);
        tasks.push(tokio::spawn(async move {
            match round % 7 {
                0 => drop(router.put_provider(name, None, provider).await),
                1 => drop(router.delete_provider(&name).await),
                2 | 3 => drop(router.delete_link(&link.key()).await),
                _ => drop(router.put_link(link).await),
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    for (name, provider) in ["kv", "other"].into_iter().zip(&providers) {
        world.put_provider(name, provider).await.expect("it is put");
        assert_eq!(linked(&provider.log()), links_to(&world, name), "{name}");
    }
}

/// The links that a provider should have, according to its log.
fn linked(log: &[String]) -> Vec<String> {
    let mut linked = std::collections::BTreeSet::new();
    for line in log {
        match line.split_once(' ') {
            Some(("link", whose)) => drop(linked.insert(whose.to_owned())),
            Some(("unlink", whose)) => assert!(linked.remove(whose), "it did not have it"),
            _ => assert!(linked.is_empty(), "stopped with links"),
        }
    }
    linked.into_iter().collect()
}

fn links_to(world: &World, name: &str) -> Vec<String> {
    let links = world.router.links();
    let links = links.iter().filter(|link| link.target.as_str() == name);
    let mut sources: Vec<_> = links.map(|link| link.source.to_string()).collect();
    sources.sort_unstable();
    sources
}
