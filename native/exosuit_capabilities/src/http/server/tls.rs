//! TLS for a link: a certificate and its key, read from files again whenever they change.
//!
//! # Renewal
//!
//! The files are read again after each `tls_reload_ms`, and compared by their content, so it does
//! not matter how they were replaced. New connections get the new certificate, and those that run
//! keep theirs. Files that cannot be used change nothing: the old certificate stays, and a notice
//! says why, once, if they are still bad at the next look.
//!
//! | what the files hold | certificate | notice |
//! |---|---|---|
//! | the same | the old one | |
//! | a new valid pair | the new one | `certificate_changed` |
//! | something unusable, first look | the old one | |
//! | the same unusable content, second look | the old one | `certificate_refused` |

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use exosuit_core::{Code, Error, Id, Notice, Observe};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

use crate::http::file;
use crate::settings::{Settings, invalid};

/// The setting with the file of the certificate chain.
pub(crate) const CERTIFICATE: &str = "tls_cert_file";
/// The setting with the file of the private key.
pub(crate) const KEY: &str = "tls_priv_key_file";

/// The protocols for ALPN, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// The name of HTTP/2 in ALPN.
pub(crate) const HTTP2: &[u8] = b"h2";

/// The time for reading both files when a link is put. They may be on a disk that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest file of a chain or a key.
const MAX_FILE_KIB: u64 = 1_024;

/// The files of the certificate chain and the private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// The files of these settings; `None` for a server without TLS.
    pub(crate) fn read(settings: &Settings) -> Result<Option<Self>, Error> {
        let named = |key: &'static str| settings.text(key).filter(|path| !path.is_empty());
        match (named(CERTIFICATE), named(KEY)) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Self {
                certificate: certificate.into(),
                key: key.into(),
            })),
            (Some(path), None) => Err(alone(CERTIFICATE, path, KEY)),
            (None, Some(path)) => Err(alone(KEY, path, CERTIFICATE)),
        }
    }
}

/// The error for one of the two settings without the other.
fn alone(key: &str, path: &str, other: &str) -> Error {
    invalid(key, path, &format!("a setting {other} beside it"))
}

/// The content of both files.
struct Read {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Read {
    /// Reads both. Blocks.
    fn files(files: &Files) -> Result<Self, Error> {
        Ok(Self {
            certificate: read(CERTIFICATE, &files.certificate)?,
            key: read(KEY, &files.key)?,
        })
    }

    /// A fingerprint of the files' content.
    fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key).hash(&mut hasher);
        hasher.finish()
    }

    /// Parses the files. Errors quote nothing of them: one holds a private key.
    fn certified(&self, files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let certificate = |why| refused(CERTIFICATE, &files.certificate, why);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| certificate("it holds no certificate in PEM"))?;
        let key = |why| refused(KEY, &files.key, why);
        let private = PrivateKeyDer::from_pem_slice(&self.key);
        let private = private.map_err(|_| key("it holds no private key in PEM"))?;
        CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => key("it does not match the certificate"),
            rustls::Error::InvalidCertificate(_) => certificate("its certificate cannot be read"),
            _ => key("its kind is not supported: expected RSA, ECDSA (P-256, P-384) or Ed25519"),
        })
    }
}

/// Reads one file. The error names the setting and the path.
fn read(key: &str, path: &Path) -> Result<Vec<u8>, Error> {
    file::read(path, MAX_FILE_KIB).map_err(|error| refused(key, path, &error.to_string()))
}

/// The error for a file that cannot be used.
fn refused(key: &str, path: &Path, why: &str) -> Error {
    let path = path.display();
    Error::new(
        Code::InvalidLink,
        format!("setting {key} names {path}, which cannot be used: {why}"),
    )
}

/// The TLS configuration of a link. Watches its files until it is dropped.
pub(crate) struct Tls {
    files: Files,
    acceptor: TlsAcceptor,
    watch: AbortHandle,
}

/// Who gets the notices about changed files.
pub(crate) struct Owner {
    pub(crate) provider: Id,
    pub(crate) observe: Arc<dyn Observe>,
}

