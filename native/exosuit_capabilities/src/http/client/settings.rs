//! The settings of the client: of its connections, and of what a link allows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Configuration, Error};
use hyper_rustls::ConfigBuilderExt;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::allowed::{Allowed, KEY};
use crate::settings::{Settings, invalid};

/// The bounds of the connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a connection to be made, TLS and all.
    pub(crate) connect_timeout: Duration,
    /// For a server that stops reading.
    pub(crate) body_timeout: Duration,
    /// For a connection that nobody uses.
    pub(crate) idle_timeout: Duration,
    /// That nobody uses, to one server.
    pub(crate) max_idle: usize,
    /// At a time.
    pub(crate) max_connections: usize,
}

/// Reads the bounds.
pub(crate) fn limits(configuration: &Configuration) -> Result<Limits, Error> {
    let settings = settings([configuration]);
    let count = |key, default, most| {
        let number = settings.number(key, default, 1..=most);
        number.map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    Ok(Limits {
        connect_timeout: settings.milliseconds("connect_timeout_ms", 10_000)?,
        body_timeout: settings.milliseconds("body_timeout_ms", 60_000)?,
        idle_timeout: settings.milliseconds("idle_timeout_ms", 30_000)?,
        max_idle: count("max_idle_per_host", 32, 65_536)?,
        max_connections: count("max_connections", 1_024, 65_536)?,
    })
}

/// Where requests may go: as the link says, or else the provider.
pub(crate) fn allowed(provider: &Configuration, link: &Configuration) -> Result<Allowed, Error> {
    let settings = settings([provider, link]);
    Allowed::read(settings.text(KEY).unwrap_or_default())
}

/// Whom to trust. Reads a file, if one is named.
pub(crate) fn tls(configuration: &Configuration) -> Result<ClientConfig, Error> {
    let settings = settings([configuration]);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of every version that is built in");
    let builder = match settings.text("ca_file") {
        None => builder.with_webpki_roots(),
        Some(path) => builder.with_root_certificates(roots(path)?),
    };
    Ok(builder.with_no_client_auth())
}

fn roots(path: &str) -> Result<RootCertStore, Error> {
    let refused = |why: String| invalid("ca_file", path, &format!("certificates in PEM ({why})"));
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(PathBuf::from(path));
    for certificate in read.map_err(|error| refused(error.to_string()))? {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("it holds none".to_owned()));
    }
    Ok(roots)
}

fn settings<const N: usize>(layers: [&Configuration; N]) -> Settings {
    let mut settings = Settings::default();
    for layer in layers {
        settings.lay(layer);
    }
    settings
}
