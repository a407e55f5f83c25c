//! The commands and answers of the control socket.
//!
//! [`Command`] is a command with its arguments, under the names of `guides/control-socket.md`. Over
//! a lattice, `crate::lattice` translates commands to the form of wasmCloud 1.x; commands about
//! applications are sent as they are.
//!
//! ```text
//! {"v": 1, "id": 1, "command": "actor.scale", "arguments": {"id": "echo", "instances": 5}}
//! {"v": 1, "id": 1, "ok": {…}}            or
//! {"v": 1, "id": 1, "error": {"code": "not_found", "detail": "…", "diagnostics": ["…"]}}
//! ```
//!
//! Commands are types, so that a field that a host does not know cannot be sent by mistake. Answers
//! are JSON values: hosts of other versions may leave fields out or add some, and the printing
//! functions cope with both.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::printable;

/// The version of the protocol.
const VERSION: u64 = 1;

/// A command to a host.
#[derive(Serialize)]
#[serde(tag = "command", content = "arguments")]
pub(crate) enum Command {
    #[serde(rename = "inventory")]
    Inventory {},
    #[serde(rename = "call")]
    Call(Call),
    #[serde(rename = "actor.start")]
    StartActor(StartActor),
    #[serde(rename = "actor.stop")]
    StopActor { id: String },
    #[serde(rename = "actor.scale")]
    ScaleActor { id: String, instances: u32 },
    #[serde(rename = "actor.update")]
    UpdateActor(UpdateActor),
    #[serde(rename = "provider.start")]
    StartProvider(StartProvider),
    #[serde(rename = "provider.stop")]
    StopProvider { id: String },
    #[serde(rename = "link.put")]
    PutLink(PutLink),
    #[serde(rename = "link.delete")]
    DeleteLink(DeleteLink),
    #[serde(rename = "link.list")]
    Links {},
    #[serde(rename = "events")]
    Subscribe {},
    #[serde(rename = "remote")]
    OpenRemote {},
    #[serde(rename = "stop")]
    StopHost {},
    #[serde(rename = "apply")]
    ApplyManifest(ApplyManifest),
    #[serde(rename = "app.files")]
    AppFiles { manifest: String, path: String },
    #[serde(rename = "app.put")]
    PutApp(PutApp),
    #[serde(rename = "app.list")]
    ListApps {},
    #[serde(rename = "app.status")]
    AppStatus { app: String },
    #[serde(rename = "app.history")]
    AppHistory { app: String },
    #[serde(rename = "app.deploy")]
    DeployApp { app: String, version: Option<u64> },
    #[serde(rename = "app.undeploy")]
    UndeployApp { app: String },
    #[serde(rename = "app.rollback")]
    RollbackApp { app: String },
    #[serde(rename = "app.delete")]
    DeleteApp { app: String },
}

/// Calls an actor. Bytes are in base64.
#[derive(Serialize)]
pub(crate) struct Call {
    pub(crate) actor: String,
    pub(crate) operation: String,
    pub(crate) payload_base64: String,
    pub(crate) timeout_ms: Option<u64>,
}

/// Starts an actor from a file that the host reads.
#[derive(Serialize)]
pub(crate) struct StartActor {
    pub(crate) path: String,
    pub(crate) id: Option<String>,
    pub(crate) instances: u32,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Replaces the code of an actor.
#[derive(Serialize)]
pub(crate) struct UpdateActor {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) force: bool,
    pub(crate) allow_issuer_change: bool,
}

/// Starts a provider by its name or reference.
#[derive(Serialize)]
pub(crate) struct StartProvider {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Makes a link, or changes its settings.
#[derive(Serialize)]
pub(crate) struct PutLink {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) contract: String,
    pub(crate) name: String,
    pub(crate) interfaces: Vec<String>,
    pub(crate) source_config: BTreeMap<String, String>,
    pub(crate) target_config: BTreeMap<String, String>,
}

