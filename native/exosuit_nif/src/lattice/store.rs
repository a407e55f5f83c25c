//! The state that the hosts of a lattice share: keys and values in buckets, and objects by their
//! digest.
//!
//! Writes are conditional: each names the revision that it has read, and changes nothing if another
//! host has written in the meantime. `Exosuit.Lattice.Nats` retries.
//!
//! Every request answers by message, within the timeouts of `exosuit_lattice`, and at once if the
//! connection is lost. A write whose answer was lost may have happened: the next read shows it, as its
//! revision is another one.
//!
//! # A change, step by step
//!
//! 1. `lattice_get` answers with value and revision.
//! 2. Elixir computes the new value.
//! 3. `lattice_update` writes it, if the revision is still that one, and answers with the new revision.
//! 4. If it answers with `nil`, another host was faster: back to step 1.
//!
//! A key that never existed has the revision 0, so that two hosts that create it at a time do not overwrite each
//! other. Watching (`lattice_watch`) is for reading: a change may have been overwritten when it arrives.

use bytes::Bytes;
use exosuit_lattice::{Bucket, Digest, SharedState, Stored};
use rustler::{Atom, Binary, Env, NifUnitEnum, Reference, ResourceArc};

use super::Lattice;
use super::inlet::{Inlet, InletSource, Label};
use crate::reply::To;
use crate::term::Payload;

/// The bucket of links, claims and references (`data`), of configurations, or of applications.
#[derive(NifUnitEnum, Clone, Copy)]
enum BucketName {
    Data,
    Configurations,
    Applications,
}

impl BucketName {
    /// The bucket in a lattice's state.
    fn of(self, state: &SharedState) -> &Bucket {
        match self {
            Self::Data => state.data(),
            Self::Configurations => state.configurations(),
            Self::Applications => state.applications(),
        }
    }
}

/// Creates missing buckets, and copies the records of hosts before 0.60. Answers with the number of
/// copied records. Two hosts may do this at the same time; existing buckets keep their settings.
#[rustler::nif]
fn lattice_prepare<'a>(env: Env<'a>, lattice: ResourceArc<Lattice>, to: To<'a>) -> Atom {
    lattice.answer(
        env,
        to,
        |joined| async move { joined.state.prepare().await },
    )
}

/// Answers with `{value | nil, revision}` of a key. The revision of a deleted key is that of its
/// deletion; of a key that never existed, 0. Both may be given to `lattice_update`.
#[rustler::nif]
fn lattice_get<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: BucketName,
    key: String,
    to: To<'a>,
) -> Atom {
    lattice.answer(env, to, |joined| async move {
        let entry = bucket.of(&joined.state).get(&key).await?;
        Ok((entry.value.map(Payload), entry.revision))
    })
}

/// Writes a value if the key still has this revision. Answers with the new revision, or with `nil`
/// if another host has written in the meantime.
#[rustler::nif]
fn lattice_update<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: BucketName,
    key: String,
    value: Binary<'a>,
    revision: u64,
    to: To<'a>,
) -> Atom {
    let value = Bytes::copy_from_slice(&value);
    lattice.answer(env, to, |joined| async move {
        let bucket = bucket.of(&joined.state);
        bucket.compare_and_set(&key, value, revision).await
    })
}

/// Deletes a key if it still has this revision. Answers whether it did.
#[rustler::nif]
fn lattice_remove<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: BucketName,
    key: String,
    revision: u64,
    to: To<'a>,
) -> Atom {
    lattice.answer(env, to, |joined| async move {
        let bucket = bucket.of(&joined.state);
        bucket.compare_and_delete(&key, revision).await
    })
}

/// Deletes a key in any case. A missing key is not an error. For records that other hosts do not change.
#[rustler::nif]
fn lattice_delete<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: BucketName,
    key: String,
    to: To<'a>,
) -> Atom {
    lattice.answer(env, to, |joined| async move {
        bucket.of(&joined.state).delete(&key).await
    })
}

/// Watches a bucket for the process in `to`. Answers with an inlet, which sends `{exosuit_lattice,
/// reference, change}`, first for all keys that there are:
///
/// - `{put, key, value, revision}` and `{deleted, key}`: a key was written or deleted.
/// - `current`: all existing keys have been sent.
/// - `{dropped, key}`: there is no room for this key, so its changes are not sent.
/// - `{lost, keys}`: the bucket was replaced by another one, which lacks these keys.
/// - `{interrupted, failure}`: the bucket cannot be read now. The watch continues when it can.
#[rustler::nif]
fn lattice_watch<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: BucketName,
    reference: Reference<'a>,
    to: To<'a>,
) -> Atom {
    let (pid, label) = (to.0, Label::new(reference));
    lattice.answer(env, to, |joined| async move {
        let watcher = joined.state.watch(bucket.of(&joined.state));
        Ok(Inlet::open(pid, label, InletSource::Changes(watcher)))
    })
}

/// Answers with `{identity, revision}` of a bucket. The identity changes when the bucket is lost
/// and created again.
#[rustler::nif]
fn lattice_position<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: BucketName,
    to: To<'a>,
) -> Atom {
    lattice.answer(env, to, |joined| async move {
        let position = bucket.of(&joined.state).position().await?;
        Ok((position.identity, position.revision))
    })
}

/// Stores bytes. Answers with their digest, by which any host can read them. Storing the same bytes twice
/// stores them once. Copying the bytes may take long, so it runs on a dirty scheduler.
#[rustler::nif(schedule = "DirtyCpu")]
fn lattice_put_object<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bytes: Binary<'a>,
    to: To<'a>,
) -> Atom {
    let bytes = Bytes::copy_from_slice(&bytes);
    lattice.answer(env, to, |joined| async move {
        let digest = joined.state.objects().put(bytes).await?;
        Ok(digest.to_string())
    })
}

/// Answers with the bytes of a digest, or with `nil`. Bytes that do not have this digest are an error:
/// the servers are not trusted with code.
#[rustler::nif]
fn lattice_get_object<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    digest: String,
    to: To<'a>,
) -> Atom {
    lattice.answer(env, to, |joined| async move {
        let bytes = joined.state.objects().get(Digest::parse(&digest)?).await?;
        Ok(bytes.map(Payload))
    })
}

/// Deletes the bytes of a digest. Answers whether there were any.
#[rustler::nif]
fn lattice_delete_object<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    digest: String,
    to: To<'a>,
) -> Atom {
    lattice.answer(env, to, |joined| async move {
        let digest = Digest::parse(&digest)?;
        joined.state.objects().delete(digest).await
    })
}

/// Answers with all objects: `{digest, bytes, milliseconds since 1970}`. The time is that of its
/// write: Elixir keeps an object that no application names for a day.
#[rustler::nif]
fn lattice_list_objects<'a>(env: Env<'a>, lattice: ResourceArc<Lattice>, to: To<'a>) -> Atom {
    lattice.answer(env, to, |joined| async move {
        let objects = joined.state.objects().list().await?;
        let row = |stored: &Stored| (stored.digest.to_string(), stored.size, stored.at);
        Ok(objects.iter().map(row).collect::<Vec<_>>())
    })
}
