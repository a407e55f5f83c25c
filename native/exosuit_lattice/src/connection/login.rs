//! The credentials that are shown to the server at each attempt to connect.
//!
//! It runs on a blocking thread, because a credentials file is read at each attempt. So a renewed
//! file is used without a restart, and a token that has expired is noticed before the server
//! refuses it.
//!
//! | credentials | sent |
//! |---|---|
//! | none | nothing |
//! | a user's key | the public key, and the server's nonce signed |
//! | a token or a file | the token, and the nonce signed by the seed |
//! | name and password, or a word | the text itself |
//!
//! Texts of secrets are in `Secret` or `Zeroizing`. The client's `Auth` holds plain copies, as its
//! type demands.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use async_nats::Auth;
use data_encoding::BASE64URL_NOPAD;
use exosuit_claims::{KeyKind, KeyPair, moment, unix_now};
use serde::Deserialize;

use super::options::{Credentials, shown};
use crate::{Error, Secret};

/// The largest part of a credentials file that is read: 64 KiB. Real files have one or two.
const MAX_FILE: u64 = 64 << 10;

/// The answer to a server with this nonce.
///
/// An empty nonce is used to try the credentials without a server.
///
/// # Errors
///
/// `InvalidCredentials` or `ExpiredCredentials`.
pub(crate) fn answer(credentials: &Credentials, nonce: &[u8]) -> Result<Auth, Error> {
    let mut auth = Auth::new();
    match credentials {
        Credentials::None => {}
        Credentials::Key(seed) => {
            let key = user_key(seed)?;
            auth.nkey = Some(key.public_key().to_string());
            auth.signature = Some(key.sign(nonce).to_vec());
        }
        Credentials::Token { token, seed } => sign_in(&mut auth, token, seed, nonce)?,
        Credentials::File(path) => {
            let (token, seed) = read_file(path)?;
            sign_in(&mut auth, &token, &seed, nonce)?;
        }
        Credentials::Password { user, password } => {
            auth.username = Some(user.clone());
            auth.password = Some(password.expose().to_owned());
        }
        Credentials::Word(word) => auth.token = Some(word.expose().to_owned()),
    }
    Ok(auth)
}

/// Adds the token, and the nonce signed by its seed.
fn sign_in(auth: &mut Auth, token: &Secret, seed: &Secret, nonce: &[u8]) -> Result<(), Error> {
    refuse_expired(token)?;
    auth.jwt = Some(token.expose().to_owned());
    auth.signature = Some(user_key(seed)?.sign(nonce).to_vec());
    Ok(())
}

/// The key of a seed. A seed of another kind, such as an account's, is refused: it is a sign of a
/// mix-up.
fn user_key(seed: &Secret) -> Result<KeyPair, Error> {
    let invalid = |why: &exosuit_claims::Error| Error::InvalidCredentials(why.to_string());
    let key = KeyPair::from_seed(seed.expose().trim()).map_err(|error| invalid(&error))?;
    key.public_key()
        .require("user", KeyKind::User)
        .map_err(|error| invalid(&error))?;
    Ok(key)
}

/// The part of a user token that is read here. The server verifies the rest.
#[derive(Deserialize)]
struct Times {
    exp: Option<u64>,
}

/// Refuses an expired token. The server would only say that it refuses, not why.
///
/// The signature is not verified: it is our own token.
fn refuse_expired(token: &Secret) -> Result<(), Error> {
    let malformed = || Error::InvalidCredentials("the user token is not a JWT".to_owned());
    let claims = token
        .expose()
        .trim()
        .split('.')
        .nth(1)
        .ok_or_else(malformed)?;
    let claims = BASE64URL_NOPAD
        .decode(claims.as_bytes())
        .map_err(|_| malformed())?;
    let times: Times = serde_json::from_slice(&claims).map_err(|_| malformed())?;
    match times.exp {
        Some(at) if at <= unix_now() => Err(Error::ExpiredCredentials(moment(at))),
        _ => Ok(()),
    }
}

