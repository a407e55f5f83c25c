//! `exosuit run` becomes `exosuit-run`, with the arguments as they are.

mod common;

use anyhow::Result;
use common::{answer, exosuit};

#[test]
fn the_program_gets_all_arguments() -> Result<()> {
    let arguments = [
        "run",
        "--help",
        "file.wasm",
        "--dir",
        "a::b",
        "--",
        "--json",
    ];
    let said = answer(exosuit(arguments).env("EXOSUIT_RUN", "/bin/echo"))?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout, "--help file.wasm --dir a::b -- --json\n");
    Ok(())
}

#[test]
fn a_program_that_is_not_there_is_named() -> Result<()> {
    let refused = answer(exosuit(["run", "file.wasm"]).env("EXOSUIT_RUN", "/nowhere/exosuit-run"))?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("cannot start /nowhere/exosuit-run"),
        "{refused:?}"
    );
    Ok(())
}
