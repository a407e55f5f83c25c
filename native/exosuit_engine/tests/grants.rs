//! WASI shows a guest the granted parts of its host, and nothing else.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use exosuit_core::{Code, Deliver as _, Invocation, Payload, Value};
use exosuit_engine::{Directory, WasiGrants};
use tempfile::{TempDir, tempdir};

use common::{World, assert_says, call, failure, far, guest, invocation, start};

fn granting(grants: WasiGrants) -> Result<World> {
    let world = World::new()?;
    Ok(World { grants, ..world })
}

/// `/data` in the guest, as a world that grants nothing else.
fn directory(host: &Path, writable: bool) -> WasiGrants {
    let directory = Directory {
        host: host.to_owned(),
        guest: "/data".to_owned(),
        writable,
    };
    WasiGrants {
        directories: vec![directory],
        ..WasiGrants::default()
    }
}

/// A directory with one file in it, beside another that nobody grants.
fn files() -> Result<TempDir> {
    let files = tempdir()?;
    fs::create_dir(files.path().join("data"))?;
    fs::write(files.path().join("data/note"), "of the host")?;
    fs::write(files.path().join("secret"), "not for guests")?;
    Ok(files)
}

#[tokio::test]
async fn a_guest_sees_its_arguments_and_its_environment() -> Result<()> {
    let world = granting(WasiGrants {
        arguments: vec!["--verbose".to_owned(), "two words".to_owned()],
        environment: vec![("LEVEL".to_owned(), "debug".to_owned())],
        ..WasiGrants::default()
    })?;
    let granted = world.actor("granted").await?;

    let arguments = call(&granted, "args", "").await?;
    assert_eq!(&arguments[..], b"main.wasm\0--verbose\0two words\0");
    assert_eq!(&call(&granted, "env", "").await?[..], b"LEVEL=debug\0");
    Ok(())
}

#[tokio::test]
async fn a_guest_that_was_granted_nothing_sees_its_name_alone() -> Result<()> {
    let world = World::new()?;
    let granted = world.actor("granted").await?;

    assert_eq!(&call(&granted, "args", "").await?[..], b"main.wasm\0");
    assert_eq!(&call(&granted, "env", "").await?[..], b"");
    let error = failure(&granted, "read").await?;
    assert_says(&error, Code::Guest, &["errno 08"]);
    Ok(())
}

#[tokio::test]
async fn a_directory_is_read_and_not_written_unless_that_was_granted() -> Result<()> {
    let files = files()?;
    let data = files.path().join("data");
    let reads = granting(directory(&data, false))?;
    let writes = granting(directory(&data, true))?;

    let reads = reads.actor("granted").await?;
    assert_eq!(&call(&reads, "read", "note").await?[..], b"of the host");
    for file in ["note", "new"] {
        let error = start(&reads, "write", file).await.err();
        assert!(error.is_some_and(|error| error.code == Code::Guest));
    }
    assert_eq!(fs::read_to_string(data.join("note"))?, "of the host");
    assert!(!data.join("new").exists());

    call(&writes.actor("granted").await?, "write", "new").await?;
    assert_eq!(fs::read_to_string(data.join("new"))?, "written");
    Ok(())
}

#[tokio::test]
async fn no_path_leads_out_of_a_directory() -> Result<()> {
    let files = files()?;
    let data = files.path().join("data");
    symlink("../secret", data.join("relative"))?;
    symlink(files.path().join("secret"), data.join("absolute"))?;
    let world = granting(directory(&data, true))?;
    let granted = world.actor("granted").await?;

    let absolute = files.path().join("secret").display().to_string();
    for path in ["../secret", "relative", "absolute", &absolute] {
        for operation in ["read", "write"] {
            let answer = start(&granted, operation, path.to_owned()).await;
            assert!(answer.is_err(), "{operation} {path}: {answer:?}");
        }
    }
    let secret = fs::read_to_string(files.path().join("secret"))?;
    assert_eq!(secret, "not for guests");
    Ok(())
}

#[tokio::test]
async fn a_link_to_a_directory_is_followed_when_the_actor_is_made_and_no_later() -> Result<()> {
    let files = files()?;
    let current = files.path().join("current");
    symlink("data", &current)?;
    let world = granting(directory(&current, false))?;
    let granted = world.actor("granted").await?;

    fs::remove_file(&current)?;
    symlink("..", &current)?;
    assert_eq!(&call(&granted, "read", "note").await?[..], b"of the host");
    Ok(())
}