/// The token and the seed in a file of `nsc`.
///
/// # Errors
///
/// `InvalidCredentials`, with the path and the missing section. No line of the file is quoted.
fn read_file(path: &Path) -> Result<(Secret, Secret), Error> {
    let wrong = |why: String| Error::InvalidCredentials(format!("{}: {why}", shown(path)));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = zeroize::Zeroizing::new(String::new());
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|error| wrong(error.to_string()))?;
    let part = |name: &str| section(&text, name).ok_or_else(|| wrong(format!("it has no {name}")));
    Ok((part("USER JWT")?, part("USER NKEY SEED")?))
}

/// The line after the line of dashes that begins this section.
///
/// The word "NATS" after "BEGIN" is optional. A section without a line counts as missing.
fn section(text: &str, name: &str) -> Option<Secret> {
    let begins = |line: &str| {
        line.starts_with("---") && line.contains(&format!("BEGIN {name}"))
            || line.starts_with("---") && line.contains(&format!("BEGIN NATS {name}"))
    };
    let mut lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| !begins(line))
        .skip(1);
    let line = lines.find(|line| !line.is_empty())?;
    (!line.starts_with("---")).then(|| Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(exp: u64) -> Secret {
        let claims = BASE64URL_NOPAD.encode(format!("{{\"exp\":{exp}}}").as_bytes());
        Secret::new(format!("e30.{claims}.c2ln"))
    }

    fn seed() -> Secret {
        Secret::new(KeyPair::generate(KeyKind::User).seed())
    }

    #[test]
    fn a_key_signs_what_the_server_says() {
        let key = KeyPair::generate(KeyKind::User);
        let auth = answer(&Credentials::Key(Secret::new(key.seed())), b"nonce").expect("an answer");
        assert_eq!(auth.nkey.as_deref(), Some(key.public_key().as_str()));
        let signature = auth.signature.expect("a signature");
        assert!(key.public_key().verify(b"nonce", &signature));
    }

    #[test]
    fn an_expired_token_is_not_even_shown() {
        let shown = |token| {
            answer(
                &Credentials::Token {
                    token,
                    seed: seed(),
                },
                b"nonce",
            )
            .map(|_| ())
        };
        assert_eq!(shown(token(u64::MAX)), Ok(()));
        let expired = Error::ExpiredCredentials("1970-01-01T00:00:01Z".to_owned());
        assert_eq!(shown(token(1)), Err(expired));
        let refused = shown(Secret::new("nonsense"));
        assert!(
            matches!(refused, Err(Error::InvalidCredentials(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn a_file_is_read_anew_each_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("user.creds");
        let credentials = Credentials::File(path.clone());
        let write = |token: &Secret, seed: &Secret| {
            let text = format!(
                "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n* IMPORTANT *\n\n\
                 -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
                token.expose(),
                seed.expose()
            );
            std::fs::write(&path, text).expect("written");
        };
        write(&token(1), &seed());
        assert!(matches!(
            answer(&credentials, b""),
            Err(Error::ExpiredCredentials(_))
        ));
        write(&token(u64::MAX), &seed());
        let auth = answer(&credentials, b"").expect("an answer");
        assert_eq!(auth.jwt.as_deref(), Some(token(u64::MAX).expose()));

        std::fs::write(&path, "nothing").expect("written");
        let refused = answer(&credentials, b"")
            .map(|_| ())
            .expect_err("it has no token");
        assert!(refused.to_string().contains("USER JWT"), "{refused}");
        std::fs::remove_file(&path).expect("removed");
        assert!(answer(&credentials, b"").is_err());
    }

    #[test]
    fn no_error_shows_a_seed() {
        let refused = answer(&Credentials::Key(Secret::new("SUABC")), b"")
            .map(|_| ())
            .expect_err("no seed");
        assert!(!refused.to_string().contains("SUABC"), "{refused}");
        let account = KeyPair::generate(KeyKind::Account);
        let refused = answer(&Credentials::Key(Secret::new(account.seed())), b"")
            .map(|_| ())
            .expect_err("no user");
        assert!(!refused.to_string().contains(account.seed()), "{refused}");
    }
}
