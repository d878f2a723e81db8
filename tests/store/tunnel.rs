//! A proxy for HTTPS: it opens tunnels by CONNECT, all to one server (RFC 9110, section 9.3.6).

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The proxy; it ends on drop.
pub(crate) struct Tunnel {
    host: String,
    targets: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Tunnel {
    /// Wherever a client wants to go, it gets to `server` (host and port).
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&targets);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, seen) = (server.clone(), Arc::clone(&seen));
                tokio::spawn(async move { serve(client, &server, &seen).await });
            }
        });
        Self { host, targets, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// Where clients wanted to go.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, server: &str, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut client = BufReader::new(client);
    let mut request = String::new();
    // The head ends with an empty line.
    while !request.ends_with("\r\n\r\n") {
        client.read_line(&mut request).await.ok().filter(|&read| read > 0)?;
    }
    let target = request.strip_prefix("CONNECT ")?.split(' ').next()?;
    seen.lock().unwrap().push(target.to_owned());
    let mut server = TcpStream::connect(server).await.ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    Some(())
}
