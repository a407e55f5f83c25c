//! Applications. Any host answers for all, from the records that they share.
//!
//! `apply` needs three requests. First the manifest is stored as an object. A host then says which
//! files it names, as only a host parses manifests. The files are stored as well, and a host makes
//! a version of all. Objects are stored by their digests, so a repeated `apply` sends nothing
//! twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use exosuit_lattice::{Objects, SharedState};
use serde::Deserialize;
use serde_json::Value;

use super::control::Control;
use crate::failure::Failure;
use crate::protocol::{ApplyManifest, Command, PutApp};

/// The files that a manifest names.
#[derive(Deserialize)]
struct Named {
    files: Vec<String>,
}

/// Stores the manifest and its files in the lattice, and has a host store them as a version. The
/// hosts need not have these files.
pub(super) async fn apply(control: &Control, apply: &ApplyManifest) -> Result<Value, Failure> {
    let state = SharedState::new(&control.connection, control.lattice.clone(), None);
    let objects = state.objects();
    let manifest = upload(objects, Path::new(&apply.manifest)).await?;
    let files = Command::AppFiles {
        manifest: manifest.clone(),
        path: apply.manifest.clone(),
    };
    let named = Named::deserialize(control.ask_exosuit(&files).await?);
    let named = named.map_err(|error| Failure::refused("internal", error))?;
    let mut files = BTreeMap::new();
    for file in named.files {
        let digest = upload(objects, Path::new(&file)).await?;
        files.insert(file, digest);
    }
    let put = Command::PutApp(PutApp {
        manifest,
        path: apply.manifest.clone(),
        files,
        allow_issuer_change: apply.allow_issuer_change,
        if_version: apply.if_version,
    });
    control.ask_exosuit(&put).await
}

/// Stores a file, and returns its digest.
async fn upload(objects: &Objects, path: &Path) -> Result<String, Failure> {
    let about = || path.display().to_string();
    let bytes =
        fs::read(path).map_err(|error| Failure::io(format!("cannot read {}", about()), &error))?;
    let digest = objects.put(Bytes::from(bytes)).await;
    let digest = digest.map_err(|error| Failure::from(error).about(about()))?;
    Ok(digest.to_string())
}
