//! A registry that behaves as a script says, to misbehave on purpose. It speaks just enough HTTP/1.1
//! for one request per connection. It does not speak TLS, and a handshake is no request.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// What a client sent.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method and path, `GET /v2/`.
    pub line: String,
    /// The Authorization header, or nothing.
    pub authorization: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// `GET`.
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    /// Whether the whole announced body was read.
    pub fn is_whole(&self) -> bool {
        self.header("content-length").parse().unwrap_or(0) == self.body.len()
    }
}

/// A whole answer, from the status line on.
pub type Answer = Vec<u8>;

/// An answer with a body and its length.
pub fn answer(status: u16, headers: &[&str], body: &[u8]) -> Answer {
    let mut text = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("Connection: close\r\n\r\n");
    [text.as_bytes(), body].concat()
}

/// An answer that announces `length` bytes and has fewer.
pub fn cut(status: u16, headers: &[&str], length: usize, body: &[u8]) -> Answer {
    let whole = answer(status, headers, body);
    let text = String::from_utf8_lossy(&whole[..whole.len() - body.len()]).into_owned();
    let announced = format!("Content-Length: {length}");
    let text = text.replacen(&format!("Content-Length: {}", body.len()), &announced, 1);
    [text.as_bytes(), body].concat()
}

/// The reaction to a request: an answer, and what follows it.
pub struct Reaction {
    answer: Answer,
    /// Bytes that are sent at once; the rest follows twenty at a time, ten times a second.
    swift: usize,
    then: Then,
    after: Duration,
}

enum Then {
    Close,
    Reset,
    Stall,
}

impl From<Answer> for Reaction {
    fn from(answer: Answer) -> Self {
        Self { answer, swift: usize::MAX, then: Then::Close, after: Duration::ZERO }
    }
}

/// Answers only after a while.
pub fn later(after: Duration, answer: Answer) -> Reaction {
    Reaction { after, ..answer.into() }
}

/// Sends the body much more slowly than any client should wait for.
pub fn trickle(answer: Answer) -> Reaction {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    Reaction { swift: head, ..answer.into() }
}

/// Sends this, and then resets the connection.
pub fn reset(answer: Answer) -> Reaction {
    Reaction { then: Then::Reset, ..answer.into() }
}

/// Sends this, and then nothing more.
pub fn stall(answer: Answer) -> Reaction {
    Reaction { then: Then::Stall, ..answer.into() }
}

/// The server. Dropping it stops it.
pub struct Scripted {
    pub host: String,
    requests: Arc<Mutex<Vec<Request>>>,
    /// For each answer, in the order in which they ended, whether the client read all of it.
    taken: Arc<Mutex<Vec<bool>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Answers every request by `script`, which gets the server's own host and port too.
    pub async fn start<R: Into<Reaction>>(
        script: impl Fn(&Request, &str) -> R + Send + Sync + 'static,
    ) -> Self {
        Self::start_reading(|_| usize::MAX, script).await
    }

    /// The same, but reads only `limit` bytes of the body of a request.
    pub async fn start_reading<R: Into<Reaction>>(
        limit: impl Fn(&Request) -> usize + Send + Sync + 'static,
        script: impl Fn(&Request, &str) -> R + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let outcomes = Arc::clone(&taken);
        let (seen, own, script) = (Arc::clone(&requests), host.clone(), Arc::new((limit, script)));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, own, script) = (Arc::clone(&seen), own.clone(), Arc::clone(&script));
                let outcomes = Arc::clone(&outcomes);
                tokio::spawn(async move {
                    let (limit, script) = &*script;
                    let mut stream = BufReader::new(stream);
                    if begins_tls(&mut stream).await {
                        return refuse_tls(&mut stream).await;
                    }
                    let Some(request) = receive(&mut stream, limit).await else { return };
                    seen.lock().unwrap().push(request.clone());
                    let reaction: Reaction = script(&request, &own).into();
                    let outcome = send(&mut stream, &reaction).await;
                    outcomes.lock().unwrap().push(outcome.is_ok());
                    match reaction.then {
                        Then::Close => drop(stream.shutdown().await),
                        Then::Reset => stream.get_ref().set_zero_linger().unwrap(),
                        Then::Stall => tokio::time::sleep(Duration::from_secs(600)).await,
                    }
                });
            }
        });
        Self { host, requests, taken, task }
    }

    /// `HOST:PORT/org/app`.
    pub fn image(&self) -> String {
        format!("{}/org/app", self.host)
    }

    /// Waits until `count` answers have ended; returns whether the client read all of the last one.
    pub async fn is_taken(&self, count: usize) -> bool {
        loop {
            if let Some(&taken) = self.taken.lock().unwrap().get(count - 1) {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for a request whose line begins with `start`.
    pub async fn wait_for(&self, start: &str) -> Request {
        loop {
            if let Some(request) = self.requests(start).pop() {
                return request;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The requests so far whose line begins with `start`.
    pub fn requests(&self, start: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.line.starts_with(start)).cloned().collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn send(stream: &mut BufReader<TcpStream>, reaction: &Reaction) -> std::io::Result<()> {
    let at_once = reaction.swift.min(reaction.answer.len());
    let (head, rest) = reaction.answer.split_at(at_once);
    tokio::time::sleep(reaction.after).await;
    stream.write_all(head).await?;
    for piece in rest.chunks(20) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(piece).await?;
    }
    Ok(())
}

async fn begins_tls(stream: &mut BufReader<TcpStream>) -> bool {
    stream.fill_buf().await.is_ok_and(|bytes| bytes.first() == Some(&HANDSHAKE))
}

/// Answers a `ClientHello` as a server of plain HTTP does. All of it is read first: otherwise the
/// connection would be reset, and the answer might be lost.
async fn refuse_tls(stream: &mut BufReader<TcpStream>) {
    let mut head = [0; 5];
    if stream.read_exact(&mut head).await.is_err() {
        return;
    }
    let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    if stream.read_exact(&mut hello).await.is_ok() {
        drop(stream.write_all(&answer(400, &[], b"")).await);
        drop(stream.shutdown().await);
    }
}

async fn receive(
    stream: &mut BufReader<TcpStream>,
    limit: impl Fn(&Request) -> usize,
) -> Option<Request> {
    let mut request = Request::default();
    for number in 0.. {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
        let line = line.trim_end();
        match line.split_once(": ") {
            _ if line.is_empty() => break,
            _ if number == 0 => request.line = line.trim_end_matches(" HTTP/1.1").to_owned(),
            Some((name, value)) => request.headers.push((name.to_owned(), value.to_owned())),
            None => {}
        }
    }
    request.authorization = request.header("authorization").to_owned();
    let length: usize = request.header("content-length").parse().unwrap_or(0);
    let length = length.min(limit(&request));
    let mut body = Vec::with_capacity(length);
    stream.take(length as u64).read_to_end(&mut body).await.ok()?;
    request.body = body;
    Some(request)
}
