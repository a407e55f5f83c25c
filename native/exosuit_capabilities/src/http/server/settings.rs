//! The settings of a link: where to serve, and within which limits.
//!
//! Four sources are laid on top of each other, the later ones winning:
//!
//! 1. `config_b64`, then `config_json`, then single settings, all of the provider.
//! 2. The same three of the link.
//!
//! Objects `tls` and `cors` in JSON are flattened: `{"tls": {"cert_file": …}}` is `tls_cert_file`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use data_encoding::BASE64_NOPAD;
use exosuit_core::{Code, Configuration, Error, Given, HTTP_SERVER};
use serde_json::{Map, Value};

use super::limits::Asked;
use super::place::RoutePlace;
use super::rules::Rules;
use super::tls::Files;
use crate::settings::{Settings, invalid};

/// What a link asks for, parsed and checked. Nothing is bound yet.
pub(crate) struct Wanted {
    /// Where to listen. Port 0 means any free one.
    pub(crate) address: SocketAddr,
    /// Which requests of that address.
    pub(crate) place: RoutePlace,
    /// The limits of each request.
    pub(crate) call: CallLimits,
    /// `None` for a route without rules of its own.
    pub(crate) rules: Option<Box<Rules>>,
    /// The limits of the address, which all its routes share.
    pub(crate) asked: Asked,
    /// `None` without TLS.
    pub(crate) tls: Option<Certificate>,
}

/// The TLS settings of a link.
pub(crate) struct Certificate {
    pub(crate) files: Files,
    /// How often the files are read again.
    pub(crate) pause: Duration,
}

/// The limits of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallLimits {
    /// The time for the actor's answer.
    pub(crate) timeout: Duration,
    /// The size of its body. None is no limit, which is possible only for bodies that stream.
    pub(crate) max_body_bytes: Option<u64>,
}

/// How bodies pass between client and actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Whole, in one message: wasmbus.
    Whole,
    /// As they come: `wasi:http`.
    Streamed,
}

/// The largest body in one message. A 32-bit guest has no room for a larger one.
const MOST_WHOLE_BYTES: u64 = 1 << 30;

/// Reads a provider's settings with a link's on top.
///
/// # Errors
///
/// `invalid_link`, with the setting, its value and what is expected.
pub(crate) fn read(
    provider: &Configuration,
    link: &Configuration,
    form: Form,
) -> Result<Wanted, Error> {
    let mut settings = Settings::new(&HTTP_SERVER);
    lay(&mut settings, provider)?;
    lay(&mut settings, link)?;
    unused(Given::ToLink, link)?;
    let wanted = Wanted {
        address: address(&settings)?,
        place: RoutePlace::read(&settings)?,
        call: call_limits(&settings, form)?,
        rules: Rules::read(&settings)?,
        asked: Asked::read(&settings)?,
        tls: certificate(&settings)?,
    };
    if form == Form::Whole {
        wanted
            .asked
            .allow_body(wanted.call.max_body_bytes.unwrap_or(0))?;
    }
    Ok(wanted)
}

/// The JSON settings without effect, as warnings; an error if safety depends on one.
pub(crate) fn unused(given: Given, end: &Configuration) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    for (_, fields) in nested(end)? {
        warnings.extend(HTTP_SERVER.check(given, &fields)?);
    }
    Ok(warnings)
}

/// Checks the settings that a provider gives for all its links. Returns those in JSON that have no effect.
pub(crate) fn check(provider: &Configuration) -> Result<Vec<String>, Error> {
    let mut settings = Settings::new(&HTTP_SERVER);
    lay(&mut settings, provider)?;
    address(&settings)?;
    call_limits(&settings, Form::Streamed)?;
    Rules::read(&settings)?;
    Asked::read(&settings)?;
    certificate(&settings)?;
    unused(Given::ToProvider, provider)
}

/// The files of a certificate, if both are named.
fn certificate(settings: &Settings) -> Result<Option<Certificate>, Error> {
    let pause = settings.duration("tls_reload_ms")?;
    let files = Files::read(settings)?;
    Ok(files.map(|files| Certificate { files, pause }))
}

/// The key under which other hosts accept all settings as JSON or TOML.
const CONFIG_FILE: &str = "config_file";

/// Adds the settings of one end of a link. Single keys override those within JSON.
fn lay(settings: &mut Settings, configuration: &Configuration) -> Result<(), Error> {
    if let Some(key) = configuration
        .keys()
        .find(|key| key.eq_ignore_ascii_case(CONFIG_FILE))
    {
        // The setting may ask for TLS, and private data must not be served in plain text.
        let detail =
            format!("setting {key} is not supported: put the content of the file in config_json");
        return Err(Error::new(Code::InvalidLink, detail));
    }
    for (_, fields) in nested(configuration)? {
        settings.lay(&fields);
    }
    settings.lay(configuration);
    Ok(())
}

/// The settings in JSON, by the key that they are under.
fn nested(configuration: &Configuration) -> Result<Vec<(&'static str, Configuration)>, Error> {
    let mut own = Settings::new(&HTTP_SERVER);
    own.lay(configuration);
    let mut found = Vec::new();
    if let Some(text) = own.text("config_b64") {
        let json = BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes());
        let json = json.map_err(|_| no_object("config_b64", "base64 of a JSON object"))?;
        found.push(("config_b64", fields("config_b64", &json)?));
    }
    if let Some(text) = own.text("config_json") {
        found.push(("config_json", fields("config_json", text.as_bytes())?));
    }
    Ok(found)
}

