//! `wasi:keyvalue`: each operation is a call through the router, to the store that the actor is linked to.
//!
//! Both drafts of the interface are here. They differ in three points: the type of a cursor, the sign of a count,
//! and `cas`, which only the second one has. Everything else has one implementation, which asks the store in the
//! words of the first draft. The second draft's own operations are `atomics#increment` and `atomics#swap`; the
//! latter sends the SHA-256 of the value that the handle saw.
//!
//! A bucket is a name here, and opening one asks nobody: the store learns the name with each operation. So a bucket
//! costs an entry in the instance's table of resources, and an unknown name fails at its first use. A `cas` handle
//! keeps a hash instead of the value, so that a guest cannot have the host hold values beyond its own memory.
//!
//! The store is behind the router, and may be a provider in Elixir: its answers are checked ([`answer`]), and one of
//! another type is an error of the store, not a trap.

mod answer;

use exosuit_core::{Code, Error, Value};
use exosuit_wit::wasi::{keyvalue0_2_0_draft as first, keyvalue0_2_0_draft2 as second};
use exosuit_wit::{Bucket, Cas};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Resource;

use self::answer::{Page, Refusal, bytes, each, entry, good, number, optional, page, pair, truth};
use super::state::ComponentState;

/// The contract of the link, for both drafts.
const CONTRACT: &str = "wasi:keyvalue";

/// The longest name of a bucket: it is kept for as long as the guest has it open.
const MAX_NAME: usize = 1_024;

/// The result for the guest; wasmtime's own error around it would be a trap.
type Answer<T> = wasmtime::Result<Result<T, Refusal>>;

impl ComponentState {
    /// Notes the name of a bucket under a new handle.
    fn open_bucket(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        if identifier.len() > MAX_NAME {
            let text = format!("the name of a bucket has {MAX_NAME} bytes at most");
            return Ok(Err(Refusal::Other(text)));
        }
        let bucket = self.table.push(Bucket { name: identifier })?;
        Ok(Ok(bucket))
    }

    /// `store#get`.
    async fn value(&mut self, bucket: &Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let answer = self.ask(bucket, "store@0.2.0-draft#get", [Value::binary(key)]);
        Ok(answer.await?.and_then(|value| optional(value, bytes)))
    }

    /// `store#list-keys`.
    async fn keys(&mut self, bucket: &Resource<Bucket>, cursor: Option<u64>) -> Answer<Page> {
        let cursor = cursor.map_or(Value::Nil, |cursor| Value::Integer(cursor.into()));
        let answer = self.ask(bucket, "store@0.2.0-draft#list-keys", [cursor]);
        Ok(answer.await?.and_then(page))
    }

    /// `batch#get-many`.
    async fn values(
        &mut self,
        bucket: &Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let answer = self.ask(bucket, "batch@0.2.0-draft#get-many", [names(keys)]);
        let read = |value| each(value, |value| optional(value, entry));
        Ok(answer.await?.and_then(read))
    }

    /// Calls an operation without a result.
    async fn tell<const N: usize>(
        &mut self,
        bucket: &Resource<Bucket>,
        operation: &str,
        arguments: [Value; N],
    ) -> Answer<()> {
        let answer = self.ask(bucket, operation, arguments);
        Ok(answer.await?.map(drop))
    }

    /// Calls an operation with the bucket's name before its arguments, and returns its answer.
    async fn ask<const N: usize>(
        &mut self,
        bucket: &Resource<Bucket>,
        operation: &str,
        arguments: [Value; N],
    ) -> Answer<Value> {
        let name = self.table.get(bucket)?.name.clone();
        Ok(self.ask_in(name, operation, arguments).await)
    }

    /// Calls an operation in the bucket of this name, through the link of the actor.
    async fn ask_in<const N: usize>(
        &mut self,
        bucket: String,
        operation: &str,
        arguments: [Value; N],
    ) -> Result<Value, Refusal> {
        let mut all = vec![Value::binary(bucket)];
        all.extend(arguments);
        let operation = format!("{CONTRACT}/{operation}");
        let answer = self.caller.ask(CONTRACT, operation, all).await;
        answer.map_err(refused).and_then(good)
    }
}

