//! How many calls at a time, and what becomes of them when actors restart and hosts stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use exosuit_core::{Code, Error, Origin, Target};
use exosuit_router::{ActorLimits, Options};

use crate::support::*;

const SERVED: Result<&[u8], &Error> = Ok(b"payload");

fn served(answer: &Result<bytes::Bytes, Error>) {
    assert_eq!(answer.as_deref(), SERVED);
}

#[test]
fn a_call_that_need_not_wait_ends_in_its_first_poll_without_a_runtime() {
    let world = World::new();
    world.run("counter", identity(&[KEYVALUE]), Arc::new(Says("hello")));
    let put = poll_once(world.router.put_link(link("counter", "kv", KEYVALUE)));
    assert!(put.is_ready());
    assert!(poll_once(world.provide("kv", KEYVALUE)).is_ready());

    let calls = [
        from_host("counter"),
        import("counter", "counter"),
        import("counter", KEYVALUE),
        from_host("nobody"),
    ];
    for call in calls {
        assert!(poll_once(world.call(call)).is_ready());
    }
}

#[tokio::test]
async fn so_many_run_so_many_wait_and_the_rest_is_refused() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("echo", limits(1, 1));
    world.publish("echo", identity(&[]), actor.clone());
    let mut first = world.start(from_host("echo"));
    let mut second = world.start(from_host("echo"));
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    assert_eq!(actor.running(), 1);

    for _ in 0..2 {
        let third = world.call(from_host("echo")).await;
        assert_eq!(code(third), Some(Code::Overloaded));
        assert_eq!(world.notices.failures(), [Code::Overloaded]);
    }
    let [state] = &world.router.actors()[..] else {
        panic!("expected one actor");
    };
    assert_eq!((state.running, state.waiting), (1, 1));

    actor.let_go(2);
    served(&first.await);
    served(&second.await);
    assert_eq!(world.router.in_flight(), 0);
}

#[tokio::test]
async fn a_caller_that_goes_away_makes_room() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("echo", limits(1, 1));
    world.publish("echo", identity(&[]), actor.clone());
    for _ in 0..3 {
        let mut running = world.start(from_host("echo"));
        let mut waiting = world.start(from_host("echo"));
        assert!(poll(&mut running).is_pending());
        assert!(poll(&mut waiting).is_pending());
    }
    assert_eq!((actor.running(), world.router.in_flight()), (0, 0));
}

#[tokio::test]
async fn a_call_inside_another_does_not_queue() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("busy", limits(1, 10));
    world.publish("busy", identity(&[]), actor.clone());
    world.run("caller", identity(&[]), Arc::new(Says("")));
    let mut running = world.start(from_host("busy"));
    assert!(poll(&mut running).is_pending());

    let inside = world.call(nested(import("caller", "busy"))).await;
    assert_eq!(code(inside), Some(Code::Overloaded));
}

#[tokio::test]
async fn a_circle_of_actors_does_not_lock_up() {
    let world = World::new();
    for (me, to) in [("ping", "pong"), ("pong", "ping")] {
        let passes_on = PassesOn {
            router: world.router.clone(),
            me,
            to: Target::Actor(to.into()),
        };
        world.specify(me, limits(2, 10));
        world.publish(me, identity(&[]), Arc::new(passes_on));
    }
    let refused = world.call(from_host("ping")).await;
    assert_eq!(code(refused), Some(Code::Overloaded));
    assert_eq!(world.router.in_flight(), 0);
}

#[tokio::test]
async fn scaling_takes_effect_on_the_running_actor() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("echo", limits(1, 10));
    world.publish("echo", identity(&[]), actor.clone());
    let mut calls: Vec<_> = (0..3).map(|_| world.start(from_host("echo"))).collect();
    let mut poll_all = || {
        let before = calls.len();
        calls.retain_mut(|call| poll(call).is_pending());
        before - calls.len()
    };
    assert_eq!((poll_all(), actor.running()), (0, 1));

    world.specify("echo", limits(3, 0));
    assert_eq!((poll_all(), actor.running()), (0, 3));

    // Down to one: those that run are let finish, and no other comes before two have.
    world.specify("echo", limits(1, 0));
    actor.let_go(2);
    assert_eq!((poll_all(), actor.running()), (2, 1));
    let refused = world.call(from_host("echo")).await;
    assert_eq!(code(refused), Some(Code::Overloaded));
}

