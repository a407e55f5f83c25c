//! Hosts of a lattice, as far as the command line sees them: answers of the control interface of 1.x,
//! and events. What they are told is kept.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Client, Message};
use exosuit_claims::{KeyKind, KeyPair};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::lattice::nats::NatsServer;

/// A request: the subject without its beginning, and the body.
pub(crate) type Told = (String, Value);

/// Some hosts behind one connection, which accept every command and then report its outcome.
pub(crate) struct FakeHosts {
    pub(crate) ids: Vec<String>,
    told: Arc<Mutex<Vec<Told>>>,
}

/// How they behave.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    /// Answers other than the acceptance, by the beginning of the subject.
    pub(crate) answers: BTreeMap<&'static str, Value>,
    /// The error of every outcome.
    pub(crate) error: Option<&'static str>,
    /// Whether no outcome is told.
    pub(crate) silent: bool,
}

struct Acting {
    client: Client,
    ids: Vec<String>,
    manner: Manner,
    told: Arc<Mutex<Vec<Told>>>,
}

impl FakeHosts {
    pub(crate) async fn start(server: &NatsServer, count: usize, manner: Manner) -> Self {
        let client = server.client().await;
        let mut asked = client
            .subscribe("wasmbus.ctl.v1.default.>")
            .await
            .expect("subscribed");
        client.flush().await.expect("the server has it");
        let ids: Vec<_> = (0..count).map(|_| host_id()).collect();
        let told = Arc::default();
        let acting = Acting {
            client,
            ids: ids.clone(),
            manner,
            told: Arc::clone(&told),
        };
        tokio::spawn(async move {
            while let Some(message) = asked.next().await {
                acting.answer(&message).await;
            }
        });
        Self { ids, told }
    }

    /// The commands that they received, without queries.
    pub(crate) fn told(&self) -> Vec<Told> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let questions = ["host.", "link.get", "claims.get"];
        let is_question = |suffix: &str| questions.iter().any(|it| suffix.starts_with(it));
        let commands = told.iter().filter(|(suffix, _)| !is_question(suffix));
        commands.cloned().collect()
    }
}

impl Acting {
    async fn answer(&self, message: &Message) {
        let suffix = message.subject.as_str();
        let suffix = suffix
            .strip_prefix("wasmbus.ctl.v1.default.")
            .unwrap_or(suffix);
        let body = serde_json::from_slice(&message.payload).unwrap_or_default();
        let reply = message.reply.clone().expect("somebody waits");
        if suffix == "host.ping" {
            for (index, id) in self.ids.iter().enumerate() {
                self.say(reply.clone(), &yes(&pong(index, id))).await;
            }
            return;
        }
        let told = || self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told().push((suffix.to_owned(), Value::clone(&body)));
        let manner = self.manner.answers.iter();
        let given = manner.rev().find(|(begin, _)| suffix.starts_with(**begin));
        let answer = given.map_or_else(|| self.usual(suffix), |(_, answer)| Some(answer.clone()));
        let Some(answer) = answer else { return };
        let is_yes = answer["success"] == true;
        self.say(reply, &answer).await;
        if is_yes && !self.manner.silent {
            self.tell(suffix, &body).await;
        }
    }

    /// A host of another id does not exist: nobody answers for it.
    fn usual(&self, suffix: &str) -> Option<Value> {
        match suffix.strip_prefix("host.get.") {
            Some(id) if self.ids.iter().any(|known| known == id) => Some(yes(&inventory(id))),
            Some(_) => None,
            None if suffix == "link.get" => Some(yes(&json!([link()]))),
            None if suffix == "claims.get" => Some(yes(&json!([]))),
            None => Some(json!({"success": true, "message": ""})),
        }
    }

    async fn tell(&self, suffix: &str, body: &Value) {
        let Some((command, host)) = suffix.rsplit_once('.') else {
            return;
        };
        let (kind, failed) = match command {
            "component.scale" | "component.update" => {
                ("component_scaled", "component_scale_failed")
            }
            "provider.start" => ("provider_started", "provider_start_failed"),
            "provider.stop" => ("provider_stopped", "provider_stop_failed"),
            _ => return,
        };
        // What others say is no answer to us.
        self.event("NOTHER", kind, body).await;
        match self.manner.error {
            None => self.event(host, kind, body).await,
            Some(error) => {
                let mut data = body.clone();
                data["error"] = error.into();
                self.event(host, failed, &data).await;
            }
        }
    }

    async fn event(&self, source: &str, kind: &str, body: &Value) {
        let mut data = body.clone();
        data["max_instances"] = body["count"].clone();
        data["image_ref"] = match &body["new_component_ref"] {
            Value::Null => body["component_ref"].clone(),
            new => new.clone(),
        };
        let event = json!({
            "specversion": "1.0",
            "id": "1",
            "source": source,
            "type": format!("com.wasmcloud.lattice.{kind}"),
            "time": "2026-01-01T00:00:00Z",
            "data": data,
        });
        let subject = format!("wasmbus.evt.default.{kind}");
        let sent = self.client.publish(subject, event.to_string().into()).await;
        sent.expect("sent");
    }

    async fn say(&self, subject: async_nats::Subject, answer: &Value) {
        let sent = self.client.publish(subject, answer.to_string().into());
        sent.await.expect("sent");
    }
}

pub(crate) fn host_id() -> String {
    KeyPair::generate(KeyKind::Server).public_key().to_string()
}

pub(crate) fn yes(response: &Value) -> Value {
    json!({"success": true, "message": "", "response": response})
}

pub(crate) fn no(message: &str) -> Value {
    json!({"success": false, "message": message})
}

fn pong(index: usize, id: &str) -> Value {
    json!({
        "id": id,
        "friendly_name": format!("host-{index}"),
        "labels": {"zone": index.to_string()},
        "uptime_human": "1 minute",
        "uptime_seconds": 61,
        "version": "0.1.0",
        "ctl_host": "127.0.0.1",
        "rpc_host": "127.0.0.1",
        "lattice": "default",
    })
}

fn inventory(id: &str) -> Value {
    json!({
        "host_id": id,
        "friendly_name": "host",
        "labels": {"zone": "a"},
        "version": "0.1.0",
        "uptime_human": "1 minute",
        "uptime_seconds": 61,
        "components": [{
            "id": "echo",
            "image_ref": "file:///srv/echo.wasm",
            "name": "Echo",
            "annotations": {"team": "a"},
            "revision": 3,
            "max_instances": 2,
        }],
        "providers": [{
            "id": "store",
            "image_ref": "wasmcloud+builtin://keyvalue",
            "revision": 0,
            "annotations": {},
        }],
    })
}

fn link() -> Value {
    json!({
        "source_id": "echo",
        "target": "store",
        "name": "default",
        "wit_namespace": "wasi",
        "wit_package": "keyvalue",
        "interfaces": ["store"],
        "source_config": [],
        "target_config": ["c"],
    })
}