/// The error case for a failed call: access denied if links or claims do not allow it, otherwise the text.
fn refused(error: Error) -> Refusal {
    match error.code {
        Code::Denied | Code::MissingLink | Code::MissingClaim | Code::ExpiredClaims => {
            Refusal::AccessDenied
        }
        _ => Refusal::Other(error.detail),
    }
}

/// Keys, as a list of texts.
fn names(keys: Vec<String>) -> Value {
    Value::List(keys.into_iter().map(Value::binary).collect())
}

/// Entries, as a list of tuples.
fn pairs(entries: Vec<(String, Vec<u8>)>) -> Value {
    let pair = |(key, value): (String, Vec<u8>)| {
        Value::Tuple(vec![Value::binary(key), Value::binary(value)])
    };
    Value::List(entries.into_iter().map(pair).collect())
}

/// The common part of the drafts, with the types of each.
macro_rules! store_and_batch {
    ($draft:ident, $cursor:ty, $read:expr, $write:expr) => {
        impl From<Refusal> for $draft::store::Error {
            fn from(refusal: Refusal) -> Self {
                match refusal {
                    Refusal::AccessDenied => Self::AccessDenied,
                    Refusal::Other(text) => Self::Other(text),
                }
            }
        }

        impl $draft::store::Host for ComponentState {
            async fn open(
                &mut self,
                identifier: String,
            ) -> wasmtime::Result<Result<Resource<Bucket>, $draft::store::Error>> {
                Ok(self.open_bucket(identifier)?.map_err(Into::into))
            }
        }

        impl $draft::store::HostBucket for ComponentState {
            async fn get(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
            ) -> wasmtime::Result<Result<Option<Vec<u8>>, $draft::store::Error>> {
                Ok(self.value(&bucket, key).await?.map_err(Into::into))
            }

            async fn set(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
                value: Vec<u8>,
            ) -> wasmtime::Result<Result<(), $draft::store::Error>> {
                let arguments = [Value::binary(key), Value::binary(value)];
                let told = self.tell(&bucket, "store@0.2.0-draft#set", arguments);
                Ok(told.await?.map_err(Into::into))
            }

            async fn delete(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
            ) -> wasmtime::Result<Result<(), $draft::store::Error>> {
                let arguments = [Value::binary(key)];
                let told = self.tell(&bucket, "store@0.2.0-draft#delete", arguments);
                Ok(told.await?.map_err(Into::into))
            }

            async fn exists(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
            ) -> wasmtime::Result<Result<bool, $draft::store::Error>> {
                let arguments = [Value::binary(key)];
                let answer = self.ask(&bucket, "store@0.2.0-draft#exists", arguments);
                Ok(answer
                    .await?
                    .and_then(|value| truth(&value))
                    .map_err(Into::into))
            }

            async fn list_keys(
                &mut self,
                bucket: Resource<Bucket>,
                cursor: Option<$cursor>,
            ) -> wasmtime::Result<Result<$draft::store::KeyResponse, $draft::store::Error>> {
                let cursor = match cursor.map($read).transpose() {
                    Ok(cursor) => cursor,
                    Err(refusal) => return Ok(Err(Refusal::into(refusal))),
                };
                let page = self.keys(&bucket, cursor).await?;
                let given = |(keys, cursor): Page| $draft::store::KeyResponse {
                    keys,
                    cursor: cursor.map($write),
                };
                Ok(page.map(given).map_err(Into::into))
            }

            async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
                self.table.delete(bucket)?;
                Ok(())
            }
        }

        impl $draft::batch::Host for ComponentState {
            async fn get_many(
                &mut self,
                bucket: Resource<Bucket>,
                keys: Vec<String>,
            ) -> wasmtime::Result<Result<Vec<Option<(String, Vec<u8>)>>, $draft::store::Error>>
            {
                Ok(self.values(&bucket, keys).await?.map_err(Into::into))
            }

            async fn set_many(
                &mut self,
                bucket: Resource<Bucket>,
                entries: Vec<(String, Vec<u8>)>,
            ) -> wasmtime::Result<Result<(), $draft::store::Error>> {
                let arguments = [pairs(entries)];
                let told = self.tell(&bucket, "batch@0.2.0-draft#set-many", arguments);
                Ok(told.await?.map_err(Into::into))
            }

            async fn delete_many(
                &mut self,
                bucket: Resource<Bucket>,
                keys: Vec<String>,
            ) -> wasmtime::Result<Result<(), $draft::store::Error>> {
                let arguments = [names(keys)];
                let told = self.tell(&bucket, "batch@0.2.0-draft#delete-many", arguments);
                Ok(told.await?.map_err(Into::into))
            }
        }
    };
}