#[tokio::test]
async fn a_call_waits_for_a_restart_and_is_answered_by_the_next_publication() {
    let world = World::new();
    world.specify("echo", limits(2, 2));
    let mut waiting = world.start(from_host("echo"));
    assert!(
        poll(&mut waiting).is_pending(),
        "specified, and not yet there"
    );
    let publication = world.publish("echo", identity(&[]), Arc::new(Says("first")));
    assert_eq!(waiting.await.as_deref(), Ok(&b"first"[..]));

    world.router.retract_actor(&publication);
    let mut outside = world.start(from_host("echo"));
    let mut inside = world.start(nested(from_host("echo")));
    assert!(poll(&mut outside).is_pending());
    assert!(poll(&mut inside).is_pending());
    let woken = tokio::spawn(outside);
    world.publish("echo", identity(&[]), Arc::new(Says("second")));
    let woken = woken.await.expect("no panic");
    assert_eq!(woken.as_deref(), Ok(&b"second"[..]));
    assert_eq!(inside.await.as_deref(), Ok(&b"second"[..]));
}

#[tokio::test]
async fn the_wait_for_a_restart_is_bounded_in_time() {
    let world = World::with(Options {
        restart_wait: Duration::from_millis(5),
        ..Options::default()
    });
    world.specify("echo", limits(1, 1));
    let refused = world.call(from_host("echo")).await;
    assert_eq!(code(refused), Some(Code::Unavailable));

    let world = World::with(Options {
        restart_wait: Duration::from_hours(1),
        ..Options::default()
    });
    world.specify("echo", limits(1, 1));
    let mut call = from_host("echo");
    call.context.deadline = Instant::now() + Duration::from_millis(5);
    let late = world.call(call).await;
    assert_eq!(code(late), Some(Code::Deadline));
}

#[tokio::test]
async fn the_wait_for_a_restart_is_bounded_in_number() {
    let world = World::with(Options {
        max_restart_waiters: 2,
        ..Options::default()
    });
    world.specify("echo", limits(10, 10));
    let mut calls: Vec<_> = (0..2).map(|_| world.start(from_host("echo"))).collect();
    assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
    let refused = world.call(from_host("echo")).await;
    assert_eq!(code(refused), Some(Code::Unavailable));
}

#[tokio::test]
async fn a_stale_retraction_ends_no_newer_publication() {
    let world = World::new();
    let stale = world.run("echo", identity(&[]), Arc::new(Says("first")));
    world.publish("echo", identity(&[]), Arc::new(Says("second")));
    for _ in 0..2 {
        world.router.retract_actor(&stale);
        let answer = world.call(from_host("echo")).await;
        assert_eq!(answer.as_deref(), Ok(&b"second"[..]));
    }
    // Nor one of another life under the same id.
    world.router.forget_actor(&id("echo"));
    world.run("echo", identity(&[]), Arc::new(Says("third")));
    world.router.retract_actor(&stale);
    assert!(world.call(from_host("echo")).await.is_ok());
}

#[tokio::test]
async fn a_publication_that_ends_drops_its_own_calls_and_no_others() {
    let world = World::new();
    let (old, new, other) = (Holds::new(), Holds::new(), Holds::new());
    let first = world.run("echo", identity(&[]), old.clone());
    world.run("other", identity(&[]), other.clone());
    let mut on_old = world.start(from_host("echo"));
    assert!(poll(&mut on_old).is_pending());
    let mut elsewhere = world.start(from_host("other"));
    assert!(poll(&mut elsewhere).is_pending());

    // An update: what runs goes on in the old one, until that is retracted.
    world.publish("echo", identity(&[]), new.clone());
    let mut on_new = world.start(from_host("echo"));
    assert!(poll(&mut on_new).is_pending());
    assert!(poll(&mut on_old).is_pending());
    assert_eq!((old.running(), new.running()), (1, 1));

    world.router.retract_actor(&first);
    assert_eq!(code(on_old.await), Some(Code::Dropped));
    assert_eq!((old.running(), new.running(), other.running()), (0, 1, 1));
    new.let_go(1);
    other.let_go(1);
    served(&on_new.await);
    served(&elsewhere.await);
}

