//! Running the command, as people do.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What the environment may say.
const VARIABLES: [&str; 11] = [
    "EXOSUIT_CLUSTER_SEED",
    "EXOSUIT_LATTICE",
    "EXOSUIT_LATTICE_CA",
    "EXOSUIT_LATTICE_CREDS",
    "EXOSUIT_RUN",
    "EXOSUIT_SOCKET",
    "EXOSUIT_UP",
    "EXOSUIT_VM",
    "WASMCLOUD_CLUSTER_SEED",
    "WASMCLOUD_LATTICE",
    "WASMCLOUD_LATTICE_PREFIX",
];

/// The command with these arguments, whatever the environment says.
pub(crate) fn exosuit<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exosuit"));
    command.args(arguments);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Answer> {
    answer(&mut exosuit(arguments))
}

pub(crate) fn answer(command: &mut Command) -> anyhow::Result<Answer> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output()?;
    Ok(Answer {
        code: status.code(),
        stdout: String::from_utf8(stdout)?,
        stderr: String::from_utf8(stderr)?,
    })
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.stdout)?)
    }
}

/// A directory with a module and the keys to sign it.
pub(crate) struct Workshop {
    directory: tempfile::TempDir,
}

impl Workshop {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::write(
            directory.path().join("in.wasm"),
            wat::parse_str("(module)")?,
        )?;
        for kind in ["account", "module"] {
            let keys = run(["keys", "gen", kind, "--json"])?;
            std::fs::write(directory.path().join(kind), keys.stdout)?;
        }
        Ok(Self { directory })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn seed(&self, kind: &str) -> anyhow::Result<String> {
        self.key(kind, "seed")
    }

    pub(crate) fn public_key(&self, kind: &str) -> anyhow::Result<String> {
        self.key(kind, "public_key")
    }

    fn key(&self, kind: &str, field: &str) -> anyhow::Result<String> {
        let file: Value = serde_json::from_slice(&std::fs::read(self.path(kind))?)?;
        Ok(file[field].as_str().unwrap_or_default().to_owned())
    }

    /// Runs the command in the directory.
    pub(crate) fn run<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<Answer> {
        answer(exosuit(arguments).current_dir(self.directory.path()))
    }

    /// Signs with these keys, and with whatever else is said.
    pub(crate) fn sign(
        &self,
        issuer: &str,
        subject: &str,
        more: &[&str],
    ) -> anyhow::Result<Answer> {
        let start = [
            "claims", "sign", "in.wasm", "-o", "out.wasm", "--name", "Echo",
        ];
        let keys = ["--issuer", issuer, "--subject", subject];
        self.run(start.into_iter().chain(keys).chain(more.iter().copied()))
    }
}

pub(crate) fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<anyhow::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
