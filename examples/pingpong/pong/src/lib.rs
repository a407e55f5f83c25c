//! Answers the calls of other actors. It may do nothing else: its claims name no capability.

use pingpong_interface::{Ball, Pong, PongReceiver, Return};
use wasmbus_rpc::actor::prelude::*;

#[derive(Debug, Default, Actor, HealthResponder)]
#[services(Actor, Pong)]
struct Ponger {}

#[async_trait]
impl Pong for Ponger {
    async fn pong(&self, _ctx: &Context, ball: &Ball) -> RpcResult<Return> {
        Ok(Return { text: format!("pong from {}\n", ball.from) })
    }
}
