//! Tests that need a clock that can be put forward.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_core::{Context, Notice, Origin, Reply, Target, Value};
use tempfile::TempDir;

use super::*;
use crate::LocalLattice;
use lattice::nats::NatsServer;
use lattice::{join, server};

#[expect(dead_code, reason = "each test file uses its part")]
#[path = "../../tests/common/lattice.rs"]
mod lattice;

struct Timed {
    store: Arc<KeyValue>,
    now: Arc<AtomicU64>,
    _directory: Option<TempDir>,
}

struct Nobody;

impl Observe for Nobody {
    fn observe(&self, _notice: Notice) {}
}

impl Timed {
    fn open(settings: &[(&str, &str)], directory: Option<TempDir>) -> Self {
        Self::open_in(&*LocalLattice::new(), settings, directory)
    }

    fn open_in(
        lattice: &dyn Lattice,
        settings: &[(&str, &str)],
        directory: Option<TempDir>,
    ) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let configuration: Configuration = settings.iter().map(owned).collect();
        let now = Arc::new(AtomicU64::new(1_000_000));
        let clock = now.clone();
        let clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let id = Id::parse("provider").expect("an id");
        let path = directory.as_ref().map(TempDir::path);
        Self {
            store: KeyValue::open_at(id, &configuration, path, lattice, Arc::new(Nobody), clock)
                .expect("a store"),
            now,
            _directory: directory,
        }
    }

    /// On the backends that need no servers.
    fn here(settings: &[(&str, &str)]) -> [Self; 2] {
        let directory = TempDir::new().expect("a directory");
        [
            Self::open(settings, None),
            Self::open(settings, Some(directory)),
        ]
    }

    async fn each(settings: &[(&str, &str)], server: &NatsServer) -> [Self; 3] {
        let [memory, file] = Self::here(settings);
        let nats = Self::open_in(&join(server).await, settings, None);
        [memory, file, nats]
    }

    fn seconds_pass(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    async fn ask(&self, operation: &str, arguments: impl serde::Serialize) -> Result<Bytes, Error> {
        let arguments = message::write(&arguments).expect("arguments are written");
        let operation = format!("KeyValue.{operation}");
        self.invoke(operation, arguments.into()).await?.into_bytes()
    }

    /// How many keys are in a page, and the cursor of the next.
    async fn page(&self, cursor: Value) -> Result<(usize, Value), Error> {
        let arguments = vec![Value::binary("default"), cursor];
        let operation = "wasi:keyvalue/store#list-keys".to_owned();
        let page = self.invoke(operation, Payload::Values(arguments)).await?;
        let Value::Ok(Some(page)) = page.into_value()? else {
            panic!("no page");
        };
        match *page {
            Value::Tuple(fields) => match &fields[..] {
                [Value::List(keys), next] => Ok((keys.len(), next.clone())),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    async fn invoke(&self, operation: String, payload: Payload) -> Result<Reply, Error> {
        let invocation = Invocation {
            origin: Origin::Actor(Id::parse("actor").expect("an id")),
            target: Target::Actor("provider".to_owned()),
            operation,
            payload,
            context: Context::until(Instant::now() + Duration::from_mins(1)),
        };
        let link = None;
        self.store.invoke(CapabilityCall { invocation, link }).await
    }

    async fn set(&self, key: &str, value: &str, expires: u32) -> Result<(), Error> {
        self.ask("Set", (key, value, expires)).await.map(drop)
    }

    async fn has(&self, key: &str) -> bool {
        self.ask("Contains", key).await.expect("an answer") == [0xc3][..]
    }
}

#[tokio::test]
async fn a_text_expires_when_its_time_has_come() -> Result<(), Error> {
    for store in Timed::each(&[], &server().await).await {
        store.set("short", "a", 10).await?;
        store.set("long", "a", 20).await?;
        store.set("for ever", "a", 0).await?;
        store.seconds_pass(9);
        assert!(store.has("short").await);
        store.seconds_pass(1);
        assert!(!store.has("short").await);
        assert!(store.has("long").await);
        store.seconds_pass(1_000_000);
        assert!(!store.has("long").await);
        assert!(store.has("for ever").await);
    }
    Ok(())
}

#[tokio::test]
async fn setting_again_takes_back_what_was_said_about_expiry() -> Result<(), Error> {
    for store in Timed::each(&[], &server().await).await {
        store.set("a", "1", 10).await?;
        store.set("a", "2", 0).await?;
        store.set("b", "1", 10).await?;
        store.set("b", "2", 30).await?;
        store.seconds_pass(20);
        // This one clears away what has expired: it must not take the newer ones along.
        store.set("c", "1", 0).await?;
        assert!(store.has("a").await && store.has("b").await);
        store.seconds_pass(20);
        assert!(!store.has("b").await);
    }
    Ok(())
}

#[tokio::test]
async fn an_increment_keeps_the_expiry_and_starts_again_after_it() -> Result<(), Error> {
    for store in Timed::each(&[], &server().await).await {
        store.set("n", "41", 10).await?;
        assert_eq!(store.ask("Increment", ("n", 1)).await?, [42][..]);
        store.seconds_pass(10);
        assert_eq!(store.ask("Increment", ("n", 1)).await?, [1][..]);
        store.seconds_pass(10);
        assert_eq!(store.ask("Increment", ("n", 1)).await?, [2][..]);
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_text_is_free_for_a_list() -> Result<(), Error> {
    for store in Timed::each(&[], &server().await).await {
        store.set("l", "a", 10).await?;
        assert!(store.ask("ListAdd", ("l", "a")).await.is_err());
        store.seconds_pass(10);
        assert_eq!(store.ask("ListAdd", ("l", "a")).await?, [1][..]);
        store.seconds_pass(10);
        assert_eq!(store.ask("ListAdd", ("l", "b")).await?, [2][..]);
    }
    Ok(())
}

#[tokio::test]
async fn what_took_the_place_of_an_expired_text_is_not_cleared_away() -> Result<(), Error> {
    for store in Timed::each(&[], &server().await).await {
        // More of them than one change clears away, so that the list finds its text still there.
        for n in 0..50 {
            store.set(&n.to_string(), "a", 10).await?;
        }
        store.seconds_pass(1);
        store.set("l", "a", 10).await?;
        store.seconds_pass(10);
        assert_eq!(store.ask("ListAdd", ("l", "a")).await?, [1][..]);
        for _ in 0..50 {
            store.set("another", "change", 0).await?;
        }
        assert_eq!(store.ask("ListAdd", ("l", "b")).await?, [2][..]);
    }
    Ok(())
}

#[tokio::test]
async fn what_has_expired_is_in_no_page_and_makes_none_endless() -> Result<(), Error> {
    // In memory alone: that many commits take their time.
    let store = Timed::open(&[], None);
    for n in 0..4_100 {
        store.set(&format!("{n:04}"), "a", 10).await?;
    }
    store.set("last", "a", 0).await?;
    assert_eq!(store.page(Value::Nil).await?.0, 1_000);
    store.seconds_pass(10);
    let (keys, next) = store.page(Value::Nil).await?;
    assert_eq!(keys, 0);
    assert_eq!(store.page(next).await?, (1, Value::Nil));
    Ok(())
}

#[tokio::test]
async fn what_expired_makes_room_though_nobody_asks_for_it() -> Result<(), Error> {
    for store in Timed::here(&[("max_bytes", "20k"), ("max_bucket_bytes", "20k")]) {
        for round in 0..10 {
            for n in 0..8 {
                let key = format!("{round}-{n}");
                store.set(&key, &"x".repeat(1_000), 10).await?;
            }
            store.seconds_pass(10);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_full_store_recovers_though_each_change_frees_less_than_the_next_needs()
-> Result<(), Error> {
    for store in Timed::here(&[("max_bytes", "100k"), ("max_bucket_bytes", "100k")]) {
        let mut n = 0;
        while store.set(&n.to_string(), "small", 10).await.is_ok() {
            n += 1;
        }
        assert!(n > 100);
        store.seconds_pass(10);
        let large = "x".repeat(90_000);
        let mut tries = 0;
        while store.set("large", &large, 0).await.is_err() {
            tries += 1;
            assert!(tries < n, "no room is made");
        }
        assert!(tries > 1);
    }
    Ok(())
}

#[tokio::test]
async fn what_expired_in_a_bucket_is_cleared_away_though_nobody_asks_for_it() -> Result<(), Error> {
    let server = server().await;
    let store = Timed::open_in(&join(&server).await, &[], None);
    for n in 0..10 {
        store.set(&n.to_string(), "a", 10).await?;
    }
    store.set("for ever", "a", 0).await?;
    store.seconds_pass(600);
    store.set("another", "change", 0).await?;
    let jetstream = async_nats::jetstream::new(server.client().await);
    let cleared = async {
        loop {
            let stream = jetstream.get_stream("KV_EXOSUIT_KV_default_provider").await;
            if stream.expect("the bucket").cached_info().state.messages == 2 {
                return;
            }
        }
    };
    lattice::within("the end of what expired", cleared).await;
    Ok(())
}
