//! A host of the test's own: `bin/exosuit up`, as a user has it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::nats::NatsServer;

/// The first host of a clone builds what it needs.
const BUILD: Duration = Duration::from_secs(1_800);

pub(crate) struct Host {
    process: Child,
    directory: TempDir,
}

impl Host {
    /// One that joins the lattice of this server and says `ready` when it has. It may read files.
    pub(crate) async fn start(server: &NatsServer, options: &[(&str, &str)]) -> Self {
        Self::start_with(server, &[], options).await
    }

    /// The same, with more arguments of `up`.
    pub(crate) async fn start_with(
        server: &NatsServer,
        arguments: &[&str],
        options: &[(&str, &str)],
    ) -> Self {
        let mut host = Self::spawn(server, arguments, options);
        let up = tokio::time::timeout(BUILD, host.await_up()).await;
        assert!(up.is_ok(), "it is not up:\n{}", host.log());
        host
    }

    /// One that may not come up.
    pub(crate) fn spawn(server: &NatsServer, arguments: &[&str], options: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = File::create(directory.path().join("log")).expect("a log");
        let process = Command::new(root().join("bin/exosuit"))
            .args(["up", "--host-label", "zone=test", "--lattice"])
            .arg(server.url())
            .args(arguments)
            .env("WASMCLOUD_ALLOW_FILE_LOAD", "true")
            .envs(options.iter().copied())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file"))
            .stdout(log)
            .spawn()
            .expect("bin/exosuit");
        Self { process, directory }
    }

    async fn await_up(&mut self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while !self.log().contains("Ctrl-C") {
            let ended = self.process.try_wait().expect("a child");
            assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.log());
            ticks.tick().await;
        }
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).expect("a log")
    }

    /// How it ended, once it has.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        crate::eventually("the host's end", async || {
            self.process.try_wait().expect("a child")
        })
        .await
    }

    /// A directory for what the test needs, which goes with the host.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The VM goes with its script.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
