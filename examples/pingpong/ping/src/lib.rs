//! Answers HTTP with what `pong` says, which it calls by its alias, without a link.

use pingpong_interface::{Ball, Pong, PongSender};
use wasmbus_rpc::actor::prelude::*;
use wasmcloud_interface_httpserver::{HttpRequest, HttpResponse, HttpServer, HttpServerReceiver};

/// The name that `pong` carries in its claims.
const PONG: &str = "pong";

#[derive(Debug, Default, Actor, HealthResponder)]
#[services(Actor, HttpServer)]
struct Ping {}

#[async_trait]
impl HttpServer for Ping {
    async fn handle_request(&self, ctx: &Context, request: &HttpRequest) -> RpcResult<HttpResponse> {
        let pong = PongSender::via(WasmHost::to_actor(PONG)?);
        let ball = Ball { from: request.path.clone() };

        Ok(HttpResponse::ok(pong.pong(ctx, &ball).await?.text))
    }
}
