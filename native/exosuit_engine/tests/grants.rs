//! What WASI shows a guest of its host: what it was granted, and nothing else.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use exosuit_core::Code;
use exosuit_engine::{Directory, WasiGrants};
use tempfile::{TempDir, tempdir};

use common::{World, assert_says, call, failure, guest, start};

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
