//! The program `exosuit-compile`: the part of the host that starts it, and the program itself.
//!
//! Cranelift bounds neither its time nor its memory, and cannot be interrupted. Therefore a process of its own
//! compiles each module: the system bounds it, it can be ended at any time, and if it dies, only that module fails.
//! Beside the compile itself that takes 2 to 3 ms, measured with modules from 1 to 120 KiB on two cores.
//!
//! # Protocol
//!
//! 1. The host writes the length of the module and the module, and leaves the pipe open.
//! 2. The program writes a kind, a length, and the machine code or the reason why there is none.
//! 3. The end of the pipe ends the program, whether the host died or needs the code no more.
//!
//! ```text
//! host ─► program   length: u64   module
//! program ─► host   kind: u8      length: u64   code or text      numbers are little-endian
//! ```
//!
//! The host relies neither on the exit status, which the BEAM may collect before it does, nor on the process id, which
//! the system may have given to another process by then. In particular it never sends a signal.
//!
//! # How it ends
//!
//! | what happens | the host sees | the error |
//! |---|---|---|
//! | the code is there | a complete output of kind 0 | none |
//! | the module is not valid | a complete output of kind 1 | `Module`, with the reason |
//! | the program is of another build | a complete output of kind 2 | `Setup` |
//! | the program does not start | the error of `spawn` | `Setup` |
//! | the time is up | its own timer | `CompileTime` |
//! | memory, CPU time or the system ends the program | an incomplete output | `CompileEnded` |
//! | nobody waits any more | the drop of the future | none |
//!
//! # Bounds
//!
//! | bound | by |
//! |---|---|
//! | wall-clock time | the host closes the pipe at `CompileLimits::time` |
//! | CPU time | `RLIMIT_CPU`, if the host should be unable to do that |
//! | memory | `RLIMIT_DATA`, at `CompileLimits::memory_bytes` |
//! | a machine without memory | `oom_score_adj`: the system kills this process first, and not the VM |
//!
//! The program gets no environment, and the root as its directory. It is the same code as the library: a hash of
//! wasmtime's version and settings is its first argument, and a program of another build refuses.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rayon::ThreadPoolBuilder;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::cache::compatibility;
use crate::code::Code;
use crate::{CompileLimits, Error, configuration};

/// The kinds of output: machine code, the reason why the module is not valid, and "another version than the
/// host".
const CODE: u8 = 0;
const REFUSED: u8 = 1;
const INCOMPATIBLE: u8 = 2;

/// The bytes before the content: a kind and a length. The length shows whether the output is complete.
const HEAD: usize = 9;

/// How the host starts the program. One for an engine; each compile starts a process of its own.
pub(crate) struct Program {
    /// Where it is: beside the library of the NIFs.
    pub(crate) path: PathBuf,
    /// The hash of the host's wasmtime, with which the program compares its own.
    pub(crate) compatibility: u64,
    /// How many threads it uses for the functions of the module, beside the one that watches the pipe.
    pub(crate) threads: usize,
}

impl Program {
    /// Compiles a module to what `Code::deserialize` takes. Dropped, the process is ended.
    ///
    /// A blocking thread of Tokio writes and reads, since the pipes block. It stays until the process ends; the guard
    /// makes that happen at once when this future is dropped.
    ///
    /// The time counts from here, that is, from the turn of the compile. It includes the start of the process.
    pub(crate) async fn compile(
        &self,
        bytes: Bytes,
        limits: CompileLimits,
    ) -> Result<Bytes, Error> {
        let mut child = self.start(limits).map_err(|error| self.unusable(&error))?;
        let (stdin, stdout) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .ok_or(Error::Compiler)?;
        let guard = ProcessGuard::default();
        let pipe = Arc::clone(&guard.0);
        let exchanging = tokio::task::spawn_blocking(move || {
            let output = exchange(stdin, stdout, &bytes, &pipe);
            // It has closed its output, so it ends soon. Collects it, so that no zombie stays.
            let _ = child.wait();
            output
        });
        match tokio::time::timeout(limits.time, exchanging).await {
            Ok(Ok(Ok(output))) => self.parse_output(&output.into(), limits),
            Ok(_failed) => Err(Error::CompileEnded(limits.memory_bytes)),
            Err(_late) => Err(Error::CompileTime(limits.time)),
        }
    }

