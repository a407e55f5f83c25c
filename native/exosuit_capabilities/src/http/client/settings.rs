//! The settings of the client: those of its connections, and the hosts that a link allows.
//!
//! | setting | of | default |
//! |---|---|---|
//! | limits of connections | the provider | see `HTTP_CLIENT` |
//! | certificates | the provider | the roots of the web |
//! | `allowed_hosts` | the link, else the provider | nothing is allowed |
//!
//! With `ca_file`, only its certificates are trusted. `ca_files` adds to the roots. A client that
//! would trust nobody is refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Code, Configuration, Error, HTTP_CLIENT};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::allowed::{Allowed, KEY};
use crate::http::file;
use crate::settings::{Settings, invalid};

/// The largest file of certificates that is read. The web's roots take less than 1 MiB.
const MAX_FILE_KIB: u64 = 4_096;

/// The limits of connections. They hold for the life of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientLimits {
    /// The time for a slot, and the time for TCP and TLS.
    pub(crate) connect_timeout: Duration,
    /// The time after which a server that stops reading loses its connection.
    pub(crate) body_timeout: Duration,
    /// The time after which an unused connection is closed.
    pub(crate) idle_timeout: Duration,
    /// The number of unused connections to one server.
    pub(crate) max_idle: usize,
    /// The number of open connections.
    pub(crate) max_connections: usize,
    /// The number of open connections of one actor; half of all by default.
    pub(crate) max_of_actor: usize,
    /// The limit of the body of a response that does not stream.
    pub(crate) max_body_bytes: u64,
}

/// Parses the limits.
pub(crate) fn limits(configuration: &Configuration) -> Result<ClientLimits, Error> {
    let settings = settings([configuration]);
    let max_connections = settings.count("max_connections")?;
    let of_actor = settings.given_number("max_connections_per_actor")?;
    let of_actor = of_actor.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    Ok(ClientLimits {
        connect_timeout: settings.duration("connect_timeout_ms")?,
        body_timeout: settings.duration("body_timeout_ms")?,
        idle_timeout: settings.duration("idle_timeout_ms")?,
        max_idle: settings.count("max_idle_per_host")?,
        max_connections,
        max_of_actor: of_actor.unwrap_or(max_connections.div_ceil(2)),
        max_body_bytes: settings.number("max_body_bytes")?,
    })
}

/// The list of the link, or of the provider if the link has none. They are not merged.
pub(crate) fn allowed(provider: &Configuration, link: &Configuration) -> Result<Allowed, Error> {
    let settings = settings([provider, link]);
    Allowed::read(settings.text(KEY).unwrap_or_default())
}

/// The TLS configuration. Reads the files of certificates, and blocks.
pub(crate) fn tls(configuration: &Configuration) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of every version that is built in");
    let roots = roots(&settings([configuration]))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates that are trusted.
fn roots(settings: &Settings) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let only = settings.text("ca_file");
    let web = settings.flag("load_webpki_certs")?;
    if web.unwrap_or(only.is_none()) {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if settings.flag("load_native_certs")? == Some(true) {
        add_native(&mut roots)?;
    }
    if let Some(path) = only {
        add_file(&mut roots, "ca_file", path)?;
    }
    let beside = settings.text("ca_files").unwrap_or_default();
    for path in beside
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty())
    {
        add_file(&mut roots, "ca_files", path)?;
    }
    if roots.is_empty() {
        let expected =
            "true, or certificates in ca_files, because no server would be trusted otherwise";
        return Err(invalid("load_webpki_certs", "false", expected));
    }
    Ok(roots)
}

/// Adds the certificates of the operating system. Some of them are too old to be parsed, and are
/// skipped.
fn add_native(roots: &mut RootCertStore) -> Result<(), Error> {
    let found = rustls_native_certs::load_native_certs();
    let (added, _ignored) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(());
    }
    let why = found
        .errors
        .first()
        .map_or_else(|| "the system has none".to_owned(), ToString::to_string);
    let detail = format!("setting load_native_certs finds no certificates: {why}");
    Err(Error::new(Code::InvalidLink, detail))
}

/// Adds all certificates of a file. One that cannot be parsed is an error.
fn add_file(roots: &mut RootCertStore, key: &str, path: &str) -> Result<(), Error> {
    let refused = |why: String| {
        let detail = format!("setting {key}: {path} is not a file of certificates in PEM: {why}");
        Error::new(Code::InvalidLink, detail)
    };
    let mut count = 0;
    let read = file::read(Path::new(path), MAX_FILE_KIB);
    let read = read.map_err(|error| refused(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&read) {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| refused(error.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(refused("it holds none".to_owned()));
    }
    Ok(())
}

/// The layers of settings, the later ones on top.
fn settings<const N: usize>(layers: [&Configuration; N]) -> Settings {
    let mut settings = Settings::new(&HTTP_CLIENT);
    for layer in layers {
        settings.lay(layer);
    }
    settings
}
