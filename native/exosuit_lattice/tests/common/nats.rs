//! A nats-server of the test's own, on a port of its own, with streams in a directory of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use exosuit_lattice::{Backoff, Connection, ConnectionOptions};
use tempfile::TempDir;

use super::{PATIENCE, within};

/// How often a server is started at most, each time on another port.
const STARTS: usize = 5;

pub(crate) struct NatsServer {
    child: Option<Child>,
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
}

impl NatsServer {
    /// One with streams and without passwords.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// One with this configuration besides.
    pub(crate) async fn start_with(configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("nats.conf");
        std::fs::write(&file, configuration).expect("written");
        let mut server = Self {
            child: None,
            port: free_port(),
            arguments: vec!["-c".to_owned(), file.display().to_string()],
            directory,
        };
        // Another process may take the port first.
        for _ in 1..STARTS {
            if server.launch().await.is_ok() {
                return server;
            }
            server.port = free_port();
        }
        server.resume().await;
        server
    }

    /// Starts it again, where it was and with what it had.
    pub(crate) async fn resume(&mut self) {
        if let Err(error) = self.launch().await {
            panic!("{error}");
        }
    }

    /// An error with its log if it ends before it serves.
    async fn launch(&mut self) -> Result<(), String> {
        let log = std::fs::File::create(self.directory.path().join("log")).expect("a log");
        let streams = self.directory.path().join("streams");
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-js", "-sd"])
            .arg(&streams)
            .args(["-p", &self.port.to_string()])
            .args(&self.arguments)
            .stderr(Stdio::from(log))
            .spawn()
            .expect("nats-server is on PATH");
        self.child = Some(child);
        within("the NATS server", async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            loop {
                if let Some(outcome) = self.outcome() {
                    break outcome;
                }
                ticks.tick().await;
            }
        })
        .await
    }

    /// `None` until it serves or has ended. Its own log tells: a connection might reach another server.
    fn outcome(&mut self) -> Option<Result<(), String>> {
        let child = self.child.as_mut().expect("it was started");
        let status = child.try_wait().expect("a child");
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        match status {
            Some(status) => Some(Err(format!("nats-server ended with {status}: {log}"))),
            None => log.contains("Server is ready").then_some(Ok(())),
        }
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }

    /// Stops it and forgets its streams.
    pub(crate) fn lose_streams(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.directory.path().join("streams")).expect("removed");
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn options(&self) -> ConnectionOptions {
        ConnectionOptions {
            servers: vec![self.url()],
            backoff: Backoff {
                shortest: Duration::from_millis(20),
                longest: Duration::from_millis(100),
            },
            ..ConnectionOptions::default()
        }
    }

    /// A connection that is there.
    pub(crate) async fn connect(&self) -> Connection {
        let connection = Connection::open(&self.options()).await.expect("options");
        connection.ready(PATIENCE).await.expect("a connection");
        connection
    }

    /// A client of another making than ours.
    pub(crate) async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.expect("a client")
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One that was free a moment ago; the system gives it to nobody else soon.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
