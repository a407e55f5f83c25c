//! `wasi:keyvalue`: `/kv/OPERATION?bucket=B&key=K&value=V&delta=D&cursor=C`.
//!
//! Without `bucket` it is the one called `default`. Operations on many keys take `key`, and `value`,
//! several times. A key that is not there is a 404; a store's error is a 502 that names it.

use wasi::keyvalue::atomics;
use wasi::keyvalue::batch;
use wasi::keyvalue::store::{self, Bucket, Error};

use crate::http::{Reply, Request};

wit_bindgen::generate!({
    path: "../wit/keyvalue.wit",
    inline: "
        package exosuit:web-store;
        world imports {
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
            import wasi:keyvalue/batch@0.2.0-draft;
        }
    ",
    generate_all,
});

pub(crate) fn answer(operation: &str, request: &Request, reply: Reply) {
    let answer = store::open(request.get("bucket").unwrap_or("default"))
        .and_then(|bucket| run(operation, request, &bucket));

    match answer {
        Ok(Some(text)) => reply.text(200, &text),
        Ok(None) => reply.text(404, "no such key\n"),
        Err(error) => reply.text(502, &format!("{error:?}\n")),
    }
}

fn run(operation: &str, request: &Request, bucket: &Bucket) -> Result<Option<String>, Error> {
    let key = request.get("key").unwrap_or_default();
    let value = request.get("value").unwrap_or_default();
    let keys: Vec<String> = request.all("key").map(str::to_owned).collect();

    match operation {
        "get" => bucket.get(key).map(|value| value.map(text)),
        "set" => bucket.set(key, value.as_bytes()).map(done),
        "delete" => bucket.delete(key).map(done),
        "exists" => bucket.exists(key).map(|exists| Some(exists.to_string())),
        "list" => list(
            bucket,
            request.get("cursor").map(|_| request.number("cursor")),
        ),
        "increment" => {
            let number = atomics::increment(bucket, key, request.number("delta"))?;
            Ok(Some(number.to_string()))
        }
        "get-many" => batch::get_many(bucket, &keys).map(|found| Some(pairs(found))),
        "set-many" => {
            let values = request.all("value").map(|value| value.as_bytes().to_vec());
            let pairs: Vec<_> = keys.into_iter().zip(values).collect();
            batch::set_many(bucket, &pairs).map(done)
        }
        "delete-many" => batch::delete_many(bucket, &keys).map(done),
        _ => Err(Error::Other("no such operation".to_owned())),
    }
}

/// A line for each key, and one for the cursor of the next page.
fn list(bucket: &Bucket, cursor: Option<u64>) -> Result<Option<String>, Error> {
    let page = bucket.list_keys(cursor)?;
    let mut lines = page.keys;
    lines.extend(page.cursor.map(|cursor| format!("cursor: {cursor}")));
    Ok(Some(lines.join("\n")))
}

/// A line for each key that was asked for, `-` for one that is not there.
fn pairs(found: Vec<Option<(String, Vec<u8>)>>) -> String {
    let lines = found.into_iter().map(|pair| match pair {
        Some((key, value)) => format!("{key}={}", text(value)),
        None => "-".to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}

fn done((): ()) -> Option<String> {
    Some("done".to_owned())
}
