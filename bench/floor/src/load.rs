//! The client: so many connections, each with the next request when the last is answered.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const GOOD: &[u8] = b"HTTP/1.1 200";
const ASK: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\nuser-agent: floor\r\n\r\n";

/// What the guest answers with.
pub(crate) fn body(guest: &str) -> Result<&'static str> {
    match guest {
        "wasmbus" => Ok("hello"),
        "component" => Ok("Hello, world!\n"),
        _ => bail!("not a guest: {guest:?}"),
    }
}

/// Makes the requests on one thread and says how long it took: the same work for every server. Each
/// answer has that body.
pub(crate) fn run(body: &str, port: u16, connections: u32, requests: u32) -> Result<Duration> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut open = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.set_nodelay(true)?;
            open.push(stream);
        }
        let start = Instant::now();
        let mut running: JoinSet<Result<()>> = JoinSet::new();
        for stream in open {
            running.spawn(ask(
                stream,
                format!("\r\n\r\n{body}"),
                requests / connections,
            ));
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        Ok(start.elapsed())
    })
}

async fn ask(stream: TcpStream, end: String, requests: u32) -> Result<()> {
    let mut length = None;
    for _ in 0..requests {
        let answer = exchange(&stream, end.as_bytes(), length).await?;
        ensure!(
            answer.starts_with(GOOD),
            "not 200: {}",
            answer.escape_ascii()
        );
        ensure!(
            answer.ends_with(end.as_bytes()),
            "not what was expected: {}",
            answer.escape_ascii()
        );
        // Every answer is as long as the first.
        length = Some(answer.len());
    }
    Ok(())
}

/// Until the answer is as long as it should be; the first one, until it ends as it should.
async fn exchange(stream: &TcpStream, end: &[u8], length: Option<usize>) -> Result<Vec<u8>> {
    ensure!(
        stream.try_write(ASK)? == ASK.len(),
        "a request did not fit into the socket"
    );
    let mut answer = Vec::with_capacity(512);
    loop {
        stream.readable().await?;
        match stream.try_read_buf(&mut answer) {
            Ok(0) => bail!("the server hung up"),
            // Of another answer nobody knows where it ends.
            Ok(_) if answer.len() >= GOOD.len() && !answer.starts_with(GOOD) => return Ok(answer),
            Ok(_) if length.map_or_else(|| answer.ends_with(end), |it| answer.len() >= it) => {
                return Ok(answer);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
