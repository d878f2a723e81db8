//! A TCP proxy that breaks connections on demand, in front of a server.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What passes a slow connection at once, in bytes.
const SLOW_PIECE: usize = 8 << 10;

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is reset before a byte has passed.
    Refuse,
    /// After so many bytes one way it is closed, as by a server that ends.
    Cut(Way, usize),
    /// After so many bytes one way it is reset.
    Reset(Way, usize),
    /// After so many bytes one way nothing passes any more, either way.
    Stall(Way, usize),
    /// Everything passes, some kilobytes at a time.
    Slow,
}

/// Seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// The proxy; it ends on drop.
pub(crate) struct Proxy {
    /// Host and port.
    pub(crate) host: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Passes connections on to `target`; `fault` gets the number of each, from 0 on.
    pub(crate) async fn start(
        target: String,
        fault: impl Fn(usize) -> Fault + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = fault(count.fetch_add(1, Ordering::SeqCst));
                let target = target.clone();
                tokio::spawn(async move { serve(client, &target, fault).await });
            }
        });
        Self { host, connections, task }
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a connection is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
    Stall,
}

async fn serve(client: TcpStream, target: &str, fault: Fault) {
    if fault == Fault::Refuse {
        client.set_zero_linger().unwrap();
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let limit = |way| match fault {
        Fault::Cut(at, bytes) if at == way => Some((bytes, End::Close)),
        Fault::Reset(at, bytes) if at == way => Some((bytes, End::Reset)),
        Fault::Stall(at, bytes) if at == way => Some((bytes, End::Stall)),
        _ => None,
    };
    let piece = if fault == Fault::Slow { SLOW_PIECE } else { 64 << 10 };
    let (tell, told) = watch::channel(None);
    let pass = |from, to, way| pass(from, to, piece, limit(way), tell.clone(), told.clone());
    let (up, down) = tokio::join!(
        pass(client_reads, server_writes, Way::Up),
        pass(server_reads, client_writes, Way::Down)
    );
    let end = *told.borrow();
    let ((client_reads, server_writes), (server_reads, client_writes)) = (up, down);
    let client = client_reads.reunite(client_writes).unwrap();
    let server = server_reads.reunite(server_writes).unwrap();
    match end {
        Some(End::Reset) => {
            client.set_zero_linger().unwrap();
            server.set_zero_linger().unwrap();
        }
        Some(End::Stall) => {
            // Until the client has had enough of it.
            let (mut client, _server) = (client, server);
            let mut buffer = [0; 1024];
            while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        }
        _ => {}
    }
}

/// Passes bytes on until one of the two directions has to end, or this one ends by itself.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    piece: usize,
    limit: Option<(usize, End)>,
    tell: watch::Sender<Option<End>>,
    mut told: watch::Receiver<Option<End>>,
) -> (OwnedReadHalf, OwnedWriteHalf) {
    let work = async {
        let mut buffer = vec![0; piece];
        let mut left = limit.map_or(usize::MAX, |(bytes, _)| bytes);
        while left > 0 {
            let length = left.min(piece);
            match from.read(&mut buffer[..length]).await {
                Ok(read) if read > 0 && to.write_all(&buffer[..read]).await.is_ok() => left -= read,
                _ => {
                    // One side is done; the other may still have something to say.
                    let _ = to.shutdown().await;
                    return;
                }
            }
            if piece == SLOW_PIECE {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        tell.send_replace(limit.map(|(_, end)| end));
    };
    tokio::select! {
        () = work => {}
        _ = told.wait_for(Option::is_some) => {}
    }
    (from, to)
}
