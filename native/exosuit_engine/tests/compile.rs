//! Modules are compiled once: per engine, and per cache directory.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use exosuit_core::Code;
use exosuit_engine::{Allocator, Engine, EngineOptions, Error, Stats};
use tokio::task::JoinSet;

use common::{OPTIONS, World, assert_says, call, engine, guest};

fn cached(directory: &Path) -> Result<Engine> {
    Ok(Engine::new(EngineOptions {
        cache: Some(directory.to_owned()),
        ..OPTIONS
    })?)
}

fn code_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "cwasm")
        {
            files.push(path);
        }
    }
    Ok(files)
}

async fn answers(engine: Engine) -> Result<()> {
    let world = World::with(engine, |_| Box::pin(async { Ok(Bytes::new()) }));
    let echo = world.actor("echo").await?;
    assert_eq!(call(&echo, "Echo.Say", "hello").await?, "hello");
    Ok(())
}

/// Wasmparser would read it by recursion, to the end of its stack and of the process.
#[tokio::test]
async fn a_component_whose_types_are_nested_without_end_is_refused() -> Result<()> {
    const DEPTH: usize = 100_000;
    let mut types = vec![1];
    types.extend(b"\x41\x01\x01".repeat(DEPTH));
    types.extend(b"\x41\x00");
    let mut component = b"\0asm\x0d\0\x01\0\x07".to_vec();
    // 300 003 bytes, seven bits at a time.
    component.extend(b"\xe3\xa7\x12");
    component.extend(&types);
    let error = engine()?.compile(component.into()).await.map(drop);
    assert_says(
        &error.expect_err("a component").into(),
        Code::InvalidModule,
        &["nested more than 64 deep"],
    );
    Ok(())
}

#[tokio::test]
async fn many_who_ask_at_once_get_one_compilation() -> Result<()> {
    let engine = engine()?;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        asking.spawn(engine.compile(guest("echo")?));
    }

    let modules: Vec<_> = asking
        .join_all()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;

    assert!(
        modules
            .iter()
            .all(|module| module.shares_code_with(&modules[0]))
    );
    let expected = Stats {
        compiled: 1,
        shared: 49,
        ..Stats::default()
    };
    assert_eq!(engine.stats(), expected);
    Ok(())
}

#[tokio::test]
async fn a_module_that_nobody_has_any_more_is_compiled_again() -> Result<()> {
    let engine = engine()?;

    drop(engine.compile(guest("echo")?).await?);
    drop(engine.compile(guest("echo")?).await?);

    assert_eq!(engine.stats().compiled, 2);
    Ok(())
}

#[tokio::test]
async fn a_second_engine_takes_the_code_from_the_cache() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path().join("made/for/it");

    let first = cached(&directory)?;
    answers(first.clone()).await?;
    let second = cached(&directory)?;
    answers(second.clone()).await?;

    assert_eq!(second.cache_refusal(), None);
    assert_eq!((first.stats().compiled, first.stats().loaded), (1, 0));
    assert_eq!((second.stats().compiled, second.stats().loaded), (0, 1));
    assert_eq!(
        fs::metadata(&directory)?.permissions().mode() & 0o777,
        0o700
    );
    let key = fs::metadata(directory.join("key"))?;
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&directory)?.count(), 2, "leftovers");
    Ok(())
}

#[tokio::test]
async fn code_that_was_touched_is_compiled_again_and_replaced() -> Result<()> {
    type Touch = fn(&mut Vec<u8>);
    let touches: [Touch; 5] = [
        |code| code[0] ^= 1,
        |code| *code.last_mut().expect("not empty") ^= 1,
        |code| code.truncate(code.len() / 2),
        Vec::clear,
        |code| code.extend(b"more"),
    ];
    let directory = tempfile::tempdir()?;
    let directory = directory.path().join("cache");
    answers(cached(&directory)?).await?;

    for touch in touches {
        let files = code_files(&directory)?;
        let mut code = fs::read(&files[0])?;
        touch(&mut code);
        fs::write(&files[0], code)?;

        let engine = cached(&directory)?;
        answers(engine.clone()).await?;
        assert_eq!((engine.stats().compiled, engine.stats().loaded), (1, 0));

        let engine = cached(&directory)?;
        answers(engine.clone()).await?;
        assert_eq!((engine.stats().compiled, engine.stats().loaded), (0, 1));
    }
    Ok(())
}

#[tokio::test]
async fn code_of_one_module_does_not_pass_for_another() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path().join("cache");
    cached(&directory)?.compile(guest("faults")?).await?;
    let faults = code_files(&directory)?.pop().context("no code was kept")?;
    let faults_code = fs::read(&faults)?;
    fs::remove_file(faults)?;
    cached(&directory)?.compile(guest("echo")?).await?;
    let echo = code_files(&directory)?.pop().context("no code was kept")?;
    fs::write(echo, faults_code)?;

    let engine = cached(&directory)?;
    answers(engine.clone()).await?;

    assert_eq!(engine.stats().compiled, 1);
    Ok(())
}

