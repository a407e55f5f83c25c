//! Requests to the servers about one stream, and their answers.
//!
//! They go through [`Replies`](crate::replies::Replies), so that a lost connection ends the wait. Each
//! takes one request; the client's own buckets would first ask for the stream.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{Bus, Error};

/// How long an answer of the servers may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Codes of the servers.
pub(super) const NO_MESSAGE: u64 = 10_037;
pub(super) const NO_SEQUENCE: u64 = 10_043;
pub(super) const DELETE_FAILED: u64 = 10_057;
pub(super) const STREAM_EXISTS: u64 = 10_058;
pub(super) const NO_STREAM: u64 = 10_059;
/// Servers from 2.11 on send the second code for streams with replicas.
pub(super) const WRONG_SEQUENCES: [u64; 2] = [10_071, 10_164];
pub(super) const NOT_STORED: u64 = 10_077;

/// The streams of the servers, or of a domain among them.
#[derive(Clone)]
pub(super) struct JetStream {
    bus: Bus,
    domain: Option<String>,
}

/// A message of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Got {
    message: Stored,
}

/// The acknowledgement of a message.
#[derive(Debug, Deserialize)]
pub(super) struct Acknowledged {}

/// The answer of the servers: a result, or a refusal with its reason.
pub(super) type Answered<T> = Result<T, Refused>;

/// The reason why the servers refuse a request.
#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Response<T> {
    Refused { error: Refused },
    Done(T),
}

impl JetStream {
    pub(super) fn new(bus: Bus, domain: Option<String>) -> Self {
        Self { bus, domain }
    }

    pub(super) fn bus(&self) -> &Bus {
        &self.bus
    }

    pub(super) fn context(&self) -> async_nats::jetstream::Context {
        self.bus.connection().jetstream(self.domain.as_deref())
    }

    /// The last message of a subject.
    pub(super) async fn last(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Answered<Stored>, Error> {
        let question = json!({ "last_by_subj": subject });
        let got: Answered<Got> = self.api("STREAM.MSG.GET", stream, &question).await?;
        Ok(got.map(|got| got.message))
    }

    /// Deletes one message, and leaves nothing in its place.
    pub(super) async fn delete(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Answered<Acknowledged>, Error> {
        let question = json!({ "seq": sequence, "no_erase": true });
        self.api("STREAM.MSG.DELETE", stream, &question).await
    }

    /// Creates a stream. If an equal stream exists, this is not an error.
    pub(super) async fn create(&self, config: &Config) -> Result<Answered<Acknowledged>, Error> {
        let question = serde_json::to_value(config);
        let question = question.map_err(|error| Error::store("make the bucket", &error))?;
        self.api("STREAM.CREATE", &config.name, &question).await
    }

    /// Puts a message into the stream of its subject.
    pub(super) async fn store(
        &self,
        subject: &str,
        headers: HeaderMap,
        value: Bytes,
    ) -> Result<Answered<Acknowledged>, Error> {
        // A stream of another domain is reached through its prefix.
        let subject = match &self.domain {
            Some(_) => format!("{}.{subject}", self.prefix()),
            None => subject.to_owned(),
        };
        self.ask(&subject, headers, value).await
    }

    async fn api<T: DeserializeOwned>(
        &self,
        what: &str,
        stream: &str,
        question: &serde_json::Value,
    ) -> Result<Answered<T>, Error> {
        let subject = format!("{}.{what}.{stream}", self.prefix());
        let question = question.to_string().into();
        self.ask(&subject, HeaderMap::new(), question).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        subject: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answered<T>, Error> {
        let deadline = Instant::now() + PATIENCE;
        let replies = self.bus.replies();
        let answer = replies
            .request(subject, Some(headers), body, deadline)
            .await?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Response::Done(done)) => Ok(Ok(done)),
            Ok(Response::Refused { error }) => Ok(Err(error)),
            // The text of the parser's error may quote stored data.
            Err(_) => Err(Error::malformed("answer of JetStream", subject)),
        }
    }

    fn prefix(&self) -> String {
        match &self.domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        }
    }
}

impl Stored {
    /// The value. `None` if this message marks a deletion.
    pub(super) fn value(&self) -> Result<Option<Bytes>, Error> {
        if self.is_deletion() {
            return Ok(None);
        }
        let value = data_encoding::BASE64.decode(self.data.as_bytes());
        let value = value.map_err(|error| Error::store("read", &error))?;
        Ok(Some(value.into()))
    }

    /// Other programs delete a key by a message that marks the deletion.
    fn is_deletion(&self) -> bool {
        let headers = data_encoding::BASE64.decode(self.hdrs.as_bytes());
        let headers = headers.unwrap_or_default();
        let headers = String::from_utf8_lossy(&headers);
        let operation = headers
            .lines()
            .find_map(|line| line.strip_prefix("KV-Operation:"));
        operation.is_some_and(|operation| matches!(operation.trim(), "DEL" | "PURGE"))
    }
}

impl Refused {
    pub(super) fn error(&self, doing: &'static str) -> Error {
        Error::store(doing, &self.description)
    }
}
