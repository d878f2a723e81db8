//! A registry that misbehaves as told. It knows just enough HTTP/1.1 for one request per
//! connection.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What a client sent, without the body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method and path, `GET /v2/`.
    pub(crate) line: String,
    /// The Authorization header, or nothing.
    pub(crate) authorization: String,
}

/// A whole answer, from the status line on.
pub(crate) type Answer = Vec<u8>;

/// An answer with a body and its length.
pub(crate) fn answer(status: u16, headers: &[&str], body: &[u8]) -> Answer {
    let mut text = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("Connection: close\r\n\r\n");
    [text.as_bytes(), body].concat()
}

/// The server; it ends on drop.
pub(crate) struct Scripted {
    host: String,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Of each answer, in the order in which they ended, whether the client took all of it.
    taken: Arc<Mutex<Vec<bool>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Answers every request by `script`, which gets the server's own host and port too.
    pub(crate) async fn start(
        script: impl Fn(&Request, &str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let outcomes = Arc::clone(&taken);
        let (seen, own, script) = (Arc::clone(&requests), host.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, own, script) = (Arc::clone(&seen), own.clone(), Arc::clone(&script));
                let outcomes = Arc::clone(&outcomes);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let Some(request) = receive(&mut stream).await else { return };
                    seen.lock().unwrap().push(request.clone());
                    let outcome = stream.write_all(&script(&request, &own)).await;
                    outcomes.lock().unwrap().push(outcome.is_ok());
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { host, requests, taken, task }
    }

    /// `HOST:PORT/org/app`.
    pub(crate) fn image(&self) -> String {
        format!("{}/org/app", self.host)
    }

    /// Waits until `count` answers have ended; tells whether the last of them was taken whole.
    pub(crate) async fn is_taken(&self, count: usize) -> bool {
        loop {
            if let Some(&taken) = self.taken.lock().unwrap().get(count - 1) {
                return taken;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The requests so far whose line begins with `start`.
    pub(crate) fn requests(&self, start: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.line.starts_with(start)).cloned().collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut request = Request { line: String::new(), authorization: String::new() };
    let mut length = 0;
    for number in 0.. {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
        let line = line.trim_end();
        match line.split_once(": ") {
            _ if line.is_empty() => break,
            _ if number == 0 => request.line = line.trim_end_matches(" HTTP/1.1").to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                value.clone_into(&mut request.authorization);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            _ => {}
        }
    }
    tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await.ok()?;
    Some(request)
}
