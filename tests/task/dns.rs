//! A cluster's name server, on an address of this machine alone.

use std::{
    net::{Ipv4Addr, UdpSocket},
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

const HEADER_LEN: usize = 12;

/// Answers with 127.0.0.1 for one name, and that there is no other.
pub(crate) struct NameServer {
    address: Ipv4Addr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Port 53, because a resolv.conf names no port; each server has an address of its own.
    pub(crate) fn start(name: &'static str) -> Result<Self, String> {
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let [high, low] = u16::try_from(process::id() % 0xfff0).unwrap().to_be_bytes();
        let own = u8::try_from(COUNT.fetch_add(1, Ordering::Relaxed) + 1).unwrap();
        let address = Ipv4Addr::new(127, high.max(1), low, own);
        let socket = UdpSocket::bind((address, 53)).map_err(|e| format!("{address}:53: {e}"))?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        // Ends with the process.
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut query) {
                if let Some((asked, reply)) = answer(&query[..len], name) {
                    log.lock().unwrap().push(asked);
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Ok(Self { address, asked })
    }

    /// What the kubelet writes for a pod of the namespace `builds`.
    pub(crate) fn resolv_conf(&self) -> String {
        let domain = "svc.cluster.local";
        let address = self.address;
        format!(
            "search builds.{domain} {domain} cluster.local\nnameserver {address}\noptions ndots:5\n"
        )
    }

    /// The names that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The name in a query, and the answer (RFC 1035, section 4).
fn answer(query: &[u8], known: &str) -> Option<(String, Vec<u8>)> {
    let mut labels = Vec::new();
    let mut at = HEADER_LEN;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + len)?).to_lowercase());
        at += len;
    }
    let name = labels.join(".");
    let question = query.get(HEADER_LEN..at + 4)?;
    let is_known = name == known;
    let is_answered = is_known && query.get(at..at + 2)? == [0, 1];
    // A response with recursion; code 3 is that there is no such name.
    let flags = [0x81, if is_known { 0x80 } else { 0x83 }];
    let counts = [0, 1, 0, u8::from(is_answered), 0, 0, 0, 0];
    let mut reply = [&query[..2], &flags, &counts, question].concat();
    if is_answered {
        // The question's name, type A, class IN, a minute, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some((name, reply))
}