/// Removes the links of a key.
#[derive(Serialize)]
pub(crate) struct DeleteLink {
    pub(crate) source: String,
    pub(crate) contract: String,
    pub(crate) name: String,
}

/// An application whose manifest and files are objects of the lattice, by their digests.
#[derive(Serialize)]
pub(crate) struct ApplyManifest {
    pub(crate) manifest: String,
    pub(crate) allow_issuer_change: bool,
    pub(crate) if_version: Option<u64>,
}

/// An application whose manifest and files are objects of the lattice, known by their digests.
#[derive(Serialize)]
pub(crate) struct PutApp {
    pub(crate) manifest: String,
    pub(crate) path: String,
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) allow_issuer_change: bool,
    pub(crate) if_version: Option<u64>,
}

impl Command {
    /// The request as one line of JSON. One request is under way at a time, so the id is always 1.
    pub(crate) fn line(&self) -> String {
        let (name, arguments) = self.parts();
        json!({"v": VERSION, "id": 1, "command": name, "arguments": arguments}).to_string()
    }

    /// Whether hosts accept this command over the lattice in the same form.
    pub(crate) fn is_about_apps(&self) -> bool {
        self.parts().0.starts_with("app.")
    }

    /// The name and the arguments.
    pub(crate) fn parts(&self) -> (String, Value) {
        let mut request = json!(self);
        let name = request["command"].as_str().unwrap_or_default().to_owned();
        (name, request["arguments"].take())
    }
}

/// Decodes the answer to a command: the result, or the error.
///
/// # Errors
///
/// The host's refusal, with its own code.
pub(crate) fn answer(answer: &Value) -> Result<Value, Failure> {
    match answer.get("ok") {
        Some(ok) => Ok(ok.clone()),
        None => Err(refusal(&answer["error"])),
    }
}

/// Decodes an error, with the mistakes of a manifest line by line. A guest may have chosen the
/// text, so control characters are escaped.
pub(crate) fn refusal(error: &Value) -> Failure {
    let text = |field: &str| error[field].as_str().unwrap_or("unknown").to_owned();
    let diagnostics = error["diagnostics"].as_array();
    let more = diagnostics.into_iter().flatten().filter_map(Value::as_str);
    let detail = printable(&text("detail"));
    let lines = more.fold(detail, |lines, line| lines + "\n  " + &printable(line));
    Failure::refused(&text("code"), lines)
}

/// Parses an answer, from the socket or from the lattice.
///
/// # Errors
///
/// `internal`, for bytes that are not JSON.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::refused(
            "internal",
            format!("the host's answer is not JSON: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_line() {
        let scale = Command::ScaleActor {
            id: "a".to_owned(),
            instances: 2,
        };
        assert_eq!(
            scale.line(),
            r#"{"arguments":{"id":"a","instances":2},"command":"actor.scale","id":1,"v":1}"#
        );
        assert_eq!(
            Command::Inventory {}.line(),
            r#"{"arguments":{},"command":"inventory","id":1,"v":1}"#
        );
    }

    #[test]
    fn an_answer_is_what_a_command_gave_or_why_it_was_refused() {
        let ok = answer(&json!({"v": 1, "id": 1, "ok": {"id": "a"}}));
        assert_eq!(ok.expect("an answer"), json!({"id": "a"}));
        let refused = answer(&json!({"error": {"code": "limit", "detail": "full"}}));
        assert_eq!(refused.expect_err("refused").to_json()["code"], "limit");
    }

    #[test]
    fn a_refusal_does_not_steer_a_terminal() {
        let error = json!({"code": "guest", "detail": "a\u{1b}[2J\nb", "diagnostics": ["c\rd"]});
        let failure = refusal(&error).to_json();
        assert_eq!(failure["code"], "guest");
        assert_eq!(failure["error"], "a\\u{1b}[2J\\nb\n  c\\rd");
    }
}