#[tokio::test]
async fn a_superseded_publication_ends_with_its_last_call() {
    let (world, old) = (World::new(), Holds::new());
    let first = world.run("echo", identity(&[]), old.clone());
    let mut running = world.start(from_host("echo"));
    assert!(poll(&mut running).is_pending());
    world.publish("echo", identity(&[]), Arc::new(Says("second")));
    let grace = Duration::from_mins(1);
    let ending = tokio::spawn(world.router.supersede_actor(&first, grace));
    let answer = world.call(from_host("echo")).await;
    assert_eq!(answer.as_deref(), Ok(&b"second"[..]));
    tokio::task::yield_now().await;
    assert!(!ending.is_finished());

    old.let_go(1);
    served(&running.await);
    assert!(ending.await.is_ok());
}

#[tokio::test]
async fn a_superseded_publication_drops_what_does_not_finish() {
    let (world, old) = (World::new(), Holds::new());
    let first = world.run("echo", identity(&[]), old.clone());
    let mut running = world.start(from_host("echo"));
    assert!(poll(&mut running).is_pending());
    world.publish("echo", identity(&[]), Arc::new(Says("second")));
    world.router.supersede_actor(&first, Duration::ZERO).await;
    assert_eq!(code(running.await), Some(Code::Dropped));
    assert!(world.call(from_host("echo")).await.is_ok());
}

#[tokio::test]
async fn a_forgotten_actor_drops_what_runs_and_refuses_what_waits() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("echo", limits(1, 1));
    world.publish("echo", identity(&[]), actor.clone());
    world.specify("unborn", limits(1, 1));
    let mut running = world.start(from_host("echo"));
    let mut queued = world.start(from_host("echo"));
    let mut waiting = world.start(from_host("unborn"));
    for call in [&mut running, &mut queued, &mut waiting] {
        assert!(poll(call).is_pending());
    }
    world.router.forget_actor(&id("echo"));
    world.router.forget_actor(&id("unborn"));
    assert_eq!(code(running.await), Some(Code::Dropped));
    assert_eq!(code(queued.await), Some(Code::UnknownTarget));
    assert_eq!(code(waiting.await), Some(Code::UnknownTarget));
    assert_eq!((actor.running(), world.router.in_flight()), (0, 0));
}

#[tokio::test]
async fn a_retired_actor_finishes_what_runs_and_refuses_what_waits() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("echo", limits(1, 1));
    let publication = world.publish("echo", identity(&[]), actor.clone());
    let mut running = world.start(from_host("echo"));
    let mut queued = world.start(from_host("echo"));
    assert!(poll(&mut running).is_pending());
    assert!(poll(&mut queued).is_pending());

    let echo = id("echo");
    let retiring = tokio::spawn(world.router.retire_actor(&echo, Duration::from_hours(1)));
    assert_eq!(code(queued.await), Some(Code::UnknownTarget));
    let later = world.call(from_host("echo")).await;
    assert_eq!(code(later), Some(Code::UnknownTarget));
    assert!(poll(&mut running).is_pending());

    // Its id is free for a successor, which the end of the old one leaves alone.
    world.run("echo", identity(&[]), Arc::new(Says("new")));
    actor.let_go(1);
    served(&running.await);
    assert!(retiring.await.is_ok());
    world.router.retract_actor(&publication);
    assert!(world.call(from_host("echo")).await.is_ok());
}

#[tokio::test]
async fn a_retired_actor_loses_what_outlasts_its_grace() {
    let (world, actor) = (World::new(), Holds::new());
    world.run("echo", identity(&[]), actor.clone());
    let mut running = world.start(from_host("echo"));
    assert!(poll(&mut running).is_pending());
    let echo = id("echo");
    let retiring = world.router.retire_actor(&echo, Duration::from_millis(10));
    let ((), answer) = tokio::join!(retiring, running);
    assert_eq!(code(answer), Some(Code::Dropped));
}