impl Tls {
    /// Reads the files, and from then on again after each `pause`.
    ///
    /// # Errors
    ///
    /// `invalid_link` for files that cannot be read within 10 seconds or are not a matching pair.
    pub(crate) async fn open(
        files: Files,
        pause: Duration,
        owner: Owner,
    ) -> Result<Arc<Self>, Error> {
        let provider = Arc::new(ring::default_provider());
        let (named, signer) = (files.clone(), Arc::clone(&provider));
        let first = spawn_blocking(move || {
            let read = Read::files(&named)?;
            let certified = read.certified(&named, &signer)?;
            Ok::<_, Error>((read, certified))
        });
        let first = timeout(PATIENCE, first)
            .await
            .map_err(|_| too_late(&files))?;
        let (read, certified) = first.map_err(|error| unread(&error))??;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        let acceptor = acceptor(provider.clone(), current.clone())?;
        let watching = Watching {
            files: files.clone(),
            provider,
            current,
            used: read.mark(),
            refused: None,
            owner,
        };
        let watch = tokio::spawn(watching.watch(pause)).abort_handle();
        Ok(Arc::new(Self {
            files,
            acceptor,
            watch,
        }))
    }

    /// The files, by which routes of one address are compared.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// The acceptor for new connections.
    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// The error for a disk that did not answer.
fn too_late(files: &Files) -> Error {
    let why = format!("it could not be read within {PATIENCE:?}");
    refused(CERTIFICATE, &files.certificate, &why)
}

/// The error for a reading task that died.
fn unread(error: &tokio::task::JoinError) -> Error {
    Error::new(
        Code::Internal,
        format!("the TLS files could not be read: {error}"),
    )
}

/// TLS 1.3 and 1.2, both protocols, no client certificates.
fn acceptor(provider: Arc<CryptoProvider>, current: Arc<Current>) -> Result<TlsAcceptor, Error> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| Error::new(Code::Internal, format!("TLS is not available: {error}")))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(current);
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config).into())
}

/// The certificate for the next handshake. Swapped under a lock that each handshake takes once.
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

/// The task that reads the files of one link again and again.
struct Watching {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// The fingerprint of the content that is in use.
    used: u64,
    /// The last content that could not be used.
    refused: Option<Refused>,
    owner: Owner,
}

/// Files that cannot be used.
struct Refused {
    /// Their fingerprint. `None` for files that could not be read.
    mark: Option<u64>,
    is_told: bool,
}

impl Watching {
    /// Looks after each pause, on a blocking thread, until the task is aborted.
    async fn watch(mut self, pause: Duration) {
        let mut looks = interval(pause);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is due at once, and was made when the link was put.
        looks.tick().await;
        loop {
            looks.tick().await;
            let looked = spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(watching) => self = watching,
                Err(_) => return,
            }
        }
    }

    /// Loads changed files. If that fails, the old certificate stays in use.
    fn look(&mut self) {
        let read = match Read::files(&self.files) {
            Ok(read) => read,
            Err(error) => return self.refuse(None, error),
        };
        let mark = read.mark();
        if mark == self.used {
            self.refused = None;
            return;
        }
        match read.certified(&self.files, &self.provider) {
            Ok(certified) => {
                *self.current.0.write() = Arc::new(certified);
                self.used = mark;
                self.refused = None;
                self.tell("certificate_changed", None);
            }
            Err(error) => self.refuse(Some(mark), error),
        }
    }

    /// Reports files that cannot be used: once, and only if they are still bad at the next look, since
    /// certificate and key are not written at the same moment.
    fn refuse(&mut self, mark: Option<u64>, error: Error) {
        match &mut self.refused {
            Some(refused) if refused.mark == mark => {
                if !std::mem::replace(&mut refused.is_told, true) {
                    self.tell("certificate_refused", Some(error));
                }
            }
            _ => {
                self.refused = Some(Refused {
                    mark,
                    is_told: false,
                });
            }
        }
    }

    /// Sends a notice about the certificate.
    fn tell(&self, change: &'static str, error: Option<Error>) {
        self.owner.observe.observe(Notice::Certificate {
            provider: self.owner.provider.clone(),
            file: self.files.certificate.to_string_lossy().into_owned(),
            change,
            error,
        });
    }
}