/// The fields of one JSON object, flattened.
fn fields(key: &'static str, json: &[u8]) -> Result<Configuration, Error> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(json) else {
        let expected = "a JSON object such as {\"address\": \"127.0.0.1:8080\"}";
        return Err(no_object(key, expected));
    };
    let mut configuration = Configuration::new();
    flatten(&mut configuration, "", fields);
    Ok(configuration)
}

/// Puts the fields of groups beside the others, with the group's name before them. A value that is
/// neither text nor a group stays JSON.
fn flatten(flat: &mut Configuration, group: &str, fields: Map<String, Value>) {
    for (field, value) in fields {
        let field = format!("{group}{field}");
        match value {
            Value::Null => {}
            Value::String(text) => drop(flat.insert(field, text)),
            Value::Object(inner) if group.is_empty() && GROUPS.contains(&&*field) => {
                flatten(flat, &format!("{field}_"), inner);
            }
            other => drop(flat.insert(field, other.to_string())),
        }
    }
}

/// The objects in JSON whose fields are flattened.
const GROUPS: [&str; 2] = ["tls", "cors"];

/// The error for JSON that is not an object. It quotes nothing: the value may hold secrets.
fn no_object(key: &str, expected: &str) -> Error {
    let detail = format!("setting {key} is not valid: expected {expected}");
    Error::new(Code::InvalidLink, detail)
}

/// `port`, which listens on this machine only, or `address`, or the default.
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

/// The limits of a request. Only a streaming body may be without a limit.
fn call_limits(settings: &Settings, form: Form) -> Result<CallLimits, Error> {
    let max_body_bytes = match (settings.given_number("max_body_bytes")?, form) {
        (Some(most), Form::Whole) if most > MOST_WHOLE_BYTES => {
            let expected = format!("at most {MOST_WHOLE_BYTES}: a guest takes the body whole");
            let key = settings.key("max_body_bytes");
            return Err(invalid(key, &most.to_string(), &expected));
        }
        (None, Form::Whole) => Some(settings.number("max_body_bytes")?),
        (given, _) => given,
    };
    Ok(CallLimits {
        timeout: settings.duration("timeout_ms")?,
        max_body_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn wanted(pairs: &[(&str, &str)], form: Form) -> Result<Wanted, Error> {
        read(&Configuration::new(), &configuration(pairs), form)
    }

    fn address_of(pairs: &[(&str, &str)]) -> Result<String, Error> {
        wanted(pairs, Form::Whole).map(|wanted| wanted.address.to_string())
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
            ("config_json", r#"{"tls":{"cert_file":"/a"}}"#),
            ("tls_priv_key_file", "/b"),
            ("config_file", "/a.toml"),
            ("cors_allowed_origins", "a"),
            ("readonly_mode", "perhaps"),
            ("cache_control", "a\nb"),
            ("header", "x-who"),
            ("min_rate", "-1"),
            ("first_byte_timeout_ms", "0"),
            ("max_connections_per_peer", "0"),
            ("max_streams", "0"),
            ("max_window_bytes", "1k"),
            ("config_b64", "!"),
            ("routing_mode", "path"),
            ("timeout_ms", "0"),
            ("max_body_bytes", "2g"),
            ("max_content_len", "2g"),
            ("max_header_bytes", "1k"),
            ("max_connections", "0"),
            ("max_buffered_bytes", "1k"),
        ] {
            let error = address_of(&[(key, bad)]).expect_err(key);
            assert_eq!(error.code, Code::InvalidLink);
            let named = if key == "config_json" && bad.contains("tls") {
                "tls_cert_file"
            } else {
                key
            };
            assert!(error.detail.contains(named), "{}", error.detail);
        }
    }

    #[test]
    fn what_may_hold_secrets_is_not_quoted() {
        for key in ["config_json", "config_b64"] {
            let error = address_of(&[(key, "hunter2!")]).expect_err(key);
            assert!(!error.detail.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_links_settings_stand_above_the_providers() {
        let provider = configuration(&[("timeout_ms", "1"), ("max_connections", "2")]);
        let link = configuration(&[
            ("timeout_ms", "3"),
            ("config_json", r#"{"max_connections":4}"#),
        ]);
        let wanted = read(&provider, &link, Form::Whole).expect("good settings");
        let connections = wanted.asked.limits(0).max_connections;
        assert_eq!((wanted.call.timeout.as_millis(), connections), (3, 4));
    }

    #[test]
    fn a_body_that_streams_has_no_bound_but_one_that_is_set() {
        for (pairs, form, expected) in [
            (&[][..], Form::Whole, Some(16 << 20)),
            (&[], Form::Streamed, None),
            (&[("max_content_len", "1k")], Form::Whole, Some(1 << 10)),
            (&[("max_body_bytes", "8g")], Form::Streamed, Some(8 << 30)),
        ] {
            let found = wanted(pairs, form).expect("good settings");
            assert_eq!(found.call.max_body_bytes, expected, "{pairs:?}");
        }
        assert!(wanted(&[("max_buffered_bytes", "1k")], Form::Streamed).is_ok());
    }

    #[test]
    fn settings_of_other_hosts_have_no_effect_and_are_named() {
        let old = r#"{"address":"127.0.0.1:85","tls":{},"cors":{"allowed_origins":[]},"log":{"log_level":"debug"},"max_content_len":"1k"}"#;
        let link = configuration(&[("config_json", old), ("unheard", "of")]);
        let wanted = read(&Configuration::new(), &link, Form::Whole).expect("good settings");
        assert_eq!(wanted.call.max_body_bytes, Some(1_024));
        assert!(wanted.tls.is_none() && wanted.rules.is_some());
        let unused = unused(Given::ToLink, &link).expect("nothing unsafe");
        assert!(
            unused.iter().all(|warning| warning.contains("log")),
            "{unused:?}"
        );
    }
}