#[tokio::test]
async fn calls_of_an_actor_that_failed_are_refused_with_the_reason_until_it_is_published() {
    let world = World::new();
    world.specify("echo", limits(2, 2));
    let mut waiting = world.start(from_host("echo"));
    assert!(poll(&mut waiting).is_pending());

    let why = Error::new(Code::Unavailable, "it was forged");
    world.router.fail_actor(&id("echo"), why.clone());
    assert_eq!(waiting.await, Err(why.clone()));
    assert_eq!(world.call(from_host("echo")).await, Err(why));

    world.publish("echo", identity(&[]), Arc::new(Says("here")));
    assert!(world.call(from_host("echo")).await.is_ok());
}

#[tokio::test]
async fn a_place_in_a_forgotten_actor_is_none_in_its_successor() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("echo", limits(1, 1));
    let mut waiting = world.start(from_host("echo"));
    assert!(poll(&mut waiting).is_pending());
    world.router.forget_actor(&id("echo"));
    world.specify("echo", limits(1, 0));
    world.publish("echo", identity(&[]), actor.clone());
    let mut running = world.start(from_host("echo"));
    assert!(poll(&mut running).is_pending());
    assert_eq!(code(waiting.await), Some(Code::Overloaded));
    assert_eq!(actor.running(), 1);
}

#[tokio::test]
async fn a_call_is_decided_anew_after_it_waited() -> Result<(), Error> {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("site", limits(1, 1));
    let publication = world.publish("site", identity(&[HTTP]), actor.clone());
    world.provide("http", HTTP).await;
    let http = link("site", "http", HTTP);
    world.router.put_link(http.clone()).await?;

    // The link goes while the call is in the queue.
    let mut running = world.start(from_provider("http", HTTP, "site"));
    let mut queued = world.start(from_provider("http", HTTP, "site"));
    assert!(poll(&mut running).is_pending());
    assert!(poll(&mut queued).is_pending());
    world.router.delete_link(&http.key()).await?;
    actor.let_go(2);
    served(&running.await);
    assert_eq!(code(queued.await), Some(Code::MissingLink));

    // The claim goes while the call waits for a restart.
    world.router.put_link(http).await?;
    world.router.retract_actor(&publication);
    let mut waiting = world.start(from_provider("http", HTTP, "site"));
    assert!(poll(&mut waiting).is_pending());
    world.publish("site", identity(&[]), actor.clone());
    assert_eq!(code(waiting.await), Some(Code::MissingClaim));
    assert_eq!(actor.running(), 0);
    Ok(())
}

/// Limits under which a call takes so many milliseconds at the longest.
fn at_most(milliseconds: u64) -> ActorLimits {
    ActorLimits {
        deadline: Some(Duration::from_millis(milliseconds)),
        ..limits(1, 10)
    }
}

#[tokio::test]
async fn an_actors_own_deadline_ends_a_call_that_runs_waits_or_finds_it_restarting() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("echo", at_most(5));
    let restarting = world.call(from_host("echo")).await;
    assert_eq!(code(restarting), Some(Code::Deadline));

    world.publish("echo", identity(&[]), actor.clone());
    let running = world.call(from_host("echo")).await;
    assert_eq!(code(running), Some(Code::Deadline));

    world.specify("echo", limits(1, 10));
    let mut running = world.start(from_host("echo"));
    assert!(poll(&mut running).is_pending());
    // It holds for the calls that come from now on.
    world.specify("echo", at_most(5));
    let waiting = world.call(from_host("echo")).await;
    assert_eq!(code(waiting), Some(Code::Deadline));
    actor.let_go(1);
    served(&running.await);
}

