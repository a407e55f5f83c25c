//! `wasi:config` and `wasi:logging`: interfaces that the host answers, in all versions that guests import.
//!
//! Configuration is read from memory and needs no claim: it is the actor's own. A line of the log is a call of the
//! capability `wasi:logging` through the router, because the actor's claims must name it. The guest waits for that
//! call, which ends at once: the log gate drops lines beyond the rate instead of delaying the guest.

use exosuit_core::Value;
use exosuit_wit::wasi::config0_2_0_draft::{runtime, store as older_store};
use exosuit_wit::wasi::config0_2_0_rc_1::store;
use exosuit_wit::wasi::logging::logging as unversioned;
use exosuit_wit::wasi::logging0_1_0_draft::logging;

use super::state::ComponentState;

impl ComponentState {
    /// The value of a key.
    fn config(&self, key: &str) -> Option<String> {
        self.caller.actor.config.get(key).cloned()
    }

    /// All keys with their values, in the order of the keys.
    fn all_config(&self) -> Vec<(String, String)> {
        let config = self.caller.actor.config.iter();
        config
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Sends a line to the logging capability. The guest gets no answer; the router reports a refusal.
    ///
    /// `operation` is that of the version which the guest imports, and `level` one of the six of `wasi:logging`.
    async fn log(&mut self, operation: &str, level: &'static str, context: String, text: String) {
        let arguments = vec![
            Value::case(level),
            Value::binary(context),
            Value::binary(text),
        ];
        let operation = operation.to_owned();
        let _told = self.caller.ask("wasi:logging", operation, arguments).await;
    }
}

// The versions of an interface have equal functions and types of their own.
macro_rules! config {
    ($interface:ident, $error:ident) => {
        impl $interface::Host for ComponentState {
            async fn get(
                &mut self,
                key: String,
            ) -> wasmtime::Result<Result<Option<String>, $interface::$error>> {
                Ok(Ok(self.config(&key)))
            }

            async fn get_all(
                &mut self,
            ) -> wasmtime::Result<Result<Vec<(String, String)>, $interface::$error>> {
                Ok(Ok(self.all_config()))
            }
        }
    };
}

config!(store, Error);
config!(older_store, Error);
config!(runtime, ConfigError);

macro_rules! logging {
    ($interface:ident, $operation:literal) => {
        impl $interface::Host for ComponentState {
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
                ComponentState::log(self, $operation, level, context, message).await;
                Ok(())
            }
        }
    };
}

logging!(logging, "wasi:logging/logging@0.1.0-draft#log");
logging!(unversioned, "wasi:logging/logging#log");
