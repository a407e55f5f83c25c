//! An actor that counts: each `GET /path` increments a counter of that path in the key-value store.

use serde_json::json;
use wasmbus_rpc::actor::prelude::*;
use wasmcloud_interface_httpserver::{HttpRequest, HttpResponse, HttpServer, HttpServerReceiver};
use wasmcloud_interface_keyvalue::{IncrementRequest, KeyValue, KeyValueSender};

#[derive(Debug, Default, Actor, HealthResponder)]
#[services(Actor, HttpServer)]
struct Counter {}

#[async_trait]
impl HttpServer for Counter {
    async fn handle_request(&self, ctx: &Context, request: &HttpRequest) -> RpcResult<HttpResponse> {
        let increment = IncrementRequest { key: key(&request.path), value: 1 };

        // A refused or failed call goes back as it is: the host knows which status it deserves.
        let counter = KeyValueSender::new().increment(ctx, &increment).await?;

        HttpResponse::json(json!({ "counter": counter }), 200)
    }
}

/// `/a/b` counts under `counter:a_b`, and `/` alone under `counter:default`.
fn key(path: &str) -> String {
    match path.trim_matches('/') {
        "" => "counter:default".into(),
        path => format!("counter:{}", path.replace('/', "_")),
    }
}
