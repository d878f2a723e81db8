//! Puts a registry into moods that real ones have: it takes long to store what was sent, shows it
//! only after a while, and refuses HEAD.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex as AsyncMutex,
    task::JoinHandle,
};

/// How long a slow answer takes, and the longest that something stays invisible.
const LATE: Duration = Duration::from_millis(1500);

/// A proxy that understands requests; it ends on drop.
pub(crate) struct Moody {
    /// Host and port.
    pub(crate) host: String,
    moods: Arc<Moods>,
    task: JoinHandle<()>,
}

struct Moods {
    random: Mutex<fastrand::Rng>,
    /// What was written, and when it appears.
    appears: Mutex<HashMap<String, Instant>>,
    count: AtomicUsize,
    is_calm: Box<dyn Fn() -> bool + Send + Sync>,
}

enum Mood {
    Pass,
    /// This status, and nothing else.
    Refuse(u16),
    Late,
}

impl Moody {
    /// Passes requests on to `target`, as they are while `is_calm`.
    pub(crate) async fn start(
        target: String,
        seed: u64,
        is_calm: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let moods = Arc::new(Moods {
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            appears: Mutex::default(),
            count: AtomicUsize::new(0),
            is_calm: Box::new(is_calm),
        });
        let inside = Arc::clone(&moods);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, moods) = (target.clone(), Arc::clone(&inside));
                tokio::spawn(async move { serve(client, &target, &moods).await });
            }
        });
        Self { host, moods, task }
    }

    /// How many requests met a mood.
    pub(crate) fn count(&self) -> usize {
        self.moods.count.load(Ordering::SeqCst)
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Moods {
    fn meets(&self, head: &str) -> Mood {
        let mut words = head.split(' ');
        let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let mut random = self.random.lock().unwrap();
        let mood = match method {
            _ if (self.is_calm)() => Mood::Pass,
            "PUT" => {
                let key = match path.split_once("/blobs/uploads/") {
                    Some((repository, _)) => {
                        let digest = query.rsplit("digest=").next().unwrap_or_default();
                        format!("{repository}/blobs/{}", digest.replace("%3A", ":"))
                    }
                    None => path.to_owned(),
                };
                let lag =
                    if random.u32(..3) == 0 { LATE.mul_f64(random.f64()) } else { Duration::ZERO };
                // What has appeared once stays.
                self.appears.lock().unwrap().entry(key).or_insert_with(|| Instant::now() + lag);
                if random.u32(..5) == 0 { Mood::Late } else { Mood::Pass }
            }
            "GET" | "HEAD" => {
                let appears = self.appears.lock().unwrap().get(path).copied();
                match (appears, method) {
                    (Some(appears), _) if appears > Instant::now() => Mood::Refuse(404),
                    (_, "HEAD") if random.u32(..4) == 0 => {
                        Mood::Refuse(*random.choice(&[400, 403, 405, 501]).unwrap())
                    }
                    _ => Mood::Pass,
                }
            }
            _ => Mood::Pass,
        };
        if !matches!(mood, Mood::Pass) {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        mood
    }
}

async fn serve(client: TcpStream, target: &str, moods: &Moods) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (to_client, until) = (AsyncMutex::new(to_client), Mutex::new(Instant::now()));
    // When one way ends, the other has nothing more to say.
    tokio::select! {
        _ = requests(from_client, to_server, &to_client, moods, &until) => {}
        _ = answers(from_server, &to_client, &until) => {}
    }
}

async fn requests(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    back: &AsyncMutex<OwnedWriteHalf>,
    moods: &Moods,
    until: &Mutex<Instant>,
) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let begin = head.len();
            if from.read_line(&mut head).await? == 0 {
                return Ok(());
            }
            let line = head[begin..].trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        match moods.meets(&head) {
            // The client waits for this answer: there is no other on its way.
            Mood::Refuse(status) => {
                let answer = format!("HTTP/1.1 {status} Moody\r\nContent-Length: 0\r\n\r\n");
                back.lock().await.write_all(answer.as_bytes()).await?;
                continue;
            }
            Mood::Late => *until.lock().unwrap() = Instant::now() + LATE,
            Mood::Pass => {}
        }
        to.write_all(head.as_bytes()).await?;
        tokio::io::copy(&mut (&mut from).take(length), &mut to).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    to: &AsyncMutex<OwnedWriteHalf>,
    until: &Mutex<Instant>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let until = *until.lock().unwrap();
        tokio::time::sleep_until(until.into()).await;
        to.lock().await.write_all(&buffer[..read]).await?;
    }
}
