//! Links come and go, before and after their ends.

use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Code, Error, Identity, Link};
use exosuit_router::{LinkState, LinkStatus, Options, Publication};
use futures_util::future::join_all;

use crate::support::*;

fn changed(link: &Link) -> Link {
    let mut link = link.clone();
    link.target_config.insert("bucket".into(), "other".into());
    link
}

#[tokio::test]
async fn link_provider_and_actor_come_in_any_order() {
    let orders = ["lpa", "lap", "pla", "pal", "alp", "apl"];
    for order in orders {
        let world = World::new();
        let provider = Provider::new(KEYVALUE);
        for step in order.chars() {
            match step {
                'l' => {
                    let put = world.router.put_link(link("counter", "kv", KEYVALUE)).await;
                    assert_eq!(put, Ok(()), "{order}");
                }
                'p' => {
                    let put = world.put_provider("kv", &provider).await;
                    assert_eq!(put, Ok(Vec::new()), "{order}");
                }
                _ => drop(world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")))),
            }
        }
        assert_eq!(provider.log(), ["link counter"], "{order}");
        assert!(
            world.call(import("counter", KEYVALUE)).await.is_ok(),
            "{order}"
        );
    }
}

#[tokio::test]
async fn a_refused_link_leaves_nothing_behind() {
    let world = World::new();
    world.run("counter", identity(&[HTTP]), Arc::new(Says("")));
    let provider = world.provide("kv", KEYVALUE).await;
    world.provide("http", HTTP).await;

    let other = world.router.put_link(link("counter", "kv", HTTP)).await;
    let error = other.expect_err("it implements another contract");
    assert_eq!(error.code, Code::InvalidLink);
    assert!(
        error.detail.contains(KEYVALUE),
        "what it implements: {error}"
    );
    let unclaimed = world.router.put_link(link("counter", "kv", KEYVALUE)).await;
    assert_eq!(code(unclaimed), Some(Code::MissingClaim));
    let providers = world.router.put_link(link("http", "kv", KEYVALUE)).await;
    assert_eq!(code(providers), Some(Code::InvalidLink));

    assert!(world.router.links().is_empty() && provider.log().is_empty());
    let told = [Code::InvalidLink, Code::MissingClaim, Code::InvalidLink];
    assert_eq!(world.notices.refused_links(), told);
}

#[tokio::test]
async fn what_was_unknown_is_checked_when_the_provider_comes() -> Result<(), Error> {
    let world = World::new();
    world.run("good", identity(&[KEYVALUE]), Arc::new(Says("")));
    world.run("unclaimed", identity(&[]), Arc::new(Says("")));
    world.router.put_link(link("good", "kv", KEYVALUE)).await?;
    world
        .router
        .put_link(link("unclaimed", "kv", KEYVALUE))
        .await?;
    world.router.put_link(link("wrong", "kv", HTTP)).await?;

    let provider = Provider::new(KEYVALUE);
    let mut refused = world.put_provider("kv", &provider).await?;
    refused.sort_by_key(|code| code.as_str());
    assert_eq!(refused, [Code::InvalidLink, Code::MissingClaim]);
    assert_eq!(world.notices.refused_links().len(), 2);
    assert_eq!(provider.log(), ["link good", "link unclaimed"]);

    // The provider has the link, so that a listener is there to say no; each call is refused, until
    // an update of the actor has the claim.
    let unclaimed = world.call(import("unclaimed", KEYVALUE)).await;
    assert_eq!(code(unclaimed), Some(Code::MissingClaim));
    world.publish("unclaimed", identity(&[KEYVALUE]), Arc::new(Says("")));
    assert!(world.call(import("unclaimed", KEYVALUE)).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn putting_a_link_again_changes_its_settings_or_nothing() -> Result<(), Error> {
    let world = World::new();
    let provider = world.provide("kv", KEYVALUE).await;
    let original = link("counter", "kv", KEYVALUE);
    for _ in 0..3 {
        world.router.put_link(original.clone()).await?;
    }
    assert_eq!(provider.log(), ["link counter"]);
    world.router.put_link(changed(&original)).await?;
    assert_eq!(provider.log(), ["link counter"]);
    let [only] = &world.router.links()[..] else {
        panic!("expected one link");
    };
    assert_eq!(**only, changed(&original));
    Ok(())
}

#[tokio::test]
async fn one_key_has_one_target_for_each_interface() -> Result<(), Error> {
    let world = World::new();
    let of = |target, interfaces: &[&str]| Link {
        interfaces: interfaces.iter().map(ToString::to_string).collect(),
        ..link("counter", target, KEYVALUE)
    };
    world.router.put_link(of("kv", &["store"])).await?;
    world.router.put_link(of("other", &["atomics"])).await?;
    for rival in [of("other", &["store", "batch"]), of("other", &[])] {
        let refused = world.router.put_link(rival).await;
        assert_eq!(code(refused), Some(Code::Conflict));
    }
    assert_eq!(world.router.links().len(), 2);
    // Of the same target it is a change.
    world.router.put_link(of("kv", &["store", "batch"])).await?;
    assert_eq!(world.router.links().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_link_that_the_provider_does_not_take_changes_nothing() -> Result<(), Error> {
    let world = World::new();
    world.run("site", identity(&[HTTP]), Arc::new(Says("served")));
    let provider = world.provide("http", HTTP).await;
    let in_use = || Some(Error::new(Code::Io, "the port is in use"));
    *provider.fails.lock() = in_use();
    let failed = world.router.put_link(link("site", "http", HTTP)).await;
    assert_eq!(code(failed), Some(Code::Io));
    assert!(world.router.links().is_empty());
    assert_eq!(world.notices.refused_links(), [Code::Io]);

    *provider.fails.lock() = None;
    let original = link("site", "http", HTTP);
    world.router.put_link(original.clone()).await?;
    *provider.fails.lock() = in_use();
    let failed = world.router.put_link(changed(&original)).await;
    assert_eq!(code(failed), Some(Code::Io));
    let [only] = &world.router.links()[..] else {
        panic!("expected one link");
    };
    assert_eq!(**only, original);
    let answer = world.call(from_provider("http", HTTP, "site")).await;
    assert!(answer.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_link_that_failed_when_its_provider_came_is_retried_when_put_again() -> Result<(), Error>
{
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    world
        .router
        .put_link(link("counter", "kv", KEYVALUE))
        .await?;
    let provider = Provider::new(KEYVALUE);
    *provider.fails.lock() = Some(Error::new(Code::Io, "the disk is full"));
    assert_eq!(world.put_provider("kv", &provider).await?, [Code::Io]);
    let untaken = world.call(import("counter", KEYVALUE)).await;
    assert_eq!(code(untaken), Some(Code::Unavailable));

    *provider.fails.lock() = None;
    world
        .router
        .put_link(link("counter", "kv", KEYVALUE))
        .await?;
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_deleted_link_stops_the_next_call_while_the_last_one_finishes() -> Result<(), Error> {
    let (world, actor) = (World::new(), Holds::new());
    world.run("site", identity(&[HTTP]), actor.clone());
    let provider = world.provide("http", HTTP).await;
    let http = link("site", "http", HTTP);
    world.router.put_link(http.clone()).await?;
    let mut running = world.start(from_provider("http", HTTP, "site"));
    assert!(poll(&mut running).is_pending());

    world.router.delete_link(&http.key()).await?;
    world.router.delete_link(&http.key()).await?;
    assert_eq!(provider.log(), ["link site", "unlink site"]);
    let refused = world.call(from_provider("http", HTTP, "site")).await;
    assert_eq!(code(refused), Some(Code::MissingLink));
    actor.let_go(1);
    assert!(running.await.is_ok());
    Ok(())
}

#[tokio::test]
async fn no_call_goes_through_a_link_before_its_provider_has_taken_it() -> Result<(), Error> {
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("served")));
    let provider = Provider::slow(KEYVALUE);
    assert_eq!(world.put_provider("kv", &provider).await?, []);
    let mut putting = Box::pin(world.router.put_link(link("counter", "kv", KEYVALUE)));
    assert!(poll_once(putting.as_mut()).is_pending());

    let early = world.call(import("counter", KEYVALUE)).await;
    assert_eq!(code(early), Some(Code::Unavailable));
    // The provider, however, may use what it is about to take: a listener is open before that is told.
    assert!(
        world
            .call(from_provider("kv", KEYVALUE, "counter"))
            .await
            .is_ok()
    );

    // Deleted meanwhile, it is refused at once, and given up once it is prepared.
    let key = link("counter", "kv", KEYVALUE).key();
    let mut deleting = Box::pin(world.router.delete_link(&key));
    assert!(poll_once(deleting.as_mut()).is_pending());
    let refused = world.call(from_provider("kv", KEYVALUE, "counter")).await;
    assert_eq!(code(refused), Some(Code::MissingLink));
    let mut again = Box::pin(world.router.put_link(link("counter", "kv", KEYVALUE)));
    assert!(poll_once(again.as_mut()).is_pending());
    provider.taking.add_permits(2);
    let ended = (code(putting.await), deleting.await, again.await);
    assert_eq!(ended, (Some(Code::Dropped), Ok(1), Ok(())));
    assert_eq!(*provider.given_up.lock(), ["counter"]);
    assert_eq!(provider.log(), ["link counter"]);
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_deletion_ends_what_was_put_before_it_and_nothing_that_is_put_after() -> Result<(), Error>
{
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    let (slow, other) = (Provider::slow(KEYVALUE), Provider::new(KEYVALUE));
    assert_eq!(world.put_provider("kv", &slow).await?, []);
    assert_eq!(world.put_provider("other", &other).await?, []);
    let first = link("counter", "kv", KEYVALUE);
    let key = first.key();
    for last in [first.clone(), link("counter", "other", KEYVALUE)] {
        // One is with the provider, the second waits for its lane, the third was not even polled.
        let mut putting = Box::pin(world.router.put_link(first.clone()));
        assert!(poll_once(putting.as_mut()).is_pending());
        let mut waiting = Box::pin(world.router.put_link(changed(&first)));
        assert!(poll_once(waiting.as_mut()).is_pending());
        let unpolled = world.router.put_link(first.clone());
        let deleting = world.router.delete_link(&key);
        let after = world.router.put_link(last.clone());
        slow.taking.add_permits(10);

        let (putting, waiting, unpolled, deleting, after) =
            tokio::join!(putting, waiting, unpolled, deleting, after);
        for before in [putting, waiting, unpolled] {
            assert_eq!(code(before), Some(Code::Dropped));
        }
        assert_eq!((deleting, after), (Ok(1), Ok(())));
        let [only] = &world.router.links()[..] else {
            panic!("expected the last link");
        };
        assert_eq!(**only, last);
        assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
        world.router.delete_link(&key).await?;
        slow.taking.forget_permits(1_000);
    }
    Ok(())
}

#[tokio::test]
async fn a_deletion_ends_a_change_of_settings_that_is_under_way() -> Result<(), Error> {
    let world = World::new();
    let provider = Provider::slow(KEYVALUE);
    assert_eq!(world.put_provider("kv", &provider).await?, []);
    provider.taking.add_permits(1);
    let original = link("counter", "kv", KEYVALUE);
    world.router.put_link(original.clone()).await?;
    let mut changing = Box::pin(world.router.put_link(changed(&original)));
    assert!(poll_once(changing.as_mut()).is_pending());
    let mut deleting = Box::pin(world.router.delete_link(&original.key()));
    assert!(poll_once(deleting.as_mut()).is_pending());
    provider.taking.add_permits(1);
    assert_eq!(code(changing.await), Some(Code::Dropped));
    assert_eq!(deleting.await, Ok(1));
    assert!(world.router.links().is_empty());
    assert_eq!(provider.log(), ["link counter", "unlink counter"]);
    Ok(())
}

#[tokio::test]
async fn a_put_that_is_given_up_leaves_the_link_as_it_was() -> Result<(), Error> {
    let world = World::with(Options {
        provider_timeout: Duration::from_millis(20),
        ..Options::default()
    });
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    let provider = Provider::slow(KEYVALUE);
    assert_eq!(world.put_provider("kv", &provider).await?, []);
    provider.taking.add_permits(1);
    let original = link("counter", "kv", KEYVALUE);
    world.router.put_link(original.clone()).await?;
    provider.log();

    // The first is given up by the provider's time limit; the others by that of the lane.
    let puts = join_all((0..3).map(|_| world.router.put_link(changed(&original)))).await;
    for put in puts {
        assert_eq!(code(put), Some(Code::Deadline));
    }
    provider.taking.add_permits(10);
    let [only] = &world.router.links()[..] else {
        panic!("expected one link");
    };
    assert_eq!(**only, original);
    assert!(provider.log().is_empty());
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_check_says_what_a_put_would_and_changes_nothing() -> Result<(), Error> {
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    world.run("unclaimed", identity(&[]), Arc::new(Says("")));
    let provider = world.provide("kv", KEYVALUE).await;
    let check = |link: Link| world.router.check_link(link);
    assert_eq!(check(link("counter", "kv", KEYVALUE)).await, Ok(()));
    let unclaimed = check(link("unclaimed", "kv", KEYVALUE)).await;
    assert_eq!(code(unclaimed), Some(Code::MissingClaim));
    *provider.fails.lock() = Some(Error::new(Code::Io, "the port is in use"));
    let refused = check(link("counter", "kv", KEYVALUE)).await;
    assert_eq!(code(refused), Some(Code::Io));
    assert!(world.router.links().is_empty() && provider.log().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_link_tells_what_became_of_it() -> Result<(), Error> {
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    let status = || match &world.router.link_states()[..] {
        [only] => only.status.clone(),
        _ => panic!("expected one link"),
    };
    let counter = link("counter", "kv", KEYVALUE);
    world.router.put_link(counter.clone()).await?;
    assert_eq!(status(), LinkStatus::Waiting);

    let full = Error::new(Code::Io, "the disk is full");
    let provider = Provider::new(KEYVALUE);
    *provider.fails.lock() = Some(full.clone());
    world.put_provider("kv", &provider).await?;
    assert_eq!(status(), LinkStatus::Refused(full));
    let other = Error::new(Code::Io, "the disk is away");
    *provider.fails.lock() = Some(other.clone());
    assert_eq!(
        world.router.put_link(counter.clone()).await,
        Err(other.clone())
    );
    assert_eq!(status(), LinkStatus::Refused(other));

    *provider.fails.lock() = None;
    world.router.put_link(counter).await?;
    assert_eq!(status(), LinkStatus::InForce);
    world.publish("counter", identity(&[]), Arc::new(Says("")));
    assert!(matches!(status(), LinkStatus::Refused(error) if error.code == Code::MissingClaim));
    world.publish("counter", identity(&[KEYVALUE]), Arc::new(Says("")));
    world.router.delete_provider(&id("kv")).await?;
    assert_eq!(status(), LinkStatus::Waiting);
    Ok(())
}

#[tokio::test]
async fn a_link_is_given_back_by_the_provider_that_took_it() -> Result<(), Error> {
    let world = World::new();
    world.router.put_link(link("one", "two", KEYVALUE)).await?;
    let one = world.provide("one", KEYVALUE).await;
    let two = Provider::new(KEYVALUE);
    assert_eq!(world.put_provider("two", &two).await?, [Code::InvalidLink]);
    let key = link("one", "two", KEYVALUE).key();
    world.router.delete_link(&key).await?;
    assert_eq!(one.log(), ["link one", "unlink one"]);
    assert!(two.log().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_slow_provider_holds_up_no_other() -> Result<(), Error> {
    let world = World::new();
    let slow = Provider::slow(KEYVALUE);
    assert_eq!(world.put_provider("slow", &slow).await?, []);
    world.provide("quick", HTTP).await;
    let mut putting = Box::pin(world.router.put_link(link("one", "slow", KEYVALUE)));
    assert!(poll_once(putting.as_mut()).is_pending());
    world.router.put_link(link("two", "quick", HTTP)).await?;
    slow.taking.add_permits(1);
    putting.await
}

#[tokio::test]
async fn other_code_does_not_inherit_the_links_of_an_actor_that_was_stopped() -> Result<(), Error> {
    let world = World::new();
    world.provide("kv", KEYVALUE).await;
    let counter = id("counter");
    let stored = link("counter", "kv", KEYVALUE);
    let start = |lineage: &str| run_lineage(&world, "counter", lineage);
    let stop = || {
        world.router.bind_links(&counter, &[stored.key()]);
        world.router.forget_actor(&counter);
    };
    let is_orphan = || {
        let [only] = &world.router.link_states()[..] else {
            panic!("expected one link");
        };
        matches!(&only.status, LinkStatus::Refused(error) if error.code == Code::Denied)
    };
    let call = || world.call(import("counter", KEYVALUE));

    // Made before anybody ran, it is the first one's; and what it is updated to.
    world.router.put_link(stored.clone()).await?;
    for lineage in ["one", "one v2", "one"] {
        start(lineage);
        assert!(call().await.is_ok());
    }
    stop();
    start("two");
    assert_eq!(code(call().await), Some(Code::MissingLink));
    let back = world.call(from_provider("kv", KEYVALUE, "counter")).await;
    assert_eq!(code(back), Some(Code::MissingLink));
    assert!(is_orphan());
    // A provider that starts, and a put of what is there, change nothing about it.
    world.provide("kv", KEYVALUE).await;
    world.router.put_link(stored.clone()).await?;
    stop();
    start("three");
    assert!(is_orphan());
    stop();
    start("one");
    assert!(!is_orphan() && call().await.is_ok());

    stop();
    start("two");
    world.router.free_links(&stored.key());
    assert!(!is_orphan() && call().await.is_ok());
    stop();
    world.router.delete_link(&stored.key()).await?;
    world.router.put_link(stored.clone()).await?;
    start("three");
    assert!(call().await.is_ok());
    Ok(())
}

#[tokio::test]
async fn new_settings_of_a_link_and_a_deletion_of_others_of_its_key_free_no_link()
-> Result<(), Error> {
    let world = World::new();
    world.provide("kv", KEYVALUE).await;
    world.provide("other", KEYVALUE).await;
    let of = |target, interface: &str| Link {
        interfaces: vec![interface.into()],
        ..link("counter", target, KEYVALUE)
    };
    let (stored, others) = (of("kv", "store"), of("other", "atomics"));
    world.router.put_link(stored.clone()).await?;
    run_lineage(&world, "counter", "one");
    world.router.bind_links(&id("counter"), &[stored.key()]);
    world.router.forget_actor(&id("counter"));
    run_lineage(&world, "counter", "two");
    let orphans = || {
        let states = world.router.link_states().into_iter();
        let orphans = states.filter(
            |state| matches!(&state.status, LinkStatus::Refused(error) if error.code == Code::Denied),
        );
        orphans
            .map(|state| state.link.target.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(orphans(), [id("kv")]);

    for stored in [changed(&stored), stored.clone()] {
        world.router.put_link(stored).await?;
        assert_eq!(orphans(), [id("kv")]);
    }
    world.router.put_link(others.clone()).await?;
    let goes = |link: &Link| link.target == others.target;
    assert_eq!(world.router.delete_links(&stored.key(), &goes).await?, 1);
    assert_eq!(world.router.link_states().len(), 1);
    assert_eq!(orphans(), [id("kv")]);
    world.router.free_links(&stored.key());
    assert_eq!(orphans(), []);
    Ok(())
}

#[tokio::test]
async fn a_withheld_link_comes_back_as_it_was_bound() -> Result<(), Error> {
    let world = World::new();
    world.provide("kv", KEYVALUE).await;
    let counter = id("counter");
    let stored = link("counter", "kv", KEYVALUE);
    let withhold = || async {
        let withheld = vec![(stored.target.clone(), stored.interfaces.clone())];
        world.router.withhold_links(&stored.key(), withheld);
        world.router.delete_link(&stored.key()).await
    };
    let stop = || {
        world.router.bind_links(&counter, &[stored.key()]);
        world.router.forget_actor(&counter);
    };
    let put = || world.router.put_link(stored.clone());
    let is_denied = || {
        let states = world.router.link_states();
        matches!(&states[..], [LinkState { status: LinkStatus::Refused(error), .. }] if error.code == Code::Denied)
    };

    // Its actor is stopped before, or meanwhile.
    for is_before in [true, false] {
        put().await?;
        run_lineage(&world, "counter", "one");
        if is_before {
            stop();
        }
        assert_eq!(withhold().await?, 1);
        if !is_before {
            stop();
        }
        run_lineage(&world, "counter", "two");
        put().await?;
        assert!(is_denied());
        stop();
        assert_eq!(withhold().await?, 1);
        run_lineage(&world, "counter", "one");
        put().await?;
        assert!(!is_denied());
        assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
        stop();
        world.router.free_links(&stored.key());
    }

    // Freed meanwhile, or withheld no more, it is anybody's.
    for is_freed in [true, false] {
        put().await?;
        run_lineage(&world, "counter", "one");
        stop();
        assert_eq!(withhold().await?, 1);
        if is_freed {
            world.router.free_links(&stored.key());
        } else {
            world.router.withhold_links(&stored.key(), Vec::new());
        }
        run_lineage(&world, "counter", "two");
        put().await?;
        assert!(!is_denied());
        world.router.forget_actor(&counter);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_publication_does_not_change_the_lineage() -> Result<(), Error> {
    let world = World::new();
    world.provide("kv", KEYVALUE).await;
    let stored = link("counter", "kv", KEYVALUE);
    world.router.put_link(stored.clone()).await?;
    let counter = id("counter");
    run_lineage(&world, "counter", "one");
    let of_issuer = |issuer: &str| Identity {
        issuer: Some(issuer.into()),
        ..signed('A', &[KEYVALUE])
    };
    world.run("other", of_issuer("ONE"), Arc::new(Says("")));
    let foreign = of_issuer("TWO");
    let target = Arc::new(Says(""));
    let refused = world
        .router
        .publish_lineage(&counter, "two", foreign, target);
    assert_eq!(refused.err().map(|error| error.code), Some(Code::Conflict));

    // It was bound to the code that ran.
    world.router.bind_links(&counter, &[stored.key()]);
    world.router.forget_actor(&counter);
    run_lineage(&world, "counter", "one");
    assert!(world.call(import("counter", KEYVALUE)).await.is_ok());
    Ok(())
}

fn run_lineage(world: &World, name: &str, lineage: &str) -> Publication {
    world.specify(name, limits(10, 10));
    let target = Arc::new(Says(""));
    let published = world
        .router
        .publish_lineage(&id(name), lineage, identity(&[KEYVALUE]), target);
    published.expect("a publication")
}
