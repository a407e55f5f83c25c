//! The stream that hosts before 0.60 kept their state in. It is read once, and deleted.
//!
//! A host that dies while it copies leaves the stream there, and the next one copies the rest: keys
//! that exist in the bucket are not touched. Two hosts that copy at once do each other no harm for
//! the same reason.

use std::time::Duration;

use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{ErrorCode, Message};
use exosuit_core::Id;
use futures_util::StreamExt;
use serde::Deserialize;

use super::bucket::Bucket;
use super::records::{Claims, LinkDefinition, Record, Reference, decode};
use crate::{Connection, Error};

/// How long the server may take for the next message of the stream.
const PATIENCE: Duration = Duration::from_secs(10);

/// More records than any lattice of that time had. A larger stream is an error, and stays.
const MAX_RECORDS: u64 = 1 << 17;

/// Copies the records of the old stream to the bucket, except keys that the bucket has already, and
/// deletes the stream. Returns the number of copied records.
///
/// # Errors
///
/// `Store`, if the stream cannot be read to its end. Nothing is deleted then.
pub(super) async fn migrate(
    connection: &Connection,
    lattice: &Id,
    domain: Option<&str>,
    bucket: &Bucket,
) -> Result<usize, Error> {
    connection.client()?;
    let failed = |why: &dyn std::fmt::Display| Error::store("migrate the old stream", why);
    let jetstream = connection.jetstream(domain);
    let name = format!("LATTICECACHE_{lattice}");
    let stream = match jetstream.get_stream(&name).await {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                return Ok(0);
            }
            _ => return Err(failed(&error)),
        },
    };
    let config = OrderedConfig {
        deliver_subject: connection.any_client().new_inbox(),
        // A server takes no such policy without a filter.
        filter_subject: format!("lc.{lattice}.>"),
        deliver_policy: DeliverPolicy::LastPerSubject,
        replay_policy: ReplayPolicy::Instant,
        ..OrderedConfig::default()
    };
    let consumer = stream
        .create_consumer(config)
        .await
        .map_err(|error| failed(&error))?;
    let count = consumer.cached_info().num_pending;
    if count > MAX_RECORDS {
        return Err(failed(&format!(
            "it has {count} records, at most {MAX_RECORDS} are taken"
        )));
    }
    let mut messages = consumer.messages().await.map_err(|error| failed(&error))?;
    let mut brought = 0;
    for _ in 0..count {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await;
        let message = message
            .ok()
            .flatten()
            .ok_or_else(|| failed(&"it ends too early"))?;
        brought += usize::from(bring(&message.map_err(|error| failed(&error))?, bucket).await?);
    }
    // Another host may have done the same in the meantime.
    let _ = jetstream.delete_stream(&name).await;
    Ok(brought)
}

/// Copies one record. A record that cannot be decoded is skipped, as the old hosts did.
///
/// Returns whether it was written. `false` also if the bucket had the key.
async fn bring(message: &Message, bucket: &Bucket) -> Result<bool, Error> {
    let Some(record) = record(&message.subject, &message.payload) else {
        return Ok(false);
    };
    let Some(key) = record.key() else {
        return Ok(false);
    };
    bucket.create(&key.to_string(), record.encode()).await
}

/// A link of that time. Deleted links stayed in the stream with a flag.
#[derive(Deserialize)]
struct OldLink {
    #[serde(flatten)]
    link: LinkDefinition,
    #[serde(default)]
    deleted: bool,
}

/// The record of `lc.<lattice>.<kind>.<id>`. The ids of links were different then.
///
/// `None` for a kind that is unknown, and for a link that was deleted.
fn record(subject: &str, value: &[u8]) -> Option<Record> {
    match subject.split('.').nth(2)? {
        "claims" => Some(Record::Claims(decode::<Claims>(value).ok()?)).filter(is_named),
        "linkdefs" => {
            let old: OldLink = decode(value).ok()?;
            (!old.deleted).then(|| Record::Link(old.link.with_id()))
        }
        "refmap" => Some(Record::Reference(decode::<Reference>(value).ok()?)),
        _ => None,
    }
}

/// Whether claims say whose they are: without it they have no key.
fn is_named(record: &Record) -> bool {
    matches!(record, Record::Claims(claims) if !claims.sub.is_empty())
}