    /// Starts the process with its bounds as arguments, in an empty environment. Its standard error is thrown away: a
    /// crash of the compiler must not write to the console of the VM.
    fn start(&self, limits: CompileLimits) -> io::Result<Child> {
        Command::new(&self.path)
            .arg(self.compatibility.to_string())
            .arg(limits.memory_bytes.to_string())
            .arg(self.cpu_seconds(limits.time).to_string())
            .arg(self.threads.to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }

    /// The CPU time of all its threads, if its parent does not end it before. The system counts whole seconds, so one
    /// is added.
    fn cpu_seconds(&self, time: Duration) -> u64 {
        let threads = u64::try_from(self.threads).unwrap_or(1);
        time.as_secs().saturating_add(1).saturating_mul(threads)
    }

    /// The machine code, or the error that the program reports. Output that is not complete means that the
    /// process was ended: nearly always by its memory limit.
    fn parse_output(&self, output: &Bytes, limits: CompileLimits) -> Result<Bytes, Error> {
        let ended = Error::CompileEnded(limits.memory_bytes);
        let Some((head, rest)) = output.split_at_checked(HEAD) else {
            return Err(ended);
        };
        if head[1..] != (rest.len() as u64).to_le_bytes() {
            return Err(ended);
        }
        match head[0] {
            CODE => Ok(output.slice(HEAD..)),
            REFUSED => Err(Error::Module(String::from_utf8_lossy(rest).into_owned())),
            _ => {
                let reason = "its version differs from that of the library beside it; rebuild both";
                Err(self.unusable(&reason))
            }
        }
    }

    /// The error for a program that does not start, or is of another build.
    fn unusable(&self, reason: &impl std::fmt::Display) -> Error {
        let path = self.path.display();
        Error::Setup(format!(
            "{path}, which compiles modules, is of no use: {reason}"
        ))
    }
}

/// Keeps the process of one compile running. Dropped, it closes the pipe, which ends the process.
///
/// It never blocks: the lock is held to exchange a value. If the module is still being written, the writer sees
/// [`Pipe::Cut`] when it is done, and closes the pipe itself.
#[derive(Default)]
struct ProcessGuard(Arc<Mutex<Pipe>>);

/// The state of the program's input. The thread that writes and the guard that ends it meet here.
///
/// ```text
/// Busy ── the module is written ──► Open ── the guard is dropped ──► Cut, and the pipe is closed
///   └──── the guard is dropped ───► Cut, and the writer closes the pipe
/// ```
#[derive(Default)]
enum Pipe {
    /// The module is being written.
    #[default]
    Busy,
    /// The module is written. Closing the pipe ends the program.
    Open(#[expect(dead_code, reason = "it is there to be closed")] ChildStdin),
    /// Nobody waits for the compile: the pipe closes as soon as the module is written.
    Cut,
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        *self.0.lock() = Pipe::Cut;
    }
}

/// Writes the module and reads the output. The program may die during either.
///
/// The output is read even if the write failed, since this thread has to see the end of the process.
fn exchange(
    mut stdin: ChildStdin,
    mut stdout: ChildStdout,
    bytes: &[u8],
    pipe: &Mutex<Pipe>,
) -> io::Result<Vec<u8>> {
    let length = (bytes.len() as u64).to_le_bytes();
    let written = stdin
        .write_all(&length)
        .and_then(|()| stdin.write_all(bytes));
    keep_open(stdin, pipe);
    let mut output = Vec::new();
    stdout.read_to_end(&mut output)?;
    written.map(|()| output)
}

/// Keeps the pipe open, unless the compile was given up in the meantime.
fn keep_open(stdin: ChildStdin, pipe: &Mutex<Pipe>) {
    let mut pipe = pipe.lock();
    if matches!(*pipe, Pipe::Busy) {
        *pipe = Pipe::Open(stdin);
    }
}

/// The program: compiles one module for its parent. Its arguments are four numbers: the hash of the host's wasmtime,
/// the bytes of memory, the seconds of CPU time, and the number of threads.
///
/// Fails without output if an argument is missing, a limit ends it, or the pipe closes.
#[doc(hidden)]
pub fn compile_for_parent() -> ExitCode {
    let numbers = std::env::args().skip(1).map(|argument| argument.parse());
    let numbers: Vec<u64> = numbers.map_while(Result::ok).collect();
    let [compatibility, memory, cpu_seconds, threads] = numbers[..] else {
        eprintln!("exosuit-compile is started by an Exosuit host, which compiles Wasm with it");
        return ExitCode::FAILURE;
    };
    restrict(memory, cpu_seconds);
    let threads = usize::try_from(threads).unwrap_or(1);
    let compiled = compile_one(compatibility, threads).map_err(io::Error::other);
    match compiled.and_then(|(kind, output)| write_answer(kind, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes the output, as the host's `parse_output` reads it.
fn write_answer(kind: u8, output: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&[kind])?;
    stdout.write_all(&(output.len() as u64).to_le_bytes())?;
    stdout.write_all(output)?;
    stdout.flush()
}

/// Bounds this process by system limits, and makes it the first to be killed when memory runs out. Without core dumps:
/// one of gigabytes could fill the disk of the host.
///
/// Failures are ignored: a lower limit holds already, or the machine has no `/proc`.
fn restrict(memory: u64, cpu_seconds: u64) {
    for (resource, most) in [
        (Resource::Data, memory),
        (Resource::Cpu, cpu_seconds),
        (Resource::Core, 0),
    ] {
        // The limits that it was started with may be lower still.
        let _ = setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        );
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Reads the module, checks that host and program agree, and compiles. The module is read before the thread that
/// watches the pipe starts, as both read standard input.
fn compile_one(compatible_with: u64, threads: usize) -> Result<(u8, Vec<u8>), Error> {
    let failed = |error: io::Error| configuration::setup(error);
    let bytes = read_module().map_err(failed)?;
    std::thread::Builder::new()
        .spawn(end_with_parent)
        .map_err(failed)?;
    // wasmtime compiles the functions of a module in parallel, on the global pool.
    let pool = ThreadPoolBuilder::new().num_threads(threads.max(1));
    pool.build_global().map_err(configuration::setup)?;
    let engine = configuration::compiling()?;
    if compatibility(&engine) != compatible_with {
        return Ok((INCOMPATIBLE, Vec::new()));
    }
    Ok(match Code::precompile(&engine, &bytes) {
        Ok(code) => (CODE, code),
        Err(error) => (REFUSED, error.to_string().into_bytes()),
    })
}

/// Reads the length, then that many bytes. Fewer mean that the host has gone. The buffer grows with what arrives, so
/// the length alone reserves nothing.
fn read_module() -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    let mut stdin = io::stdin().lock();
    stdin.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut bytes = Vec::new();
    stdin.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Ends this process when the host closes its end of the pipe. The read returns only then, since the host writes
/// nothing more. `exit` ends the threads that compile, in the middle of their work.
fn end_with_parent() {
    let mut rest = [0; 1];
    let _ = io::stdin().lock().read(&mut rest);
    std::process::exit(1);
}
