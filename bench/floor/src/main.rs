//! The floors of `bin/bench`: the same work as Exosuit's with nothing left to remove.
//!
//! `plain` is a guest in wasmtime alone, `engine` the same guest in the engine crate, `serve`
//! hyper before the former, `component` hyper before a component, `typed` components of typed functions, `load` the client that asks
//! either server, `nats` the client that asks a host over NATS and who sends back what it gets, and
//! `wake` how long Tokio takes to wake. `bin/bench` starts this program as a
//! child, writes a request a line and reads an answer a line, so that rounds of floor and of Exosuit
//! take turns and a noisy minute hits both.
//!
//! `exosuit-bench-floor assemble IN.wat OUT.wasm` makes the guests for both, `sign` gives one a name
//! (a key) by which it is known in a lattice.

mod component;
mod engine;
mod load;
mod nats;
mod plain;
mod serve;
mod typed;
mod wake;

use std::io::{Write as _, stdin, stdout};
use std::sync::Arc;
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use exosuit_claims::{Draft, KeyKind, KeyPair, unix_now};
use exosuit_engine::Instances;

use crate::component::Component;
use crate::engine::EngineActor;
use crate::plain::{Guest, plain};
use crate::typed::Typed;

/// What the callers send.
pub(crate) const PAYLOAD: [u8; 100] = [7; 100];

/// As an actor is by default.
const WARM: Instances = Instances::Warm {
    pool: 4,
    calls: 1_000,
    idle: Duration::from_mins(1),
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["assemble", text, wasm] => Ok(std::fs::write(wasm, wat::parse_file(text)?)?),
        ["sign", name, bare, signed] => sign(name, bare, signed),
        ["floor", echo, web, component, typed, caller] => {
            floor(echo, web, component, [typed, caller])
        }
        ["nats-echo", url, subject, kind] => nats::echo(url, subject, kind, None),
        ["nats-echo", url, subject, kind, issuer] => nats::echo(url, subject, kind, Some(issuer)),
        _ => bail!(
            "usage: exosuit-bench-floor assemble IN.wat OUT.wasm | sign NAME IN.wasm OUT.wasm | \
             floor ECHO.wasm WEB.wasm COMPONENT.wasm TYPED.wasm \
             TYPED-CALLER.wasm | nats-echo URL SUBJECT mac|signed [ISSUER]"
        ),
    }
}

/// By an account that is made for it. The key is that of the name.
fn sign(name: &str, bare: &str, signed: &str) -> Result<()> {
    let draft = Draft::new(
        KeyPair::derive(KeyKind::Module, name).public_key().clone(),
        name,
    );
    let issuer = KeyPair::generate(KeyKind::Account);
    let wasm = exosuit_claims::sign(&std::fs::read(bare)?, &draft, &issuer, unix_now())?;
    Ok(std::fs::write(signed, wasm)?)
}

/// Answers requests until there are no more.
fn floor(echo: &str, web: &str, component: &str, typed: [&str; 2]) -> Result<()> {
    let read = |path: &str| std::fs::read(path).with_context(|| format!("cannot read {path}"));
    let echo = read(echo)?;
    let web = Guest::new(&read(web)?).map_err(|error| plain(&error))?;
    let guest = Guest::new(&echo).map_err(|error| plain(&error))?;
    let fresh = EngineActor::new(echo.clone(), Instances::Ephemeral)?;
    let warm = EngineActor::new(echo, WARM)?;
    let component = Component::new(&read(component)?).map_err(|error| plain(&error))?;
    let [typed, caller] = typed.map(read);
    let typed = Typed::new(&typed?, &caller?).map_err(|error| plain(&error))?;
    say(format!(
        "{} {}",
        serve::start(Arc::new(web))?,
        component::start(component)?
    ))?;
    for line in stdin().lines() {
        let line = line?;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["plain", callers, calls] => {
                let call = || guest.instance()?.echo(&PAYLOAD);
                let caller = || Ok(|| call().map_err(|error| plain(&error)));
                say(seconds(callers.parse()?, calls.parse()?, caller)?)?;
            }
            ["warm", callers, calls] => {
                let caller = || {
                    let mut instance = guest.instance().map_err(|error| plain(&error))?;
                    Ok(move || instance.echo(&PAYLOAD).map_err(|error| plain(&error)))
                };
                say(seconds(callers.parse()?, calls.parse()?, caller)?)?;
            }
            ["engine", kind, calls] => {
                let actor = if kind == "warm" { &warm } else { &fresh };
                say(seconds(1, calls.parse()?, || Ok(|| actor.echo(&PAYLOAD)))?)?;
            }
            ["typed", name, calls] => {
                let caller = || {
                    let mut call = typed.call(name).map_err(|error| plain(&error))?;
                    Ok(move || call().map_err(|error| plain(&error)))
                };
                say(seconds(1, calls.parse()?, caller)?)?;
            }
            ["load", guest, port, connections, requests] => {
                let body = load::body(guest)?;
                let (connections, requests) = (connections.parse()?, requests.parse()?);
                let time = load::run(body, port.parse()?, connections, requests)?;
                say(time.as_secs_f64())?;
            }
            ["nats", ref words @ ..] => say(nats::load(words)?.as_secs_f64())?,
            ["publish", url, subject, file] => {
                say(nats::publish(url, subject, file)?.as_secs_f64())?;
            }
            ["wake", times] => say(wake::seconds(times.parse()?)?)?,
            _ => bail!("not a request: {line:?}"),
        }
    }
    Ok(())
}

fn say(answer: impl std::fmt::Display) -> Result<()> {
    println!("{answer}");
    Ok(stdout().flush()?)
}

/// How long so many calls take. Many callers are as many threads as there are cores: more would only
/// be in each other's way. What `caller` makes is each thread's own.
fn seconds<C: FnMut() -> Result<()>>(
    callers: usize,
    calls: u32,
    caller: impl Fn() -> Result<C> + Sync,
) -> Result<f64> {
    let threads = callers.min(available_parallelism()?.get());
    let each = calls / u32::try_from(threads)?;
    let start = Instant::now();
    scope(|scope| {
        let run = || {
            let mut call = caller()?;
            (0..each).try_for_each(|_| call())
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(_panic) => bail!("a caller panicked"),
            })
    })?;
    Ok(rest_counted(start.elapsed(), each, threads, calls))
}

/// As if the calls that do not divide by the threads had been made as well.
fn rest_counted(time: Duration, each: u32, threads: usize, calls: u32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let made = f64::from(each) * threads as f64;
    time.as_secs_f64() * f64::from(calls) / made
}
