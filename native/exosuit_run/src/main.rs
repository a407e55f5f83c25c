//! `exosuit run`: runs a program, or serves an HTTP component, with the grants of the command line.
//!
//! This is no host: it has no supervision, no claims, no lattice. The user who starts the program says what it may
//! use, as with any other program.
//!
//! Modules, from the top down: `program` and `serve` run code; `link` answers its imports; `code` compiles it; `state` is
//! the data of an instance; `grants` are the arguments that open this machine to it; `say` writes to stderr.

#![forbid(unsafe_code)]

mod code;
mod grants;
mod link;
mod program;
mod say;
mod serve;
mod state;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use exosuit_core::measure::{self, DURATION, SIZE};
use exosuit_engine::Code;

use grants::Grants;
use say::say;
use serve::Server;

/// How long a request may take without `--timeout`.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(10);

/// The memory of a program without `--max-memory`: all that one memory of 32-bit Wasm can have.
const MAX_MEMORY: usize = 4 << 30;

/// The status of a program that took too long, as that of `timeout` of coreutils.
const LATE: i32 = 124;

/// Run a program, or serve an HTTP component, without a host.
#[derive(Parser)]
#[command(
    name = "exosuit run",
    bin_name = "exosuit run",
    version,
    arg_required_else_help = true
)]
#[command(after_long_help = "\
FILE is a program of WASI preview 1 (a module with _start), 0.2 or 0.3 (a component with
wasi:cli/run), or with --http a component of wasi:http. It sees its arguments, the standard streams,
and what the options grant: no files, no environment and no network without them.

Exit codes: that of the program; 134 if it trapped or failed otherwise, 124 if it took longer than
--timeout, 1 if it could not be run, 2 for a mistake in the command line.

Examples:
  exosuit run hello.wasm
  exosuit run convert.wasm --dir ./pictures::/pictures -- --quality 80
  exosuit run shop.wasm --http 127.0.0.1:8080 --allow-host api.example.com")]
struct Run {
    /// The module or component, in binary form.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    grants: Grants,
    /// End the program, or a request with --http, after this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Limit the memory of the program, or of each instance with --http.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<usize>,
    /// Serve the component's HTTP handler on this address.
    #[arg(long, value_name = "IP:PORT")]
    http: Option<SocketAddr>,
    /// The arguments of the program.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = measure::milliseconds(text).map(Duration::from_millis);
    parsed.ok_or_else(|| format!("expected {DURATION}"))
}

fn size(text: &str) -> Result<usize, String> {
    let parsed = measure::bytes(text).and_then(|bytes| bytes.try_into().ok());
    parsed.ok_or_else(|| format!("expected {SIZE}"))
}

/// Ends the process after this time. On a thread of its own, because a program may block all others: in a pipe that
/// nobody reads, for example.
fn end_after(timeout: Duration) {
    std::thread::sleep(timeout);
    say(format_args!("the program took longer than --timeout"));
    std::process::exit(LATE);
}

fn main() -> ExitCode {
    let run = Run::parse();
    let runtime = tokio::runtime::Runtime::new();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run.run());
            // A thread may still read the standard input.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(format!("cannot start threads: {error}")),
    };
    match ended {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Run {
    async fn run(self) -> Result<ExitCode, String> {
        let plainly = |error: wasmtime::Error| format!("{error:#}");
        let engine = code::engine().map_err(plainly)?;
        let code = code::load(&engine, &self.file)?;
        let network = Arc::new(self.grants.resolve().await?);
        let grants = Arc::new(self.grants);
        let max_memory = self.max_memory.unwrap_or(MAX_MEMORY);
        let mut arguments = vec![self.file.display().to_string()];
        arguments.extend(self.arguments);
        if let Some(address) = self.http {
            let Code::Component(component) = &code else {
                return Err("--http needs a component; the file is a core module".to_owned());
            };
            let timeout = self.timeout.unwrap_or(REQUEST_TIMEOUT);
            let server = Server {
                engine,
                grants,
                network,
                arguments,
                max_memory,
                timeout,
            };
            serve::serve(server, component, address).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut wasi = grants.builder(&network, &arguments)?;
        wasi.inherit_stdio();
        let running = async {
            match &code {
                Code::Module(module) => {
                    program::run_module(&engine, module, wasi, max_memory).await
                }
                Code::Component(component) => {
                    program::run_component(&engine, component, wasi, &grants, max_memory).await
                }
            }
        };
        if let Some(timeout) = self.timeout {
            std::thread::spawn(move || end_after(timeout));
        }
        // A status has eight bits.
        let [status, ..] = running.await.map_err(plainly)?.to_le_bytes();
        Ok(ExitCode::from(status))
    }
}