#[tokio::test]
async fn a_directory_must_be_there_when_the_actor_is_made() -> Result<()> {
    let files = files()?;
    for (path, reason) in [("gone", "No such file"), ("secret", "not a directory")] {
        let path = files.path().join(path);
        let world = granting(directory(&path, false))?;
        let module = world.engine.compile(guest("granted")?).await?;

        let error = world.start(&module).err().expect("a refusal");
        assert_says(
            &error.into(),
            Code::Io,
            &[&path.display().to_string(), reason],
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_directory_that_went_away_fails_the_call_under_the_guests_own_name_for_it() -> Result<()>
{
    let files = files()?;
    let data = files.path().join("data");
    let world = granting(directory(&data, false))?;
    let granted = world.actor("granted").await?;
    fs::remove_dir_all(&data)?;

    let error = failure(&granted, "args").await?;
    assert_says(&error, Code::Io, &["/data", "No such file"]);
    assert!(!error.detail.contains(&data.display().to_string()));
    Ok(())
}

/// Asks for a socket of that kind; gives 100 for a refusal, and the number of its error more.
fn dialer(kind: &str) -> String {
    let codes = "unknown access-denied not-supported invalid-argument out-of-memory timeout \
        concurrency-conflict not-in-progress would-block invalid-state new-socket-limit \
        address-not-bindable address-in-use remote-unreachable connection-refused \
        connection-reset connection-aborted datagram-too-large name-unresolvable \
        temporary-resolver-failure permanent-resolver-failure";
    let codes: Vec<_> = codes.split(' ').map(|code| format!("{code:?}")).collect();
    let codes = codes.join(" ");
    format!(
        r#"
(component
  (import "wasi:sockets/network@0.2.0" (instance $network
    (type $code (enum {codes}))
    (export "error-code" (type (eq $code)))
    (type $family (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $family)))))
  (alias export $network "error-code" (type $code))
  (alias export $network "ip-address-family" (type $family))
  (import "wasi:sockets/{kind}@0.2.0" (instance $kind
    (export "{kind}-socket" (type (sub resource)))))
  (alias export $kind "{kind}-socket" (type $socket))
  (import "wasi:sockets/{kind}-create-socket@0.2.0" (instance $create
    (alias outer 1 $code (type $outer-code))
    (export "error-code" (type $code (eq $outer-code)))
    (alias outer 1 $family (type $outer-family))
    (export "ip-address-family" (type $family (eq $outer-family)))
    (alias outer 1 $socket (type $outer-socket))
    (export "{kind}-socket" (type $socket (eq $outer-socket)))
    (export "create-{kind}-socket" (func
      (param "address-family" $family) (result (result (own $socket) (error $code)))))))
  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $bytes))
  (core func $create (canon lower
    (func $create "create-{kind}-socket") (memory $bytes)))
  (core module $guest
    (import "memory" "memory" (memory 1))
    (import "sockets" "create" (func $create (param i32 i32)))
    (func (export "dial") (result i32)
      (call $create (i32.const 0) (i32.const 0))
      (i32.add
        (i32.mul (i32.const 100) (i32.load8_u (i32.const 0)))
        (i32.load8_u (i32.const 4)))))
  (core instance $guest (instantiate $guest
    (with "memory" (instance $memory))
    (with "sockets" (instance (export "create" (func $create))))))
  (func (export "dial") (result u32) (canon lift (core func $guest "dial"))))
"#
    )
}

#[tokio::test]
async fn no_guest_gets_a_socket() -> Result<()> {
    const ACCESS_DENIED: i128 = 101;
    let world = World::new()?;
    for kind in ["tcp", "udp"] {
        let dialer = world.text(&dialer(kind)).await?;
        let call = Invocation {
            payload: Payload::Values(Vec::new()),
            ..invocation("dial", "", far())
        };
        let told = dialer.deliver(call).await?.into_value()?;
        assert_eq!(told, Value::Integer(ACCESS_DENIED), "{kind}");
    }
    Ok(())
}

#[test]
fn what_is_printed_of_grants_holds_no_value() {
    let grants = WasiGrants {
        arguments: vec!["--password=hunter2".to_owned()],
        environment: vec![("PASSWORD".to_owned(), "hunter2".to_owned())],
        directories: Vec::new(),
    };
    let text = format!("{grants:?}");
    assert!(
        text.contains("PASSWORD") && !text.contains("hunter2"),
        "{text}"
    );
}
