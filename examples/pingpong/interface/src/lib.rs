//! What `ping` and `pong` agree on: one operation, `Pong.Pong`, its messages in MessagePack.
//!
//! [`Pong`] is the service, [`PongReceiver`] its server side (the `services` attribute of an actor
//! looks for it under that name) and [`PongSender`] its client side.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasmbus_rpc::actor::prelude::async_trait;
use wasmbus_rpc::common::{
    deserialize, serialize, Context, Message, MessageDispatch, SendOpts, Transport,
};
use wasmbus_rpc::error::{RpcError, RpcResult};

/// What `ping` says.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Ball {
    /// Where the request came in: the path of the HTTP request.
    pub from: String,
}

/// What `pong` answers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Return {
    pub text: String,
}

/// The service: one operation.
#[async_trait]
pub trait Pong {
    async fn pong(&self, ctx: &Context, ball: &Ball) -> RpcResult<Return>;
}

/// Reads a message that arrived and hands it to [`Pong`].
#[async_trait]
pub trait PongReceiver: MessageDispatch + Pong {
    async fn dispatch(&self, ctx: &Context, message: Message<'_>) -> RpcResult<Vec<u8>> {
        match message.method {
            "Pong" => serialize(&self.pong(ctx, &deserialize(&message.arg)?).await?),
            other => Err(RpcError::MethodNotHandled(format!("Pong.{other}"))),
        }
    }
}

/// Calls a [`Pong`] somewhere else, over any transport.
pub struct PongSender<T> {
    transport: T,
}

impl<T: Transport> PongSender<T> {
    pub fn via(transport: T) -> Self {
        Self { transport }
    }
}

#[async_trait]
impl<T: Transport + Send + Sync> Pong for PongSender<T> {
    async fn pong(&self, ctx: &Context, ball: &Ball) -> RpcResult<Return> {
        let arg = Cow::Owned(serialize(ball)?);
        let message = Message { method: "Pong.Pong", arg };
        let answer = self.transport.send(ctx, message, None::<SendOpts>).await?;

        deserialize(&answer)
    }
}
