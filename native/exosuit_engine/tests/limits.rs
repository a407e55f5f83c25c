//! The limits of compiling: a compile that exceeds one is ended, and affects only its module.

mod common;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use exosuit_core::Code;
use exosuit_engine::{CompileLimits, Engine, EngineOptions, Error, Stats};
use tokio::task::JoinSet;
use tokio::time::timeout;

use common::{OPTIONS, World, assert_says, call, guest};

/// Far below what these tests' slow compiles would take, and far above what the quick ones do.
const SOON: Duration = Duration::from_mins(1);

const GENEROUS: CompileLimits = CompileLimits {
    time: Duration::from_hours(1),
    memory_bytes: 64 << 30,
};

fn apart() -> EngineOptions {
    EngineOptions {
        compiler: Some(PathBuf::from(env!("CARGO_BIN_EXE_exosuit-compile"))),
        module_bytes: 16 << 20,
        ..OPTIONS
    }
}

/// A valid wasmbus module of one function of so many bytes. Each number makes another one.
fn huge(number: u8, bytes: usize) -> Bytes {
    // local.get 0, i32.const, i32.add, local.set 0: a chain that the optimizer cannot shorten away
    // before it has seen it.
    let step = [0x20, 0, 0x41, number & 0x3f, 0x6a, 0x21, 0];
    let mut body = vec![0];
    body.extend(step.repeat(bytes / step.len()));
    body.extend([0x20, 0, 0x0b]);
    let mut code = vec![1];
    code.extend(leb(body.len()));
    code.extend(body);
    let mut module = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\0".to_vec();
    module.extend(b"\x05\x03\x01\0\x01\x07\x19\x02\x06memory\x02\0\x0c__guest_call\0\0\x0a");
    module.extend(leb(code.len()));
    module.extend(code);
    module.into()
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[tokio::test]
async fn a_module_compiles_apart_as_it_does_here() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let engine = Engine::new(EngineOptions {
        cache: Some(cache.path().join("code")),
        ..apart()
    })?;
    assert!(engine.compiles_apart());
    let world = World::with(engine.clone(), |_| Box::pin(async { Ok(Bytes::new()) }));
    let echo = world.actor("echo").await?;
    assert_eq!(call(&echo, "Echo.Say", "hello").await?, "hello");
    let small = huge(1, 7_000);
    engine.compile(small.clone()).await?;
    let expected = Stats {
        compiled: 2,
        ..Stats::default()
    };
    assert_eq!(engine.stats(), expected);

    // What is wrong with a module reads the same.
    let invalid = huge(1, 7_000).slice(..7_000);
    let said = engine.compile(invalid.clone()).await.map(drop);
    let here = common::engine()?.compile(invalid).await.map(drop);
    assert!(matches!(said, Err(Error::Module(_))), "{said:?}");
    assert_eq!(said, here);

    // An engine without the program takes what the program made.
    let second = Engine::new(EngineOptions {
        cache: Some(cache.path().join("code")),
        ..OPTIONS
    })?;
    second.compile(small).await?;
    assert_eq!((second.stats().compiled, second.stats().loaded), (0, 1));
    Ok(())
}

#[tokio::test]
async fn huge_functions_cost_their_modules_alone() -> Result<()> {
    let engine = Engine::new(EngineOptions {
        compile_jobs: 2,
        ..apart()
    })?;
    let world = World::with(engine.clone(), |_| Box::pin(async { Ok(Bytes::new()) }));
    let echo = world.actor("echo").await?;
    let limits = CompileLimits {
        memory_bytes: 64 << 20,
        ..GENEROUS
    };
    let mut asking = JoinSet::new();
    for number in 0..20 {
        let module = huge(number, 2 << 20);
        asking.spawn(engine.compile_for("greedy".to_owned(), module, limits));
    }

    assert_eq!(call(&echo, "Echo.Say", "hello").await?, "hello");
    // Another tenant waits for one of them at the most.
    engine
        .compile_for("modest".to_owned(), guest("caller")?, GENEROUS)
        .await?;

    for outcome in asking.join_all().await {
        let error = outcome.map(drop).expect_err("a huge function");
        assert_eq!(error, Error::CompileEnded(64 << 20));
        assert_says(&error.into(), Code::InvalidModule, &["67108864 bytes"]);
    }
    assert_eq!(call(&echo, "Echo.Say", "still").await?, "still");
    Ok(())
}

#[tokio::test]
async fn a_compile_that_takes_too_long_is_ended() -> Result<()> {
    let engine = Engine::new(apart())?;
    let limits = CompileLimits {
        time: Duration::from_millis(50),
        ..GENEROUS
    };
    let compile = engine.compile_for(String::new(), huge(1, 7 << 20), limits);
    let error = timeout(SOON, compile).await?.map(drop);
    let error = error.expect_err("a huge function");
    assert_says(&error.into(), Code::InvalidModule, &["50ms"]);
    // Its turn is over.
    timeout(SOON, engine.compile(guest("echo")?)).await??;
    Ok(())
}

#[tokio::test]
async fn what_needs_no_compile_waits_for_none() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let options = || EngineOptions {
        cache: Some(cache.path().join("code")),
        ..apart()
    };
    Engine::new(options())?.compile(guest("echo")?).await?;

    let engine = Engine::new(options())?;
    let in_memory = engine.compile(guest("faults")?).await?;
    let slow = tokio::spawn(engine.compile_for("a".to_owned(), huge(1, 7 << 20), GENEROUS));
    let waiting = tokio::spawn(engine.compile_for("b".to_owned(), huge(2, 7 << 20), GENEROUS));
    // In the cache, and in memory.
    timeout(SOON, engine.compile(guest("echo")?)).await??;
    let again = timeout(SOON, engine.compile(guest("faults")?)).await??;
    assert!(again.shares_code_with(&in_memory));
    assert!(!slow.is_finished() && !waiting.is_finished());
    slow.abort();
    waiting.abort();
    Ok(())
}

#[tokio::test]
async fn a_compile_that_nobody_waits_for_ends() -> Result<()> {
    let engine = Engine::new(apart())?;
    let compile = |number, bytes| {
        let engine = engine.clone();
        tokio::spawn(engine.compile_for(String::new(), huge(number, bytes), GENEROUS))
    };
    // One that compiles, asked for twice, and one that waits for its turn.
    let (one, two) = (compile(1, 7 << 20), compile(1, 7 << 20));
    let waiting = compile(2, 7 << 20);
    one.abort();
    let _ = one.await;
    tokio::task::yield_now().await;
    assert!(!two.is_finished());
    two.abort();
    waiting.abort();
    timeout(SOON, engine.compile(guest("echo")?)).await??;

    // One that comes as the last one goes finds no dead compile.
    for number in 3..13 {
        let gone = compile(number, 7_000);
        tokio::task::yield_now().await;
        gone.abort();
        timeout(SOON, engine.compile(huge(number, 7_000))).await??;
    }
    Ok(())
}

#[tokio::test]
async fn without_the_program_only_what_ends_soon_is_compiled() -> Result<()> {
    let here = EngineOptions {
        compiler: Some(PathBuf::from("/nowhere/exosuit-compile")),
        ..apart()
    };
    let engine = Engine::new(here)?;
    assert!(!engine.compiles_apart());
    engine.compile(guest("echo")?).await?;
    let error = engine.compile(huge(1, 2 << 20)).await.map(drop);
    let error = error.expect_err("a huge function");
    assert_says(
        &error.into(),
        Code::InvalidModule,
        &["exosuit-compile", "1048576"],
    );
    Ok(())
}