store_and_batch!(first, u64, Ok::<u64, Refusal>, |cursor| cursor);
store_and_batch!(
    second,
    String,
    |text: String| read_cursor(&text),
    |cursor: u64| cursor.to_string()
);

/// The number of a cursor of the second draft.
fn read_cursor(text: &str) -> Result<u64, Refusal> {
    text.parse()
        .map_err(|_| Refusal::Other("the cursor is not one that this store has given".to_owned()))
}

impl first::atomics::Host for ComponentState {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> wasmtime::Result<Result<u64, first::store::Error>> {
        let arguments = [Value::binary(key), Value::Integer(delta.into())];
        let answer = self.ask(&bucket, "atomics@0.2.0-draft#increment", arguments);
        Ok(answer
            .await?
            .and_then(|value| number(&value))
            .map_err(Into::into))
    }
}

impl second::atomics::Host for ComponentState {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, second::store::Error>> {
        let arguments = [Value::binary(key), Value::Integer(delta.into())];
        let answer = self.ask(&bucket, "atomics@0.2.0-draft2#increment", arguments);
        Ok(answer
            .await?
            .and_then(|value| number(&value))
            .map_err(Into::into))
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), second::atomics::CasError>> {
        let Cas { bucket, key, seen } = self.table.delete(cas)?;
        let seen = seen.map_or(Value::Nil, |seen| Value::binary(seen.to_vec()));
        let arguments = [Value::binary(key.clone()), seen, Value::binary(value)];
        let answer = self.ask_in(bucket.clone(), "atomics@0.2.0-draft2#swap", arguments);
        let swapped = answer.await.and_then(|value| {
            let (done, now) = pair(value)?;
            Ok((truth(&done)?, optional(now, bytes)?))
        });
        Ok(match swapped {
            Ok((true, _)) => Ok(()),
            Ok((false, now)) => {
                let cas = self.table.push(cas_of(bucket, key, now.as_deref()))?;
                Err(second::atomics::CasError::CasFailed((cas, now)))
            }
            Err(refusal) => Err(second::atomics::CasError::StoreError(refusal.into())),
        })
    }
}

/// A handle, and the value that it saw.
type Seen = (Resource<Cas>, Option<Vec<u8>>);

impl ComponentState {
    /// Reads a value, and makes the handle that remembers its hash. Between the two nothing is locked: `swap` finds
    /// out whether the value has changed since.
    async fn see(&mut self, bucket: &Resource<Bucket>, key: String) -> Answer<Seen> {
        let value = match self.value(bucket, key.clone()).await? {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let bucket = self.table.get(bucket)?.name.clone();
        let cas = self.table.push(cas_of(bucket, key, value.as_deref()))?;
        Ok(Ok((cas, value)))
    }
}

impl second::atomics::HostCas for ComponentState {
    async fn new(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<Cas>, second::store::Error>> {
        let seen = self.see(&bucket, key).await?;
        Ok(seen.map(|(cas, _value)| cas).map_err(Into::into))
    }

    async fn new_with_read(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Seen, second::store::Error>> {
        Ok(self.see(&bucket, key).await?.map_err(Into::into))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

/// A handle for this value. `None` is a key that has none: `swap` then sets the value only if there is still none.
fn cas_of(bucket: String, key: String, value: Option<&[u8]>) -> Cas {
    Cas {
        bucket,
        key,
        seen: value.map(|value| Sha256::digest(value).into()),
    }
}
