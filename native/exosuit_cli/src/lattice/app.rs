//! Applications: any host answers for all, from the records that they share.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use exosuit_lattice::{Objects, SharedState};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::control::Control;
use super::read;
use crate::failure::Failure;

#[derive(Deserialize)]
struct Apply {
    manifest: String,
    allow_issuer_change: bool,
    if_version: Option<u64>,
}

#[derive(Deserialize)]
struct Files {
    files: Vec<String>,
}

/// A command with the arguments and the answer that it has on a host's socket.
pub(super) async fn request(
    control: &Control,
    command: &str,
    arguments: &Value,
) -> Result<Value, Failure> {
    control.ask_exosuit(command, arguments).await
}

/// Puts the manifest and the files that it names into the lattice, and has a host store them as a version. No host
/// needs to have these files.
pub(super) async fn apply(control: &Control, arguments: &Value) -> Result<Value, Failure> {
    let apply: Apply = read(arguments)?;
    let state = SharedState::new(&control.connection, control.lattice.clone(), None);
    let objects = state.objects();
    let manifest = upload(objects, Path::new(&apply.manifest)).await?;
    let named = json!({"manifest": manifest, "path": apply.manifest});
    let answer = control.ask_exosuit("app.files", &named).await?;
    let mut digests = Map::new();
    for file in read::<Files>(&answer)?.files {
        let digest = upload(objects, Path::new(&file)).await?;
        digests.insert(file, digest.into());
    }
    let put = json!({
        "manifest": manifest,
        "path": apply.manifest,
        "files": digests,
        "allow_issuer_change": apply.allow_issuer_change,
        "if_version": apply.if_version,
    });
    control.ask_exosuit("app.put", &put).await
}

async fn upload(objects: &Objects, path: &Path) -> Result<String, Failure> {
    let about = || path.display().to_string();
    let bytes =
        fs::read(path).map_err(|error| Failure::io(format!("cannot read {}", about()), &error))?;
    let digest = objects.put(Bytes::from(bytes)).await;
    let digest = digest.map_err(|error| Failure::from(error).about(about()))?;
    Ok(digest.to_string())
}
