//! `exosuit-run` as people start it: programs of all versions of WASI, and HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A program of preview 1 that does as this body says. `$text` writes the bytes at 8, which `length` counts, and exits.
fn module(data: &str, body: &str) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read"
            (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (import "wasi_snapshot_preview1" "args_sizes_get"
            (func $args_sizes (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_sizes_get"
            (func $environ_sizes (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_get"
            (func $environ (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_create_directory"
            (func $make (param i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          {data}
          (func $say (param $at i32) (param $length i32)
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $length))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
          (func (export "_start") {body}))"#
    )
}

/// A component of WASI 0.3 whose `run` returns this case: 0 for ok, 1 for an error.
fn component_of_0_3(case: u32) -> String {
    format!(
        r#"(component
          (core module $m
            (import "" "task.return" (func $return (param i32)))
            (func (export "run") (result i32) (call $return (i32.const {case})) (i32.const 0))
            (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
          (core func $return (canon task.return (result (result))))
          (core instance $i
            (instantiate $m (with "" (instance (export "task.return" (func $return))))))
          (func $run async (result (result))
            (canon lift (core func $i "run") async (callback (func $i "callback"))))
          (instance $exported (export "run" (func $run)))
          (export "wasi:cli/run@0.3.0" (instance $exported)))"#
    )
}

/// A directory with a file, and a cache of its own.
struct Case {
    directory: TempDir,
    file: PathBuf,
}

impl Case {
    fn text(text: &str) -> Self {
        Self::bytes(&wat::parse_str(text).expect("text of Wasm"))
    }

    fn bytes(bytes: &[u8]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let file = directory.path().join("file.wasm");
        std::fs::write(&file, bytes).expect("a file");
        Self { directory, file }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exosuit-run"));
        command
            .arg(&self.file)
            .args(arguments)
            .env("XDG_CACHE_HOME", self.directory.path())
            .current_dir(self.directory.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::new(self.command(arguments).output().expect("it starts"))
    }
}

#[derive(Debug, PartialEq)]
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// The guests that the tests of Elixir have, too.
fn guest(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/guests/components");
    std::fs::read(format!("{root}/{name}.wasm")).expect("a guest")
}

#[test]
fn a_program_has_its_output_and_its_status() {
    let text = module(
        r#"(data (i32.const 16) "hello\n")"#,
        "(call $say (i32.const 16) (i32.const 6)) (call $exit (i32.const 7))",
    );
    let case = Case::text(&text);
    for _run in 0..2 {
        let ended = case.run(&[]);
        assert_eq!((ended.status, &*ended.stdout), (Some(7), "hello\n"));
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn a_program_has_its_input() {
    let text = module(
        "",
        "(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 32))
         (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
         (call $say (i32.const 64) (i32.load (i32.const 8)))",
    );
    let case = Case::text(&text);
    let mut child = case
        .command(&[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"typed").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), &*output.stdout),
        (Some(0), &b"typed"[..])
    );
}

#[test]
fn a_program_sees_its_arguments_and_no_variable_but_those_that_are_set() {
    let show = |sizes: &str, get: &str| {
        module(
            "",
            &format!(
                "(drop (call {sizes} (i32.const 16) (i32.const 20)))
                 (drop (call {get} (i32.const 1024) (i32.const 2048)))
                 (call $say (i32.const 2048) (i32.load (i32.const 20)))"
            ),
        )
    };
    let arguments = Case::text(&show("$args_sizes", "$args"));
    let ended = arguments.run(&["--", "one", "--two"]);
    let file = arguments.file.display();
    assert_eq!(ended.stdout, format!("{file}\0one\0--two\0"));

    let environment = Case::text(&show("$environ_sizes", "$environ"));
    let mut command = environment.command(&["--env", "A=b=c", "--env", "SEEN"]);
    let output = command.env("SEEN", "1").env("HIDDEN", "1").output();
    let ended = Ended::new(output.expect("it starts"));
    assert_eq!(ended.stdout, "A=b=c\0SEEN=1\0");

    let ended = environment.run(&["--env", "NOT_SET_ANYWHERE"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.stderr.contains("NOT_SET_ANYWHERE=VALUE"), "{ended:?}");
}

#[test]
fn a_program_has_the_directories_that_are_open_to_it_and_no_others() {
    let text = module(
        r#"(data (i32.const 16) "made")"#,
        "(call $exit (call $make (i32.const 3) (i32.const 16) (i32.const 4)))",
    );
    let case = Case::text(&text);
    // Bad file descriptor: nothing is open.
    assert_eq!(case.run(&[]).status, Some(8));
    assert_eq!(case.run(&["--dir", ".::/data"]).status, Some(0));
    assert!(case.directory.path().join("made").is_dir());
    let ended = case.run(&["--dir", "nowhere::/data"]);
    assert_eq!(ended.status, Some(2));
    assert!(
        ended.stderr.contains("nowhere is not a directory"),
        "{ended:?}"
    );
}

#[test]
fn a_program_that_traps_or_takes_too_long_says_so() {
    let ended = Case::text(&module("", "unreachable")).run(&[]);
    assert_eq!(ended.status, Some(134));
    assert!(ended.stderr.contains("unreachable"), "{ended:?}");

    let ended = Case::text(&module("", "(loop (br 0))")).run(&["--timeout", "200ms"]);
    assert_eq!(ended.status, Some(124));
    assert!(ended.stderr.contains("--timeout"), "{ended:?}");

    let ended = Case::text(&module("", "(call $exit (i32.const 125))")).run(&[]);
    assert_eq!(ended.status, Some(125));

    let grows = "(call $exit (i32.lt_s (memory.grow (i32.const 100)) (i32.const 0)))";
    let grows = Case::text(&module("", grows));
    assert_eq!(grows.run(&[]).status, Some(0));
    assert_eq!(grows.run(&["--max-memory", "1MiB"]).status, Some(1));
}

#[test]
fn programs_of_0_2_and_0_3_run() {
    let ended = Case::text(&component_of_0_3(0)).run(&[]);
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
    assert_eq!(Case::text(&component_of_0_3(1)).run(&[]).status, Some(1));

    let case = Case::bytes(&guest("run"));
    let mut command = case.command(&[]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"typed").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"TYPED");
}

#[test]
fn an_import_that_is_not_supported_ends_the_program_when_it_is_called() {
    let text = component_of_0_3(0).replacen(
        "(component",
        r#"(component (import "acme:shop/till" (instance $till (export "open" (func))))"#,
        1,
    );
    let ended = Case::text(&text).run(&[]);
    assert_eq!(ended.status, Some(0));
    assert!(
        ended.stderr.contains("acme:shop/till is not supported"),
        "{ended:?}"
    );

    let text = text
        .replacen("(core module $m", "(core func $open (canon lower (func $till \"open\")))\n(core module $m", 1)
        .replacen(r#"(import "" "task.return" (func $return (param i32)))"#, r#"(import "" "task.return" (func $return (param i32))) (import "" "open" (func $open))"#, 1)
        .replacen("(result i32) (call $return", "(result i32) (call $open) (call $return", 1)
        .replacen(r#"(export "task.return" (func $return))"#, r#"(export "task.return" (func $return)) (export "open" (func $open))"#, 1);
    let ended = Case::text(&text).run(&[]);
    assert_eq!(ended.status, Some(134));
    assert!(
        ended
            .stderr
            .contains("acme:shop/till#open is not supported"),
        "{ended:?}"
    );
}

#[test]
fn a_program_that_blocks_in_its_output_ends_in_time() {
    let case = Case::text(&module(
        "",
        "(loop (call $say (i32.const 0) (i32.const 60000)) (br 0))",
    ));
    let mut child = case
        .command(&["--timeout", "500ms"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Nobody reads the pipe.
    assert_eq!(child.wait().expect("it ends").code(), Some(124));
}

#[test]
fn files_that_cannot_run_are_refused_with_the_reason() {
    let ended = Case::bytes(b"text").run(&[]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("file.wasm"), "{ended:?}");
    assert!(ended.stderr.contains("asm"), "{ended:?}");

    let ended = Case::text("(component)").run(&[]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("wasi:cli/run"), "{ended:?}");

    let ended = Case::text("(component)").run(&["--http", "127.0.0.1:0"]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("wasi:http/handler"), "{ended:?}");
}

/// A server that ends with the test.
struct Server {
    child: Child,
    address: String,
    _case: Case,
}

impl Server {
    fn start(case: Case, arguments: &[&str]) -> Self {
        let mut child = case
            .command(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = String::new();
        let mut stderr = child.stderr.take().expect("a pipe");
        let address = loop {
            let mut byte = [0];
            stderr
                .read_exact(&mut byte)
                .expect("it says where it listens");
            said.push(char::from(byte[0]));
            if let Some((_, rest)) = said.split_once("http://")
                && let Some((address, _)) = rest.split_once('/')
            {
                break address.to_owned();
            }
        };
        // It must not block on what it says later.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self {
            child,
            address,
            _case: case,
        }
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
        ))
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_component_of_http_is_served_until_it_is_told_to_end() {
    let mut server = Server::start(Case::bytes(&guest("web")), &["--http", "127.0.0.1:0"]);
    let answer = server.get("/hello");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let pid = server.child.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.expect("kill").success());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = server.child.try_wait().expect("a child") {
            break status;
        }
        assert!(
            started.elapsed() < Duration::from_mins(1),
            "it does not end"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_request_that_fails_or_takes_too_long_is_no_other_ones_business() {
    let arguments = ["--http", "127.0.0.1:0", "--timeout", "3s"];
    let server = Server::start(Case::bytes(&guest("web")), &arguments);
    for (path, status) in [("/spin", 504), ("/slow?ms=60000", 504), ("/trap", 500)] {
        let answer = server.get(path);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
        assert!(server.get("/hello").starts_with("HTTP/1.1 200 "));
    }
    // An instance of 0.2 takes one request.
    for _request in 0..2 {
        assert!(server.get("/count").ends_with("\r\n\r\n1"));
    }
    assert!(
        server
            .send("GET /hello HTTP/1.0\r\n\r\n")
            .starts_with("HTTP/1.0 200 ")
    );
    let no_host = "GET /hello HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n";
    assert!(server.send(no_host).starts_with("HTTP/1.1 400 "));
}

#[test]
fn compiled_code_is_kept_in_no_directory_but_the_users() {
    let case = Case::text(&module("", ""));
    let home = TempDir::new().expect("a directory");
    let mut command = case.command(&[]);
    let command = command
        .env("XDG_CACHE_HOME", "cache")
        .env("HOME", home.path());
    assert!(command.status().expect("it starts").success());
    assert!(!case.directory.path().join("cache").exists());
    assert!(home.path().join(".cache/exosuit/run").is_dir());

    let command = command.env("XDG_CACHE_HOME", "").env("HOME", "");
    assert!(command.status().expect("it starts").success());
    assert!(!case.directory.path().join("exosuit").exists());
    assert!(!case.directory.path().join(".cache").exists());
}
