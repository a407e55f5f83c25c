//! `wasi:config` and `wasi:logging`: what the host itself tells a guest and hears from it.

use exosuit_core::Value;
use exosuit_wit::wasi::config::{runtime, store};
use exosuit_wit::wasi::logging::logging as unversioned;
use exosuit_wit::wasi::logging0_1_0_draft::logging;

use super::state::State;

impl State {
    fn config(&self, key: &str) -> Option<String> {
        self.caller.actor.config.get(key).cloned()
    }

    fn all_config(&self) -> Vec<(String, String)> {
        let config = self.caller.actor.config.iter();
        config
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Nobody answers a line for the log: that it is refused is for the router to tell.
    async fn log(&mut self, operation: &str, level: &'static str, context: String, text: String) {
        let arguments = vec![
            Value::binary(level),
            Value::binary(context),
            Value::binary(text),
        ];
        let operation = operation.to_owned();
        let _told = self.caller.ask("wasi:logging", operation, arguments).await;
    }
}

impl store::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        Ok(Ok(self.config(&key)))
    }

    async fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        Ok(Ok(self.all_config()))
    }
}

impl runtime::Host for State {
    async fn get(
        &mut self,
        key: String,
    ) -> wasmtime::Result<Result<Option<String>, runtime::ConfigError>> {
        Ok(Ok(self.config(&key)))
    }

    async fn get_all(
        &mut self,
    ) -> wasmtime::Result<Result<Vec<(String, String)>, runtime::ConfigError>> {
        Ok(Ok(self.all_config()))
    }
}

macro_rules! logging {
    ($interface:ident, $operation:literal) => {
        impl $interface::Host for State {
            async fn log(
                &mut self,
                level: $interface::Level,
                context: String,
                message: String,
            ) -> wasmtime::Result<()> {
                let level = match level {
                    $interface::Level::Trace => "trace",
                    $interface::Level::Debug => "debug",
                    $interface::Level::Info => "info",
                    $interface::Level::Warn => "warn",
                    $interface::Level::Error => "error",
                    $interface::Level::Critical => "critical",
                };
                State::log(self, $operation, level, context, message).await;
                Ok(())
            }
        }
    };
}

logging!(logging, "wasi:logging/logging@0.1.0-draft#log");
logging!(unversioned, "wasi:logging/logging#log");
