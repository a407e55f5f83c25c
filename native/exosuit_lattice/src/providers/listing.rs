//! Lists a bucket. Reads only headers, so the size of the values does not matter.
//!
//! A listing needs every message of a filter, and `JetStream` has no request for that. So it makes a
//! consumer that sends headers only, reads it to its end, and deletes it. The cost grows with the
//! number of keys in the space, not with their sizes. The memory is bounded by the number of keys
//! that are wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::{ErrorCode, Message, consumer, stream};
use exosuit_core::Listed;
use futures_util::StreamExt;

use super::bucket_stream::{BucketStream, EXPIRES, KEY};
use super::names;
use crate::Error;

/// The number of values that one sweep deletes. The next sweep takes the rest.
const MAX_SWEPT: usize = 4_096;

/// The longest wait for the next message of a listing.
const SILENCE: Duration = Duration::from_secs(5);

/// The first `most` keys of a space after `after`, in the order of their bytes.
///
/// All keys of the space are read, and the smallest ones kept. Expired keys are among them, with
/// the time of their expiry.
pub(super) async fn keys(
    bucket: &BucketStream,
    space: &str,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<Listed>, Error> {
    let prefix = bucket.subject(&format!("{space}."));
    let mut keys = BTreeMap::new();
    read_all(bucket, &format!("{space}.*"), |message| {
        let token = message.subject.strip_prefix(&prefix);
        let key = token.and_then(|token| names::text(token, header(message, KEY)));
        if let Some(key) = key.filter(|key| after.is_none_or(|after| key.as_str() > after)) {
            keys.insert(key, expires(message));
        }
        // The first keys are wanted, but they arrive in any order.
        if keys.len() > most {
            keys.pop_last();
        }
    })
    .await?;
    let listed = |(key, expires)| Listed { key, expires };
    Ok(keys.into_iter().map(listed).collect())
}

/// Deletes values that have expired. Returns whether a value is left that will expire, so that the
/// caller knows when to sweep again.
pub(super) async fn sweep(bucket: &BucketStream, now: u64) -> Result<bool, Error> {
    let mut outdated = Vec::new();
    let mut is_any_left = false;
    read_all(bucket, ">", |message| {
        let expires = expires(message);
        let revision = message.info().map(|info| info.stream_sequence);
        match revision {
            Ok(revision) if (1..=now).contains(&expires) && outdated.len() < MAX_SWEPT => {
                outdated.push(revision);
            }
            _ => is_any_left |= expires > 0,
        }
    })
    .await?;
    for revision in outdated {
        // A value that has changed since has another revision, and stays.
        bucket.delete(revision).await?;
    }
    Ok(is_any_left)
}

/// Passes each message of a filter to `see`, without its value. Ends with the last one that was
/// there at the beginning.
///
/// # Errors
///
/// `Store` if the server sends nothing for 5 seconds, `ConnectionLost`.
async fn read_all(
    bucket: &BucketStream,
    filter: &str,
    mut see: impl FnMut(&Message),
) -> Result<(), Error> {
    let connection = bucket.jetstream.bus().connection();
    connection.client()?;
    let reading = async {
        let stream = bucket.jetstream.context();
        let stream = stream.get_stream_no_info(bucket.stream()).await;
        let stream = stream.map_err(failed)?;
        let Some(consumer) = consumer(bucket, &stream, filter).await? else {
            return Ok(());
        };
        let mut left = consumer.cached_info().num_pending;
        let name = consumer.cached_info().name.clone();
        let mut messages = consumer.messages().await.map_err(failed)?;
        while left > 0 {
            // The last message may have been deleted in the meantime. Then no message marks the end.
            let next = tokio::time::timeout(SILENCE, messages.next()).await;
            let next = next.map_err(|_| failed("the server fell silent amid them"))?;
            let Some(message) = next else {
                break;
            };
            let message = message.map_err(failed)?;
            left = message.info().map_err(|error| failed(&*error))?.pending;
            if !message.headers.as_ref().is_some_and(is_deletion) {
                see(&message);
            }
        }
        drop(messages);
        // It would end by itself a little later.
        let _ = stream.delete_consumer(&name).await;
        Ok(())
    };
    connection.unless_lost(reading).await
}

/// The consumer of a listing. `None` if there is no bucket yet.
async fn consumer(
    bucket: &BucketStream,
    stream: &stream::Stream<()>,
    filter: &str,
) -> Result<Option<consumer::OrderedPushConsumer>, Error> {
    let config = OrderedConfig {
        deliver_subject: bucket.jetstream.bus().connection().any_client().new_inbox(),
        filter_subject: bucket.subject(filter),
        deliver_policy: DeliverPolicy::All,
        headers_only: true,
        ..OrderedConfig::default()
    };
    match stream.create_consumer(config).await {
        Ok(consumer) => Ok(Some(consumer)),
        Err(error) => match error.kind() {
            stream::ConsumerErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            _ => Err(failed(error)),
        },
    }
}

/// A failed listing.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::store("list the keys", &error)
}

/// When a value expires, in milliseconds since 1970; 0 for never.
fn expires(message: &Message) -> u64 {
    let expires = header(message, EXPIRES).and_then(|text| text.parse().ok());
    expires.unwrap_or(0)
}

/// A header of a message.
fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    Some(message.headers.as_ref()?.get(name)?.as_str())
}

/// Whether another client marked the key as deleted.
fn is_deletion(headers: &HeaderMap) -> bool {
    let operation = headers.get("KV-Operation");
    operation.is_some_and(|operation| matches!(operation.as_str(), "DEL" | "PURGE"))
}
