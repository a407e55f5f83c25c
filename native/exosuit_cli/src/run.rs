//! `exosuit run`: becomes the program `exosuit-run`, which has the engine. This command is small without it.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::failure::Failure;

/// Names the program; `bin/exosuit` and a release set it.
const PROGRAM: &str = "EXOSUIT_RUN";

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Run {
    /// `exosuit run --help` lists the options.
    #[arg(
        value_name = "FILE [OPTIONS] [-- ARGUMENTS]",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let program = program()?;
        // Only a failure returns: on success this process is the program.
        let error = Command::new(&program).args(self.arguments).exec();
        Err(Failure::io(
            format!("cannot start {}", program.display()),
            &error,
        ))
    }
}

/// The program: the one that the environment names, or the one beside this command.
fn program() -> Result<PathBuf, Failure> {
    if let Some(program) = env::var_os(PROGRAM).filter(|program| !program.is_empty()) {
        return Ok(program.into());
    }
    let beside = env::current_exe()
        .ok()
        .map(|this| this.with_file_name("exosuit-run"))
        .filter(|program| program.is_file());
    beside.ok_or_else(|| {
        Failure::missing(
            "the program exosuit-run is not beside this command: run bin/exosuit, which builds it, or build it with \
             cargo build --release -p exosuit_run",
        )
    })
}
