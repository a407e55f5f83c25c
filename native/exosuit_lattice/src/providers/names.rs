//! Converts names of buckets and keys, which may be any text, to names that NATS accepts.
//!
//! Names of actors' keys are any text, and a subject has tokens of few characters between dots. So
//! a token encodes each byte that is not a letter, a digit, `-` or `_` as `=` and two hexadecimal
//! digits. The encoding is one to one, and a listing can decode it. A text that is too long for a
//! subject is hashed instead. Then the key itself is kept in a header of the value.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use exosuit_core::{Id, Place};
use sha2::{Digest, Sha256};

/// The longest token that stands for itself, in bytes. A subject must fit on a line of 4,096 bytes,
/// more than once.
const MAX_TOKEN: usize = 256;
/// The longest name of a bucket that stands for itself. The name of a stream has 255 bytes at most.
const MAX_BUCKET: usize = 200;

/// The start of the token for a text that is too long. No other token begins like that.
const HASHED: &str = "==";

/// The name of a provider's bucket in a lattice. No two pairs have the same name: `_` in the name
/// of the lattice is written as `-u` and `-` as `--`, so the first `_` ends it.
pub(super) fn bucket(lattice: &Id, name: &Id) -> String {
    let lattice = lattice.as_str().replace('-', "--").replace('_', "-u");
    let full = format!("{lattice}_{name}");
    if full.len() <= MAX_BUCKET {
        format!("EXOSUIT_KV_{full}")
    } else {
        format!("EXOSUIT_KV_-h{}", hash(&full))
    }
}

/// The key in the bucket: a token for the space, a dot, and a token for the key. So one wildcard
/// finds all keys of a space.
pub(super) fn key(place: &Place) -> String {
    format!("{}.{}", token(&place.space), token(&place.key))
}

/// The token of a text: its ASCII letters, digits, `-` and `_`, and the code of each other byte.
/// The empty text is `=`.
pub(super) fn token(text: &str) -> String {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' => token.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => token.push(byte.into()),
            byte => token.extend(["=", &HEXUPPER.encode(&[byte])]),
        }
    }
    match token.len() {
        0 => "=".to_owned(),
        length if length <= MAX_TOKEN => token,
        _ => format!("{HASHED}{}", hash(text)),
    }
}

/// The text to keep in a header, if the token is a hash. In base64, because a header is one line of
/// ASCII.
pub(super) fn hidden(key: &str) -> Option<String> {
    token(key)
        .starts_with(HASHED)
        .then(|| BASE64URL_NOPAD.encode(key.as_bytes()))
}

/// The text of a token. `None` for a token that no Exosuit wrote, which a listing skips.
pub(super) fn text(token: &str, hidden: Option<&str>) -> Option<String> {
    if token.starts_with(HASHED) {
        let text = BASE64URL_NOPAD.decode(hidden?.as_bytes()).ok()?;
        return String::from_utf8(text).ok();
    }
    if token == "=" {
        return Some(String::new());
    }
    let mut parts = token.split('=');
    let mut text = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        text.push(u8::from_str_radix(code, 16).ok()?);
        text.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(text).ok()
}

/// SHA-256 in lower-case hexadecimal: collisions need not be expected.
fn hash(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> Id {
        Id::parse(text).expect("an id")
    }

    #[test]
    fn a_bucket_is_named_after_lattice_and_provider() {
        let name = bucket(&id("default"), &id("counter-keyvalue"));
        assert_eq!(name, "EXOSUIT_KV_default_counter-keyvalue");
        assert_ne!(bucket(&id("a_b"), &id("c")), bucket(&id("a"), &id("b_c")));
        assert_ne!(bucket(&id("a-u"), &id("c")), bucket(&id("a_"), &id("c")));
        let long = "x".repeat(255);
        let name = bucket(&id(&long), &id(&long));
        assert!(name.len() < 240, "{name}");
        assert_ne!(name, bucket(&id(&long), &id("x")));
    }

    #[test]
    fn a_key_reads_as_what_it_is() {
        assert_eq!(token("counter"), "counter");
        assert_eq!(token("/my page"), "=2Fmy=20page");
        assert_eq!(token(""), "=");
        assert_eq!(token("="), "=3D");
        assert_eq!(text("=zz", None), None);
        assert_eq!(text("=2", None), None);
        assert_eq!(text("=é0", None), None);
        assert_eq!(text("==0", None), None);
    }

    proptest! {
        #[test]
        fn every_key_is_one_token_and_found_again(key in "(.{0,40}|\\PC{200,300}|[a-z.*> ]{0,300})") {
            let token = token(&key);
            prop_assert!(token.len() <= MAX_TOKEN && !token.is_empty());
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b)));
            prop_assert_eq!(text(&token, hidden(&key).as_deref()), Some(key));
        }
    }
}
