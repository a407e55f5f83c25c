//! The file of the key-value store on a disk that is full: a small one of its own, mounted here.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use common::{Noted, call, call_raw, configuration, id, link};
use exosuit_capabilities::{KeyValue, LocalLattice};
use exosuit_core::{Capability, Code, Error};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A disk of 8 MiB, mounted for as long as this lives. Root alone may mount.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Result<Self> {
        let directory = TempDir::new()?;
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(directory.path());
        ensure!(
            mount.status()?.success(),
            "a tmpfs of 8 MiB could not be mounted"
        );
        Ok(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left but this.
    fn fill(&self, left: u64) -> Result<()> {
        let ballast = self.path().join("ballast");
        let mut size: u64 = 8 << 20;
        while fs::write(&ballast, vec![1; usize::try_from(size)?]).is_err() {
            size -= 4 << 10;
        }
        fs::write(
            &ballast,
            vec![1; usize::try_from(size.saturating_sub(left))?],
        )?;
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.path().join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "it stays mounted"
        );
    }
}

struct Store(Arc<KeyValue>);

impl Store {
    fn open(disk: &SmallDisk, noted: &Arc<Noted>) -> Result<Self, Error> {
        let settings = configuration(&[("backend", "file")]);
        let lattice = LocalLattice::new();
        let directory = Some(disk.path());
        KeyValue::open(
            id("provider"),
            &settings,
            directory,
            &*lattice,
            noted.clone(),
        )
        .map(Self)
    }

    async fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        let set = json!({"key": key, "value": value, "expires": 0});
        let payload = rmp_serde::to_vec_named(&set).expect("arguments are written");
        let link = Some(link("actor", "wasmcloud:keyvalue", &[]));
        call_raw(&*self.0, link, "KeyValue.Set", &payload)
            .await
            .map(drop)
    }

    async fn get(&self, key: &str) -> Result<Value, Error> {
        let link = Some(link("actor", "wasmcloud:keyvalue", &[]));
        call(&*self.0, link, "KeyValue.Get", key).await
    }

    /// Writes until it fails. Gives what was written, and why it failed.
    async fn write_until_it_fails(&self) -> (usize, Error) {
        let value = "x".repeat(64 << 10);
        for number in 0.. {
            if let Err(error) = self.set(&format!("k{number}"), &value).await {
                return (number, error);
            }
        }
        unreachable!("the disk has 8 MiB")
    }
}

#[tokio::test]
async fn a_full_disk_fails_writes_for_as_long_as_it_is_full_and_no_reads() -> Result<()> {
    let disk = SmallDisk::mount()?;
    let noted = Arc::new(Noted::default());
    let store = Store::open(&disk, &noted)?;
    store.set("a", "kept").await?;
    disk.fill(512 << 10)?;

    let (written, error) = store.write_until_it_fails().await;
    assert_eq!(error.code, Code::Io, "{error}");
    for _ in 0..3 {
        assert_eq!(store.get("a").await?["value"], "kept");
        let error = store
            .set("b", &"x".repeat(64 << 10))
            .await
            .expect_err("the disk is full");
        assert_eq!(error.code, Code::Io, "{error}");
        assert!(error.detail.contains("cannot write to"), "{error}");
    }
    let sick = store.0.health().await.expect_err("it takes no writes");
    assert_eq!(sick.code, Code::Unavailable, "it goes on by itself: {sick}");
    let told = noted.of_provider();
    let [(true, warning)] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(warning.contains("reads go on"), "{warning}");

    disk.free()?;
    // The pause after writes that failed although the disk took bytes is the longest that passes.
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    while let Err(error) = store.set("b", "written").await {
        assert!(error.detail.contains("next try in"), "{error}");
        pause.tick().await;
    }
    assert_eq!(store.get("b").await?["value"], "written");
    for number in 0..written {
        assert_eq!(
            store.get(&format!("k{number}")).await?["exists"],
            true,
            "{number}"
        );
    }
    store.0.health().await?;
    let told = noted.of_provider();
    assert!(!told[1].0 && told.len() == 2, "{told:?}");

    store.0.stop().await?;
    drop(store);
    let again = Store::open(&disk, &noted)?;
    assert_eq!(again.get("b").await?["value"], "written");
    again.0.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_first_write_after_the_disk_has_room_again_goes_well() -> Result<()> {
    let disk = SmallDisk::mount()?;
    let noted = Arc::new(Noted::default());
    let store = Store::open(&disk, &noted)?;
    disk.fill(0)?;
    store.write_until_it_fails().await;
    disk.free()?;
    store.set("b", "written").await?;
    assert_eq!(store.get("b").await?["value"], "written");
    store.0.stop().await?;
    Ok(())
}
