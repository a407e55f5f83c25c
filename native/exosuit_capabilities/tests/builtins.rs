//! The builtins, and opening a provider by its name.

mod common;

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use anyhow::Result;
use common::{call, call_raw, call_wit, configuration, hex, id};
use exosuit_capabilities::{LocalLattice, Logging, NumberGen, Surroundings, check, open};
use exosuit_core::{
    Answer, Builtin, Code, Configuration, Deliver, Invocation, LogGate, LogLevel, Notice, Observe,
    Value,
};
use parking_lot::Mutex;
use serde_json::json;

#[derive(Default)]
struct Seen(Mutex<Vec<Notice>>);

impl Observe for Seen {
    fn observe(&self, notice: Notice) {
        self.0.lock().push(notice);
    }
}

fn logging(burst: u32) -> (Logging, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let gate = Arc::new(LogGate::new(seen.clone(), 1, burst));
    (Logging::new(gate), seen)
}

#[tokio::test]
async fn a_line_reaches_the_log_with_its_actor_and_level() -> Result<()> {
    let (logging, seen) = logging(100);
    let levels = [
        ("debug", LogLevel::Debug),
        ("info", LogLevel::Info),
        ("warn", LogLevel::Warning),
        ("Warning", LogLevel::Warning),
        ("error", LogLevel::Error),
        ("catastrophe", LogLevel::Error),
    ];
    for (level, _) in levels {
        let entry = rmp_serde::to_vec_named(&json!({"level": level, "text": level}))?;
        let answer = call_raw(&logging, None, "Logging.WriteLog", &entry).await?;
        assert!(answer.is_empty());
    }
    let seen = seen.0.lock();
    assert_eq!(seen.len(), levels.len());
    for (notice, (word, expected)) in seen.iter().zip(levels) {
        let Notice::Log { actor, level, text } = notice else {
            panic!("{notice:?}");
        };
        assert_eq!(
            (actor, *level, text.as_str()),
            (&id("actor"), expected, word)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_component_logs_with_a_context() -> Result<()> {
    let (logging, seen) = logging(100);
    for (operation, level, context, expected, text) in [
        (
            "wasi:logging/logging#log",
            "trace",
            "",
            LogLevel::Debug,
            "it",
        ),
        (
            "wasi:logging/logging@0.1.0-draft#log",
            "critical",
            "a b",
            LogLevel::Error,
            "[a b] it",
        ),
    ] {
        let entry = vec![
            Value::case(level),
            Value::binary(context),
            Value::binary("it"),
        ];
        let answer = call_wit(&logging, None, operation, entry).await?;
        assert_eq!(answer, Value::Nil);
        let Some(Notice::Log {
            actor,
            level,
            text: found,
        }) = seen.0.lock().pop()
        else {
            panic!("no line");
        };
        assert_eq!(
            (actor, level, found.as_str()),
            (id("actor"), expected, text)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_flood_of_lines_is_dropped_without_an_error() -> Result<()> {
    let (logging, seen) = logging(3);
    // {level: "warn", text: "careful"} as the crate wasmcloud-interface-logging 0.11.0 encodes it.
    let entry = hex("82a56c6576656ca47761726ea474657874a76361726566756c");
    for _ in 0..100 {
        call_raw(&logging, None, "Logging.WriteLog", &entry).await?;
    }
    assert!(seen.0.lock().len() < 10);
    Ok(())
}

#[tokio::test]
async fn numbers_are_random_and_within_their_range() -> Result<()> {
    let numbers = NumberGen::new();
    let mut seen = HashSet::new();
    for _ in 0..300 {
        let range = json!({"min": 5, "max": 7});
        let number: u32 = call(&numbers, None, "NumberGen.RandomInRange", range).await?;
        seen.insert(number);
    }
    assert_eq!(seen, HashSet::from([5, 6, 7]));

    for (min, max) in [(9, 9), (0, u32::MAX)] {
        let range = json!({"min": min, "max": max});
        let number: u32 = call(&numbers, None, "NumberGen.RandomInRange", range).await?;
        assert!((min..=max).contains(&number));
    }
    let one: u32 = call(&numbers, None, "NumberGen.Random32", ()).await?;
    let other: u32 = call(&numbers, None, "NumberGen.Random32", ()).await?;
    let third: u32 = call(&numbers, None, "NumberGen.Random32", ()).await?;
    assert!(one != other || other != third);
    Ok(())
}

#[tokio::test]
async fn an_empty_range_is_an_error_that_says_so() {
    let numbers = NumberGen::new();
    let range = json!({"min": 2, "max": 1});
    let answer = call::<u32>(&numbers, None, "NumberGen.RandomInRange", range).await;
    let error = answer.expect_err("an empty range");
    assert_eq!(error.code, Code::InvalidInput);
    assert_eq!(
        error.detail,
        "the range from 2 to 1 is empty: min must not be above max"
    );
}

#[tokio::test]
async fn a_guid_is_of_version_4() -> Result<()> {
    let numbers = NumberGen::new();
    let guid: String = call(&numbers, None, "NumberGen.GenerateGuid", ()).await?;
    let parts: Vec<usize> = guid.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{guid}");
    assert_eq!(&guid[14..15], "4", "{guid}");
    assert!("89ab".contains(&guid[19..20]), "{guid}");

    let other: String = call(&numbers, None, "NumberGen.GenerateGuid", ()).await?;
    assert_ne!(guid, other);
    Ok(())
}

#[tokio::test]
async fn builtins_refuse_what_is_not_in_their_contract() {
    let (logging, _) = logging(1);
    for (operation, code) in [
        ("Logging.ReadLog", Code::UnknownOperation),
        ("Logging.WriteLog", Code::InvalidInput),
    ] {
        let answer = call_raw(&logging, None, operation, b"\xc1").await;
        assert_eq!(answer.expect_err(operation).code, code);
    }
    let log = "wasi:logging/logging#log";
    for (operation, arguments, code) in [
        ("wasi:logging/logging#read", vec![], Code::UnknownOperation),
        ("wasi:logging/other#log", vec![], Code::UnknownOperation),
        (log, vec![], Code::InvalidInput),
        (log, vec![Value::binary("info"); 4], Code::InvalidInput),
        (
            log,
            vec![Value::binary(&b"\xff"[..]); 3],
            Code::InvalidInput,
        ),
    ] {
        let answer = call_wit(&logging, None, operation, arguments).await;
        assert_eq!(answer.expect_err(operation).code, code);
    }
    for (operation, code) in [
        ("NumberGen.Random64", Code::UnknownOperation),
        ("NumberGen.RandomInRange", Code::InvalidInput),
    ] {
        let answer = call_raw(&NumberGen::new(), None, operation, b"\xc1").await;
        assert_eq!(answer.expect_err(operation).code, code);
    }
}

struct Nobody;

impl Deliver for Nobody {
    fn deliver(&self, _invocation: Invocation) -> Answer {
        Box::pin(std::future::pending())
    }
}

fn surroundings(configuration: Configuration) -> Surroundings {
    Surroundings {
        id: id("provider"),
        configuration,
        data_dir: None,
        deliver: Weak::<Nobody>::new(),
        observe: Arc::new(Seen::default()),
        ports: Arc::default(),
        lattice: LocalLattice::new(),
    }
}

#[test]
fn each_provider_opens_by_its_name() -> Result<()> {
    for name in Builtin::all_names() {
        let provider = open(name, surroundings(Configuration::new()))?;
        assert!(!provider.contracts().is_empty(), "{name}");
    }
    Ok(())
}

#[test]
fn settings_are_checked_while_the_provider_holds_its_file() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let surroundings = |settings: &[(&str, &str)]| Surroundings {
        data_dir: Some(directory.path().into()),
        ..surroundings(configuration(settings))
    };
    let good = [("backend", "file"), ("max_items", "7")];
    check("keyvalue", surroundings(&good))?;
    assert_eq!(std::fs::read_dir(directory.path())?.count(), 0);

    let _running = open("keyvalue", surroundings(&[("backend", "file")]))?;
    check("keyvalue", surroundings(&good))?;
    check("keyvalue", surroundings(&[]))?;
    for (name, value) in [("max_items", "?"), ("backend", "nats"), ("max_bytes", "0")] {
        let bad = surroundings(&[("backend", "file"), (name, value)]);
        let error = check("keyvalue", bad).expect_err("bad settings");
        assert_eq!(error.code, Code::InvalidLink, "{name}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_opened_says_why() {
    let error = open("redis", surroundings(Configuration::new())).err();
    let error = error.expect("an unknown name");
    assert_eq!(error.code, Code::InvalidInput);
    assert_eq!(
        error.detail,
        "there is no built-in provider \"redis\"; known are http-client, http-server, keyvalue, \
         messaging, messaging-nats"
    );
    for name in Builtin::all_names() {
        let bad = configuration(&[
            ("max_bytes", "?"),
            ("max_body_bytes", "?"),
            ("max_connections", "?"),
            ("max_in_flight", "?"),
        ]);
        let checked = check(name, surroundings(bad.clone())).expect_err("bad settings");
        let error = open(name, surroundings(bad)).err().expect("bad settings");
        assert_eq!(error.code, Code::InvalidLink, "{name}");
        assert_eq!(checked, error, "{name}");
    }
}
