//! The client: so many connections, each with the next request when the last is answered.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const ASK: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\nuser-agent: floor\r\n\r\n";

/// Makes the requests on one thread and says how long it took: the same work for every server.
pub(crate) fn run(port: u16, connections: u32, requests: u32) -> Result<Duration> {
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
            running.spawn(ask(stream, requests / connections));
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        Ok(start.elapsed())
    })
}

async fn ask(stream: TcpStream, requests: u32) -> Result<()> {
    let mut length = None;
    for _ in 0..requests {
        let answer = exchange(&stream, length).await?;
        ensure!(
            answer.starts_with(b"HTTP/1.1 200"),
            "not 200: {}",
            answer.escape_ascii()
        );
        ensure!(
            answer.ends_with(b"\r\n\r\nhello"),
            "not hello: {}",
            answer.escape_ascii()
        );
        // Every answer is as long as the first.
        length = Some(answer.len());
    }
    Ok(())
}

/// Until the answer is as long as it should be; the first one, until it ends as it should.
async fn exchange(stream: &TcpStream, length: Option<usize>) -> Result<Vec<u8>> {
    ensure!(
        stream.try_write(ASK)? == ASK.len(),
        "a request did not fit into the socket"
    );
    let mut answer = Vec::with_capacity(512);
    loop {
        stream.readable().await?;
        match stream.try_read_buf(&mut answer) {
            Ok(0) => bail!("the server hung up"),
            Ok(_) if length.map_or_else(|| answer.ends_with(b"hello"), |it| answer.len() >= it) => {
                return Ok(answer);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