#[tokio::test]
async fn with_another_key_nothing_is_taken() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path().join("cache");
    for bad_key in [&b"short"[..], &[7; 32]] {
        answers(cached(&directory)?).await?;
        fs::write(directory.join("key"), bad_key)?;

        let engine = cached(&directory)?;
        answers(engine.clone()).await?;

        assert_eq!((engine.stats().compiled, engine.stats().loaded), (1, 0));
    }
    Ok(())
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_not_used() -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))?;

    let engine = cached(directory.path())?;
    answers(engine.clone()).await?;

    let refusal = engine.cache_refusal().context("it is used")?;
    assert!(refusal.contains("others may write to it"), "{refusal}");
    assert_eq!(fs::read_dir(directory.path())?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn the_cache_keeps_no_more_than_it_may() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path().join("cache");
    answers(cached(&directory)?).await?;
    let one = fs::metadata(&code_files(&directory)?[0])?.len();

    let engine = Engine::new(EngineOptions {
        cache: Some(directory.clone()),
        cache_bytes: one * 5 / 2,
        ..OPTIONS
    })?;
    for name in ["faults", "flood", "caller", "start", "stateful"] {
        engine.compile(guest(name)?).await?;
    }

    let sizes = code_files(&directory)?
        .iter()
        .map(|path| Ok(fs::metadata(path)?.len()))
        .sum::<Result<u64>>()?;
    assert!(sizes <= one * 5 / 2, "{sizes} bytes are kept");
    assert!(sizes > 0, "nothing is kept");
    Ok(())
}

#[tokio::test]
async fn without_a_pool_it_works_and_says_why() -> Result<()> {
    let without = Engine::new(EngineOptions {
        pool_slots: 0,
        ..OPTIONS
    })?;
    // More than any address space has.
    let too_large = Engine::new(EngineOptions {
        pool_slots: u32::MAX,
        ..OPTIONS
    })?;

    assert_eq!(engine()?.allocator(), &Allocator::Pooling);
    for engine in [without, too_large] {
        assert!(matches!(engine.allocator(), Allocator::OnDemand { reason } if !reason.is_empty()));
        answers(engine).await?;
    }
    Ok(())
}

async fn refusal(text: &str) -> Result<exosuit_core::Error> {
    let error = engine()?.compile(wat::parse_str(text)?.into()).await;
    Ok(error.err().context("it was taken")?.into())
}

#[tokio::test]
async fn what_is_missing_or_too_much_is_named() -> Result<()> {
    let guest_call = r#"(func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1))"#;
    let memory = r#"(memory (export "memory") 1)"#;
    let cases = [
        (String::new(), "no memory \"memory\""),
        (memory.to_owned(), "no function \"__guest_call\""),
        (guest_call.to_owned(), "no memory \"memory\""),
        (
            format!(r#"{memory} (func (export "__guest_call"))"#),
            "\"__guest_call\" must be",
        ),
        (
            format!(r#"{memory} {guest_call} (func (export "_start") (param i32))"#),
            "\"_start\" must be",
        ),
        (
            format!(r#"(import "env" "counter" (global i32)) {memory} {guest_call}"#),
            "`env::counter`",
        ),
        (
            format!(
                r#"(import "wasmbus" "__guest_error" (func (param i64))) {memory} {guest_call}"#
            ),
            "`wasmbus::__guest_error`",
        ),
        (
            format!(
                r#"(import "wasi_snapshot_preview1" "proc_exit" (func)) {memory} {guest_call}"#
            ),
            "`wasi_snapshot_preview1::proc_exit`",
        ),
        (
            format!(r#"(memory (export "memory") i64 1) {guest_call}"#),
            "a memory of 32 bits",
        ),
    ];
    for (body, says) in cases {
        let error = refusal(&format!("(module {body})")).await?;
        assert_says(&error, Code::InvalidModule, &[says]);
    }
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_module_are_refused() -> Result<()> {
    let engine = engine()?;
    let mut broken = guest("echo")?.to_vec();
    broken.truncate(broken.len() - 3);
    let component = b"\0asm\x0d\0\x01\0\xff".to_vec();

    for (bytes, says) in [
        (b"(module)".to_vec(), "not Wasm"),
        (Vec::new(), "not Wasm"),
        (broken, "not valid"),
        (component, "the component is not valid"),
        (
            vec![0; OPTIONS.module_bytes + 1],
            "1048577 bytes, at most 1048576 are allowed",
        ),
    ] {
        let error = engine
            .compile(bytes.into())
            .await
            .err()
            .context("it was taken")?;
        assert_says(&error.into(), Code::InvalidModule, &[says]);
    }
    assert_eq!(engine.stats(), Stats::default());
    Ok(())
}

#[tokio::test]
async fn a_refused_module_is_refused_again_and_not_kept() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path().join("cache");
    let engine = cached(&directory)?;
    let empty = Bytes::from(wat::parse_str("(module)")?);

    for _ in 0..2 {
        let error = engine.compile(empty.clone()).await.err();
        assert!(matches!(error, Some(Error::Module(_))));
    }
    assert!(code_files(&directory)?.is_empty());
    Ok(())
}
