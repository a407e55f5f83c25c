//! A command as a component: `wasi:cli/run`, which does what `command.wat` does.

use std::io::{self, Read, Write};

use wasip2::cli::{environment, stderr, stdin, stdout};
use wasip2::exports::cli::run::Guest;

use wasi::cli::exit;

wit_bindgen::generate!({
    path: "../wit/exit.wit",
    inline: "package exosuit:run; world imports { import wasi:cli/exit@0.2.12; }",
    generate_all,
});

wasip2::cli::command::export!(Run);

struct Run;

impl Guest for Run {
    fn run() -> Result<(), ()> {
        shout(&mut stdin::get_stdin(), &mut stdout::get_stdout())
            .and_then(|()| writeln!(stderr::get_stderr(), "shouted"))
            .map_err(|_| ())?;

        if let Some(status) = environment::get_arguments().get(1) {
            exit::exit_with_code(status.parse().map_err(|_| ())?);
        }
        Ok(())
    }
}

/// What comes in goes out in capitals.
fn shout(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut piece = [0; 4096];

    loop {
        let length = input.read(&mut piece)?;
        if length == 0 {
            return output.flush();
        }
        piece[..length].make_ascii_uppercase();
        output.write_all(&piece[..length])?;
    }
}
