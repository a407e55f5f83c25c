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

/// The longest wait for an answer of the servers. A write without an answer may have happened;
/// revisions tell.
const PATIENCE: Duration = Duration::from_secs(5);

/// There is no message on this subject. A read answers "no value".
pub(super) const NO_MESSAGE: u64 = 10_037;
/// There is no message with this number: it was deleted or replaced.
pub(super) const NO_SEQUENCE: u64 = 10_043;
/// The message could not be deleted, for example because it is gone.
pub(super) const DELETE_FAILED: u64 = 10_057;
/// Another host made the stream, with other settings.
pub(super) const STREAM_EXISTS: u64 = 10_058;
/// The bucket does not exist.
pub(super) const NO_STREAM: u64 = 10_059;
/// The key has another revision than expected. The second code comes from servers of 2.11 on, for
/// streams with replicas.
pub(super) const WRONG_SEQUENCES: [u64; 2] = [10_071, 10_164];
/// The message was not stored. The description says why: that the stream is full, among others.
pub(super) const NOT_STORED: u64 = 10_077;

/// The streams of the servers, or of a domain among them.
#[derive(Clone)]
pub(super) struct JetStream {
    bus: Bus,
    domain: Option<String>,
}

/// A message of a stream, with headers and data in base64.
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

/// The answer to a request that was carried out. Its fields do not matter here.
#[derive(Debug, Deserialize)]
pub(super) struct Acknowledged {}

/// The answer of the servers: the result, or their refusal. A lost connection and a timeout are
/// errors of the request instead.
pub(super) type Answered<T> = Result<T, Refused>;

/// A refusal of the servers. Its code decides what to do, and its description is for people.
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

    /// The connection for control.
    pub(super) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The client's view of the streams, for consumers.
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

    /// Creates a stream. A stream with the same settings is a success, one with others is
    /// `STREAM_EXISTS`.
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

    /// Sends a request of the API about one stream.
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

    /// Sends a message and decodes the answer. An answer that is not JSON of the expected form is
    /// `Malformed`, without its text.
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

    /// The subject of the API, in the domain if there is one.
    fn prefix(&self) -> String {
        match &self.domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        }
    }
}

impl Stored {
    /// The value. `None` if the message marks a deletion by another client.
    pub(super) fn value(&self) -> Result<Option<Bytes>, Error> {
        if self.is_deletion() {
            return Ok(None);
        }
        let value = data_encoding::BASE64.decode(self.data.as_bytes());
        let value = value.map_err(|error| Error::store("read", &error))?;
        Ok(Some(value.into()))
    }

    /// Whether the message marks a deletion. We delete messages instead; other clients of the
    /// bucket write a marker.
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
    /// The refusal as an error of the store.
    pub(super) fn error(&self, doing: &'static str) -> Error {
        Error::store(doing, &self.description)
    }
}
