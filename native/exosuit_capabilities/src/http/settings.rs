//! The settings of a link: where to listen, and within which bounds.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use data_encoding::BASE64_NOPAD;
use exosuit_core::{Code, Configuration, Error};
use serde_json::Value;

use crate::settings::{Settings, invalid};

/// What a listener grants its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// For the actor's answer.
    pub(crate) timeout: Duration,
    /// For a request's header.
    pub(crate) header_timeout: Duration,
    /// For a request's body, and for a client that stops reading its answer.
    pub(crate) body_timeout: Duration,
    /// Of a request's header.
    pub(crate) max_header_bytes: usize,
    /// Of a request's body.
    pub(crate) max_body_bytes: u64,
    /// Of the bodies of all requests at a time.
    pub(crate) max_buffered_bytes: u64,
    /// At a time.
    pub(crate) max_connections: usize,
}

/// A body larger than this has no place in a message to a guest of 32 bits.
const MOST_BODY_BYTES: u64 = 1 << 30;

/// hyper's reading buffer is never smaller.
const LEAST_HEADER_BYTES: u64 = 8 << 10;

/// Reads a provider's settings with a link's on top.
pub(crate) fn read(
    provider: &Configuration,
    link: &Configuration,
) -> Result<(SocketAddr, Limits), Error> {
    let mut settings = Settings::default();
    lay(&mut settings, provider)?;
    lay(&mut settings, link)?;
    if let Some(mode) = settings
        .text("routing_mode")
        .filter(|mode| *mode != "address")
    {
        return Err(invalid(
            "routing_mode",
            mode,
            "address, the one mode there is",
        ));
    }
    Ok((address(&settings)?, limits(&settings)?))
}

/// Lays one end's settings on top: its JSON forms first, single keys above them.
fn lay(settings: &mut Settings, configuration: &Configuration) -> Result<(), Error> {
    let mut own = Settings::default();
    own.lay(configuration);
    if let Some(text) = own.text("config_b64") {
        let json = BASE64_NOPAD
            .decode(text.trim_end_matches('=').as_bytes())
            .map_err(|_| invalid("config_b64", text, "base64 of a JSON object"))?;
        lay_json(settings, "config_b64", &json)?;
    }
    if let Some(text) = own.text("config_json") {
        lay_json(settings, "config_json", text.as_bytes())?;
    }
    settings.lay(configuration);
    Ok(())
}

fn lay_json(settings: &mut Settings, key: &str, json: &[u8]) -> Result<(), Error> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(json) else {
        // Not quoted: it may hold secrets.
        let expected = "a JSON object such as {\"address\": \"127.0.0.1:8080\"}";
        let detail = format!("setting {key} is not valid: expected {expected}");
        return Err(Error::new(Code::InvalidLink, detail));
    };
    for (field, value) in &fields {
        match value {
            Value::String(text) => settings.put(field, text),
            Value::Number(number) => settings.put(field, &number.to_string()),
            Value::Object(tls) if field == "tls" && tls.values().any(|value| !value.is_null()) => {
                // Served in plain, what was meant to be private would not be.
                let detail = format!("setting {key} asks for TLS, which is not offered");
                return Err(Error::new(Code::InvalidLink, detail));
            }
            _ => {}
        }
    }
    Ok(())
}