#[tokio::test]
async fn of_two_deadlines_the_earlier_holds_and_calls_further_inside_inherit_it() {
    let (world, recorder) = (World::new(), RecordsDeadline::new());
    let passes_on = PassesOn {
        router: world.router.clone(),
        me: "outer",
        to: Target::Actor("inner".into()),
    };
    world.run("inner", identity(&[]), recorder.clone());
    world.specify("outer", at_most(1_000));
    world.publish("outer", identity(&[]), Arc::new(passes_on));

    let before = Instant::now();
    let call = from_host("outer");
    assert!(call.context.deadline > before + Duration::from_secs(2));
    assert_eq!(code(world.call(call).await), None);
    let second = Duration::from_secs(1);
    assert!((before + second..=Instant::now() + second).contains(&recorder.deadline()));

    let mut call = from_host("outer");
    call.context.deadline = Instant::now() + Duration::from_millis(500);
    let own = call.context.deadline;
    assert_eq!(code(world.call(call).await), None);
    assert_eq!(recorder.deadline(), own);

    // Beyond the clock's reach is none.
    world.specify("inner", at_most(u64::MAX - 1));
    assert_eq!(code(world.call(from_host("inner")).await), None);
    let far = Instant::now() + Duration::from_secs(2);
    assert!(recorder.deadline() > far);
}

#[tokio::test]
async fn the_deadline_ends_a_call_that_runs_or_waits() {
    let (world, actor) = (World::new(), Holds::new());
    world.specify("echo", limits(1, 1));
    world.publish("echo", identity(&[]), actor.clone());
    let soon = || {
        let mut call = from_host("echo");
        call.context.deadline = Instant::now() + Duration::from_millis(5);
        world.call(call)
    };
    assert_eq!(code(soon().await), Some(Code::Deadline));
    let mut running = world.start(from_host("echo"));
    assert!(poll(&mut running).is_pending());
    assert_eq!(code(soon().await), Some(Code::Deadline));
    assert_eq!(actor.running(), 1);
}

#[tokio::test]
async fn a_host_that_drains_finishes_what_runs_and_takes_nothing_new() {
    let (world, inner) = (World::new(), Holds::new());
    world.run("inner", identity(&[]), inner.clone());
    world.run("outer", identity(&[]), Arc::new(Says("")));
    let mut running = world.start(from_host("inner"));
    assert!(poll(&mut running).is_pending());

    world.router.drain();
    for call in [from_host("inner"), import("outer", "inner")] {
        let refused = world.call(call).await;
        assert_eq!(code(refused), Some(Code::Unavailable));
    }
    let mut within = world.start(nested(import("outer", "inner")));
    assert!(poll(&mut within).is_pending());
    assert_eq!((inner.running(), world.router.in_flight()), (2, 2));

    let idle = tokio::spawn({
        let router = world.router.clone();
        async move { router.idle().await }
    });
    tokio::task::yield_now().await;
    assert!(!idle.is_finished());
    inner.let_go(2);
    served(&within.await);
    served(&running.await);
    idle.await.expect("no panic");
    world.router.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_restart_fails_only_what_ran() {
    let world = World::new();
    world.specify("echo", limits(4, 1_000));
    let mut publication = world.publish("echo", identity(&[]), Arc::new(Says("payload")));
    let calls: Vec<_> = (0..500)
        .map(|_| tokio::spawn(world.start(from_host("echo"))))
        .collect();
    for _ in 0..50 {
        world.router.retract_actor(&publication);
        tokio::task::yield_now().await;
        publication = world.publish("echo", identity(&[]), Arc::new(Says("payload")));
    }
    // These actors answer in one poll, so nothing is ever in flight when one is retracted.
    for call in calls {
        served(&call.await.expect("no panic"));
    }
    assert_eq!(world.router.in_flight(), 0);
}

#[tokio::test]
async fn ten_thousand_actors_come_and_go() {
    let world = World::new();
    let names: Vec<_> = (0..10_000)
        .map(|number| format!("actor-{number}"))
        .collect();
    let publications: Vec<_> = names
        .iter()
        .map(|name| world.run(name, identity(&[]), Arc::new(Says("payload"))))
        .collect();
    for publication in &publications {
        world.router.retract_actor(publication);
    }
    for name in &names {
        world.publish(name, identity(&[]), Arc::new(Says("payload")));
        served(&world.call(from_host(name)).await);
        world.router.forget_actor(&id(name));
    }
    assert!(world.router.actors().is_empty());
    let by_key = call(Origin::Host, Target::Actor(names[0].clone()));
    assert_eq!(code(world.call(by_key).await), Some(Code::UnknownTarget));
}
