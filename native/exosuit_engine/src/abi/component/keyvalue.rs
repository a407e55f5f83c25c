//! `wasi:keyvalue`: each operation is a call through the router, to whatever store it is linked to.

use exosuit_core::{Code, Error, Value};
use exosuit_wit::Bucket;
use exosuit_wit::wasi::keyvalue::store::{Error as StoreError, KeyResponse};
use exosuit_wit::wasi::keyvalue::{atomics, batch, store};
use wasmtime::component::Resource;

use super::state::State;

const CONTRACT: &str = "wasi:keyvalue";

/// The longest name of a bucket: it is kept for as long as the guest has it open.
const MAX_NAME: usize = 1_024;

/// What the guest gets; wasmtime's own error around it would be a trap.
type Answer<T> = wasmtime::Result<Result<T, StoreError>>;

impl store::Host for State {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        if identifier.len() > MAX_NAME {
            let text = format!("the name of a bucket has {MAX_NAME} bytes at most");
            return Ok(Err(StoreError::Other(text)));
        }
        let bucket = self.table.push(Bucket { name: identifier })?;
        Ok(Ok(bucket))
    }
}

impl store::HostBucket for State {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let answer = self
            .ask(&bucket, "store", "get", [Value::binary(key)])
            .await?;
        Ok(answer.and_then(|value| optional(value, bytes)))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        let arguments = [Value::binary(key), Value::binary(value)];
        let answer = self.ask(&bucket, "store", "set", arguments).await?;
        Ok(answer.map(drop))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<()> {
        let answer = self.ask(&bucket, "store", "delete", [Value::binary(key)]);
        Ok(answer.await?.map(drop))
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        let answer = self.ask(&bucket, "store", "exists", [Value::binary(key)]);
        Ok(answer.await?.and_then(|value| match value {
            Value::Bool(yes) => Ok(yes),
            _ => Err(misshapen()),
        }))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Answer<KeyResponse> {
        let cursor = cursor.map_or(Value::Nil, |cursor| Value::Integer(cursor.into()));
        let answer = self.ask(&bucket, "store", "list-keys", [cursor]).await?;
        Ok(answer.and_then(page))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> Answer<u64> {
        let arguments = [Value::binary(key), Value::Integer(delta.into())];
        let answer = self.ask(&bucket, "atomics", "increment", arguments).await?;
        Ok(answer.and_then(|value| number(&value)))
    }
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let answer = self
            .ask(&bucket, "batch", "get-many", [names(keys)])
            .await?;
        Ok(answer.and_then(|value| each(value, |value| optional(value, entry))))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Answer<()> {
        let entry = |(key, value): (String, Vec<u8>)| {
            Value::Tuple(vec![Value::binary(key), Value::binary(value)])
        };
        let entries = Value::List(entries.into_iter().map(entry).collect());
        let answer = self.ask(&bucket, "batch", "set-many", [entries]).await?;
        Ok(answer.map(drop))
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        let answer = self.ask(&bucket, "batch", "delete-many", [names(keys)]);
        Ok(answer.await?.map(drop))
    }
}

impl State {
    /// Calls an operation with the bucket's name before its arguments; gives what it answered with.
    async fn ask<const N: usize>(
        &mut self,
        bucket: &Resource<Bucket>,
        interface: &str,
        function: &str,
        arguments: [Value; N],
    ) -> Answer<Value> {
        let mut all = vec![Value::binary(self.table.get(bucket)?.name.clone())];
        all.extend(arguments);
        let operation = format!("{CONTRACT}/{interface}@0.2.0-draft#{function}");
        let answer = self.caller.ask(CONTRACT, operation, all).await;
        Ok(answer.map_err(refused).and_then(good))
    }
}

fn refused(error: Error) -> StoreError {
    match error.code {
        Code::Denied | Code::MissingLink | Code::MissingClaim | Code::ExpiredClaims => {
            StoreError::AccessDenied
        }
        _ => StoreError::Other(error.detail),
    }
}

/// The good case of what a store answered with.
fn good(value: Value) -> Result<Value, StoreError> {
    match value {
        Value::Ok(value) => Ok(value.map_or(Value::Nil, |value| *value)),
        Value::Error(Some(value)) => Err(StoreError::Other(text(*value)?)),
        _ => Err(misshapen()),
    }
}

fn misshapen() -> StoreError {
    StoreError::Other("the store's answer is not of the type that the function has".to_owned())
}

fn optional<T>(
    value: Value,
    read: impl Fn(Value) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        value => read(value).map(Some),
    }
}

fn each<T>(
    value: Value,
    read: impl Fn(Value) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    match value {
        Value::List(items) => items.into_iter().map(read).collect(),
        _ => Err(misshapen()),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::Binary(bytes) => Ok(bytes.into()),
        _ => Err(misshapen()),
    }
}

fn text(value: Value) -> Result<String, StoreError> {
    String::from_utf8(bytes(value)?).map_err(|_| misshapen())
}

fn number(value: &Value) -> Result<u64, StoreError> {
    match value {
        Value::Integer(number) => (*number).try_into().map_err(|_| misshapen()),
        _ => Err(misshapen()),
    }
}

fn pair(value: Value) -> Result<(Value, Value), StoreError> {
    match value {
        Value::Tuple(fields) => match <[Value; 2]>::try_from(fields) {
            Ok([one, other]) => Ok((one, other)),
            Err(_) => Err(misshapen()),
        },
        _ => Err(misshapen()),
    }
}

fn entry(value: Value) -> Result<(String, Vec<u8>), StoreError> {
    let (key, value) = pair(value)?;
    Ok((text(key)?, bytes(value)?))
}

fn page(value: Value) -> Result<KeyResponse, StoreError> {
    let (keys, cursor) = pair(value)?;
    Ok(KeyResponse {
        keys: each(keys, text)?,
        cursor: optional(cursor, |cursor| number(&cursor))?,
    })
}

fn names(keys: Vec<String>) -> Value {
    Value::List(keys.into_iter().map(Value::binary).collect())
}
