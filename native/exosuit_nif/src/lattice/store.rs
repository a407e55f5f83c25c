//! What the hosts of a lattice share: keys and values in buckets, and bytes by their digest.

use bytes::Bytes;
use exosuit_lattice::{Bucket, Digest, SharedState};
use rustler::{Atom, Binary, Env, NifUnitEnum, Reference, ResourceArc};

use super::Lattice;
use super::inlet::{Inlet, Label, Source};
use crate::reply::{To, answer};
use crate::term::Payload;

/// Which bucket: links, claims and references; configurations; or applications.
#[derive(NifUnitEnum, Clone, Copy)]
enum Which {
    Data,
    Configurations,
    Applications,
}

impl Which {
    fn of(self, state: &SharedState) -> &Bucket {
        match self {
            Self::Data => state.data(),
            Self::Configurations => state.configurations(),
            Self::Applications => state.applications(),
        }
    }
}

/// Makes the buckets where they are not there yet, and brings over what hosts before 0.60 left:
/// answers how many records that were.
#[rustler::nif]
fn lattice_prepare<'a>(env: Env<'a>, lattice: ResourceArc<Lattice>, to: To<'a>) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move { Ok(joined.state.prepare().await?) })
}

/// What a key holds, or nil, and the revision that came with.
#[rustler::nif]
fn lattice_get<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: Which,
    key: String,
    to: To<'a>,
) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move {
        let entry = bucket.of(&joined.state).get(&key).await?;
        Ok((entry.value.map(Payload), entry.revision))
    })
}

/// Writes a value where that revision still holds: answers with the new one, or nil where others
/// came between.
#[rustler::nif]
fn lattice_update<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: Which,
    key: String,
    value: Binary<'a>,
    revision: u64,
    to: To<'a>,
) -> Atom {
    let (joined, value) = (lattice.joined(), Bytes::copy_from_slice(&value));
    answer(env, to, async move {
        let bucket = bucket.of(&joined.state);
        Ok(bucket.compare_and_set(&key, value, revision).await?)
    })
}

/// Deletes a key where that revision still holds: answers whether it did.
#[rustler::nif]
fn lattice_remove<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: Which,
    key: String,
    revision: u64,
    to: To<'a>,
) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move {
        let bucket = bucket.of(&joined.state);
        Ok(bucket.compare_and_delete(&key, revision).await?)
    })
}

/// Deletes a key; that there is nothing is no error.
#[rustler::nif]
fn lattice_delete<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: Which,
    key: String,
    to: To<'a>,
) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move {
        Ok(bucket.of(&joined.state).delete(&key).await?)
    })
}

/// Watches a bucket, from all that there is on, for the process that is answered:
/// `{exosuit_lattice, reference, change}`, a change being `{put, key, value, revision}`,
/// `{deleted, key}`, `current` once all is told, `{lost, keys}`, or `{interrupted, failure}`.
#[rustler::nif]
fn lattice_watch<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: Which,
    reference: Reference<'a>,
    to: To<'a>,
) -> Atom {
    let (joined, pid, label) = (lattice.joined(), to.0, Label::new(reference));
    answer(env, to, async move {
        let watcher = joined.state.watch(bucket.of(&joined.state));
        Ok(Inlet::open(pid, label, Source::Changes(watcher)))
    })
}

/// Which bucket there is now, and its last revision: answers `{identity, revision}`.
#[rustler::nif]
fn lattice_position<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bucket: Which,
    to: To<'a>,
) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move {
        let position = bucket.of(&joined.state).position().await?;
        Ok((position.identity, position.revision))
    })
}

/// Stores bytes: answers with their digest. They are copied, which takes long where they are many.
#[rustler::nif(schedule = "DirtyCpu")]
fn lattice_put_object<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    bytes: Binary<'a>,
    to: To<'a>,
) -> Atom {
    let (joined, bytes) = (lattice.joined(), Bytes::copy_from_slice(&bytes));
    answer(env, to, async move {
        let digest = joined.state.objects().put(bytes).await?;
        Ok(digest.to_string())
    })
}

/// The bytes of a digest, or nil.
#[rustler::nif]
fn lattice_get_object<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    digest: String,
    to: To<'a>,
) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move {
        let bytes = joined.state.objects().get(Digest::parse(&digest)?).await?;
        Ok(bytes.map(Payload))
    })
}

/// Deletes the bytes of a digest: answers whether they were there.
#[rustler::nif]
fn lattice_delete_object<'a>(
    env: Env<'a>,
    lattice: ResourceArc<Lattice>,
    digest: String,
    to: To<'a>,
) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move {
        let objects = joined.state.objects();
        Ok(objects.delete(Digest::parse(&digest)?).await?)
    })
}

/// All objects: answers with a list of `{digest, bytes, milliseconds since 1970}`.
#[rustler::nif]
fn lattice_list_objects<'a>(env: Env<'a>, lattice: ResourceArc<Lattice>, to: To<'a>) -> Atom {
    let joined = lattice.joined();
    answer(env, to, async move {
        let objects = joined.state.objects().list().await?;
        let row = |it: &exosuit_lattice::Stored| (it.digest.to_string(), it.size, it.at);
        Ok(objects.iter().map(row).collect::<Vec<_>>())
    })
}