fn address(settings: &Settings) -> Result<SocketAddr, Error> {
    if let Some(text) = settings.text("port") {
        let port = text
            .parse::<u16>()
            .map_err(|_| invalid("port", text, "a number from 0 to 65535"))?;
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let text = ["address", "default_address"]
        .iter()
        .find_map(|key| settings.text(key))
        .unwrap_or("127.0.0.1:8080");
    text.replacen("localhost:", "127.0.0.1:", 1)
        .parse()
        .map_err(|_| invalid("address", text, "IP:PORT such as 127.0.0.1:8080"))
}

fn limits(settings: &Settings) -> Result<Limits, Error> {
    let old_max_body = settings.bytes("max_content_len", 16 << 20, 0..=MOST_BODY_BYTES)?;
    let max_body_bytes = settings.bytes("max_body_bytes", old_max_body, 0..=MOST_BODY_BYTES)?;
    let header = settings.bytes("max_header_bytes", 64 << 10, LEAST_HEADER_BYTES..=1 << 20)?;
    let most = 1 << 40;
    let buffered = (256 << 20).max(max_body_bytes);
    let connections = settings.number("max_connections", 1_024, 1..=65_536)?;
    Ok(Limits {
        timeout: settings.milliseconds("timeout_ms", 30_000)?,
        header_timeout: settings.milliseconds("header_timeout_ms", 30_000)?,
        body_timeout: settings.milliseconds("body_timeout_ms", 60_000)?,
        max_header_bytes: usize::try_from(header).unwrap_or(usize::MAX),
        max_body_bytes,
        max_buffered_bytes: settings.bytes(
            "max_buffered_bytes",
            buffered,
            max_body_bytes..=most,
        )?,
        max_connections: usize::try_from(connections).unwrap_or(usize::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn address_of(pairs: &[(&str, &str)]) -> Result<String, Error> {
        let link = configuration(pairs);
        read(&Configuration::new(), &link).map(|(address, _)| address.to_string())
    }

    #[test]
    fn loopback_unless_told_otherwise() {
        for (pairs, expected) in [
            (&[][..], "127.0.0.1:8080"),
            (&[("address", "0.0.0.0:80")], "0.0.0.0:80"),
            (&[("ADDRESS", "[::1]:8081")], "[::1]:8081"),
            (&[("address", "localhost:81")], "127.0.0.1:81"),
            (&[("port", "9000")], "127.0.0.1:9000"),
            (
                &[("config_json", r#"{"address":"127.0.0.2:82"}"#)],
                "127.0.0.2:82",
            ),
            (
                &[("config_b64", "eyJhZGRyZXNzIjoiMTI3LjAuMC4yOjgzIn0=")],
                "127.0.0.2:83",
            ),
            (&[("default_address", "127.0.0.3:84")], "127.0.0.3:84"),
        ] {
            assert_eq!(address_of(pairs).as_deref(), Ok(expected), "{pairs:?}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (key, bad) in [
            ("address", "8080"),
            ("port", "70000"),
            ("config_json", "[]"),
            (
                "config_json",
                r#"{"tls":{"cert_file":"/a","priv_key_file":"/b"}}"#,
            ),
            ("config_b64", "!"),
            ("routing_mode", "path"),
            ("timeout_ms", "0"),
            ("max_body_bytes", "2g"),
            ("max_header_bytes", "1k"),
            ("max_connections", "0"),
            ("max_buffered_bytes", "1k"),
        ] {
            let error = address_of(&[(key, bad)]).expect_err(key);
            assert_eq!(error.code, Code::InvalidLink);
            assert!(error.detail.contains(key), "{}", error.detail);
        }
    }

    #[test]
    fn a_links_settings_stand_above_the_providers() {
        let provider = configuration(&[("timeout_ms", "1"), ("max_connections", "2")]);
        let link = configuration(&[
            ("timeout_ms", "3"),
            ("config_json", r#"{"max_connections":4}"#),
        ]);
        let (_, limits) = read(&provider, &link).expect("good settings");
        assert_eq!((limits.timeout.as_millis(), limits.max_connections), (3, 4));
    }

    #[test]
    fn settings_of_other_hosts_are_passed_over() {
        let old = r#"{"address":"127.0.0.1:85","tls":{},"cors":{"allowed_origins":[]},"log":{"log_level":"debug"},"max_content_len":"1k"}"#;
        let link = configuration(&[("config_json", old), ("unheard", "of")]);
        let (_, limits) = read(&Configuration::new(), &link).expect("good settings");
        assert_eq!(limits.max_body_bytes, 1_024);
    }
}
