//! Connections: every way to prove who one is, and what is told of those that fail or are lost.

mod common;

use std::path::Path;
use std::time::Duration;

use common::nats::NatsServer;
use common::{PATIENCE, within};
use exosuit_claims::{KeyKind, KeyPair};
use exosuit_lattice::{
    Connection, ConnectionOptions, Credentials, Error, Notice, Secret, State, Tls,
};
use tokio::sync::broadcast;

async fn open(options: &ConnectionOptions) -> Connection {
    Connection::open(options).await.expect("options")
}

async fn next(notices: &mut broadcast::Receiver<Notice>) -> Notice {
    within("a notice", notices.recv()).await.expect("a notice")
}

/// Waits until an attempt to connect has failed.
async fn failed(connection: &Connection) -> State {
    let mut state = connection.state();
    let failed = state.wait_for(|state| matches!(state, State::Connecting(Some(_))));
    within("a failure", failed).await.expect("a state").clone()
}

/// The error of the attempts, after the first one has failed.
async fn failure(options: &ConnectionOptions) -> Error {
    match failed(&open(options).await).await {
        State::Connecting(Some(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_comes_when_the_server_does() {
    let mut server = NatsServer::start().await;
    server.stop();
    let connection = open(&server.options()).await;
    let mut notices = connection.notices();
    let failed = connection
        .ready(Duration::from_millis(500))
        .await
        .expect_err("no server");
    assert_eq!(failed.code(), "unreachable", "{failed}");

    server.resume().await;
    assert_eq!(connection.ready(PATIENCE).await, Ok(()));
    while next(&mut notices).await != Notice::Connected {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_told_and_made_again() {
    let mut server = NatsServer::start().await;
    let connection = server.connect().await;
    let mut notices = connection.notices();
    server.stop();
    assert_eq!(next(&mut notices).await, Notice::Disconnected);
    let failed = next(&mut notices).await;
    assert!(
        matches!(failed, Notice::Failed(Error::Unreachable(_))),
        "{failed:?}"
    );
    server.resume().await;
    while next(&mut notices).await != Notice::Connected {}
    assert_eq!(*connection.state().borrow(), State::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_stays_closed() {
    let server = NatsServer::start().await;
    let connection = server.connect().await;
    connection.close().await;
    assert_eq!(connection.ready(PATIENCE).await, Err(Error::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_closes_while_no_server_answers_leaves_no_task() {
    let mut server = NatsServer::start().await;
    let tasks = tokio::runtime::Handle::current().metrics();
    let lost = server.connect().await;
    server.stop();
    failed(&lost).await;
    let never = open(&server.options()).await;
    failed(&never).await;
    drop((lost, never));
    common::eventually("the end of all tasks", || async {
        (tasks.num_alive_tasks() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_is_a_failure() {
    let options = ConnectionOptions {
        servers: vec!["nats://no-such-host.invalid".to_owned()],
        ..ConnectionOptions::default()
    };
    assert_eq!(failure(&options).await.code(), "unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_server_of_several_will_do() {
    let server = NatsServer::start().await;
    let mut options = server.options();
    options.servers.insert(0, "nats://127.0.0.1:1".to_owned());
    assert_eq!(open(&options).await.ready(PATIENCE).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn name_and_password() {
    let server = NatsServer::start_with("authorization { user: ann, password: open }").await;
    let password = |password: &str| Credentials::Password {
        user: "ann".to_owned(),
        password: Secret::new(password),
    };
    right_and_wrong(&server, password("open"), password("shut")).await;

    let mut options = server.options();
    options.servers = vec![format!("nats://ann:open@127.0.0.1:{}", server.port())];
    assert_eq!(open(&options).await.ready(PATIENCE).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_word_that_all_share() {
    let server = NatsServer::start_with("authorization { token: sesame }").await;
    let word = |word: &str| Credentials::Word(Secret::new(word));
    right_and_wrong(&server, word("sesame"), word("poppy")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_of_a_key() {
    let key = KeyPair::generate(KeyKind::User);
    let users = format!(
        "authorization {{ users: [{{ nkey: {} }}] }}",
        key.public_key()
    );
    let server = NatsServer::start_with(&users).await;
    let seed = |key: &KeyPair| Credentials::Key(Secret::new(key.seed()));
    right_and_wrong(&server, seed(&key), seed(&KeyPair::generate(KeyKind::User))).await;
}

async fn right_and_wrong(server: &NatsServer, right: Credentials, wrong: Credentials) {
    let options = |credentials| ConnectionOptions {
        credentials,
        ..server.options()
    };
    assert_eq!(open(&options(right)).await.ready(PATIENCE).await, Ok(()));
    assert_eq!(failure(&options(wrong)).await, Error::Unauthorized);
    assert_eq!(
        failure(&options(Credentials::None)).await,
        Error::Unauthorized
    );
}

/// A server of an operator, and what makes users' tokens for it.
struct Operated {
    server: NatsServer,
    account: KeyPair,
}

impl Operated {
    async fn start() -> Self {
        let operator = KeyPair::generate(KeyKind::Operator);
        let account = KeyPair::generate(KeyKind::Account);
        let name = operator.public_key().as_str();
        let operator_token = token(&operator, name, "operator", None);
        let system = KeyPair::generate(KeyKind::Account);
        let preloaded = [&account, &system].map(|account| {
            let name = account.public_key().as_str();
            format!("{name}: {}", token(&operator, name, "account", None))
        });
        let configuration = format!(
            "operator: {operator_token}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {} }}",
            system.public_key(),
            preloaded.join(", ")
        );
        let server = NatsServer::start_with(&configuration).await;
        Self { server, account }
    }

    fn user(&self, expires_at: Option<u64>) -> (Secret, Secret) {
        let user = KeyPair::generate(KeyKind::User);
        let token = token(
            &self.account,
            user.public_key().as_str(),
            "user",
            expires_at,
        );
        (Secret::new(token), Secret::new(user.seed()))
    }

    fn options(&self, expires_at: Option<u64>) -> ConnectionOptions {
        let (token, seed) = self.user(expires_at);
        ConnectionOptions {
            credentials: Credentials::Token { token, seed },
            ..self.server.options()
        }
    }
}

/// A token of NATS's own kind.
fn token(issuer: &KeyPair, subject: &str, kind: &str, expires_at: Option<u64>) -> String {
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let exp = expires_at
        .map(|at| format!("\"exp\":{at},"))
        .unwrap_or_default();
    let limits = match kind {
        "account" => {
            r#""limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1},"#
        }
        "user" => r#""subs":-1,"data":-1,"payload":-1,"#,
        _ => "",
    };
    let claims = format!(
        r#"{{"jti":"{subject}","iat":1700000000,{exp}"iss":"{}","name":"{kind}","sub":"{subject}","nats":{{{limits}"type":"{kind}","version":2}}}}"#,
        issuer.public_key()
    );
    let signed = format!(
        "{}.{}",
        encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#),
        encode(&claims)
    );
    let signature = data_encoding::BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_token() {
    let operated = Operated::start().await;
    assert_eq!(
        open(&operated.options(None)).await.ready(PATIENCE).await,
        Ok(())
    );
    let expired = failure(&operated.options(Some(1_700_000_001))).await;
    assert_eq!(
        expired,
        Error::ExpiredCredentials("2023-11-14T22:13:21Z".to_owned())
    );

    let stranger = Operated::start().await;
    let options = ConnectionOptions {
        credentials: stranger.options(None).credentials,
        ..operated.server.options()
    };
    assert_eq!(failure(&options).await, Error::Unauthorized);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_ends_the_connection_and_says_so() {
    let operated = Operated::start().await;
    let connection = open(&operated.options(Some(exosuit_claims::unix_now() + 2))).await;
    let mut notices = connection.notices();
    connection.ready(PATIENCE).await.expect("a connection");
    let is_expiry =
        |notice: &Notice| matches!(notice, Notice::Refused(Error::ExpiredCredentials(_)));
    while !is_expiry(&next(&mut notices).await) {}
    let is_failure =
        |notice: &Notice| matches!(notice, Notice::Failed(Error::ExpiredCredentials(_)));
    while !is_failure(&next(&mut notices).await) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credentials_file_that_is_renewed_is_taken_up() {
    let operated = Operated::start().await;
    let path = operated.server.directory().join("user.creds");
    let write = |expires_at| {
        let user = KeyPair::generate(KeyKind::User);
        let token = token(
            &operated.account,
            user.public_key().as_str(),
            "user",
            expires_at,
        );
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed()
        );
        std::fs::write(&path, text).expect("written");
    };
    write(Some(1_700_000_000));
    let options = ConnectionOptions {
        credentials: Credentials::File(path.clone()),
        ..operated.server.options()
    };
    let connection = open(&options).await;
    let failed = connection
        .ready(Duration::from_secs(1))
        .await
        .expect_err("it has expired");
    assert_eq!(failed.code(), "expired_credentials");
    write(None);
    assert_eq!(connection.ready(PATIENCE).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_work_is_an_error_at_once() {
    let wrong = [
        Credentials::Key(Secret::new("SUABC")),
        Credentials::File("/no/such/file".into()),
    ];
    for credentials in wrong {
        let options = ConnectionOptions {
            credentials,
            ..ConnectionOptions::default()
        };
        let refused = Connection::open(&options)
            .await
            .expect_err("no credentials");
        assert_eq!(refused.code(), "invalid_credentials");
    }
    let options = ConnectionOptions {
        tls: Tls {
            authority: Some("/no/such/file".into()),
            ..Tls::default()
        },
        ..ConnectionOptions::default()
    };
    let refused = Connection::open(&options).await.expect_err("no authority");
    assert_eq!(refused.code(), "invalid_option");
}

/// An authority of these tests, and certificates of a server on 127.0.0.1 and of a client that it
/// made, good for a hundred years. Nobody else trusts it, and its key is gone.
const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_both_sides() {
    let path = |name: &str| Path::new(CERTIFICATES).join(name);
    let (authority, certificate) = (path("ca.pem"), (path("client.pem"), path("client.key")));
    let configuration = format!(
        "tls {{ cert_file: {CERTIFICATES}/server.pem, key_file: {CERTIFICATES}/server.key, \
         ca_file: {CERTIFICATES}/ca.pem, verify: true }}"
    );
    let server = NatsServer::start_with(&configuration).await;
    let options = |tls| ConnectionOptions {
        tls,
        ..server.options()
    };
    let both = Tls {
        required: true,
        authority: Some(authority.clone()),
        certificate: Some(certificate),
        first: false,
    };
    assert_eq!(
        open(&options(both.clone())).await.ready(PATIENCE).await,
        Ok(())
    );

    let no_certificate = Tls {
        certificate: None,
        ..both.clone()
    };
    assert_eq!(failure(&options(no_certificate)).await.code(), "tls");
    let no_authority = Tls {
        authority: both
            .certificate
            .as_ref()
            .map(|(certificate, _)| certificate.clone()),
        ..both
    };
    assert_eq!(failure(&options(no_authority)).await.code(), "tls");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_is_required_and_not_there_is_a_failure() {
    let server = NatsServer::start().await;
    let options = ConnectionOptions {
        tls: Tls {
            required: true,
            ..Tls::default()
        },
        ..server.options()
    };
    let failed = failure(&options).await;
    assert!(["tls", "unreachable"].contains(&failed.code()), "{failed}");
}
