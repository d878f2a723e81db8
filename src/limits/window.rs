//! Windows of zstd frames. A decoder holds as many bytes as the window of a frame, and a frame of a
//! few bytes may ask for 128 MiB. Usual windows are up to 8 MiB; only one blob at a time in the
//! whole process may use a wider one.

use std::sync::{Condvar, Mutex, PoisonError};

/// Windows wider than this, in bytes, need a permit. It is the widest that zstd's levels use
/// without `--ultra` or `--long`, and that containers/storage writes at any level.
pub(crate) const WIDE: u64 = 8 << 20;

static IN_USE: Mutex<bool> = Mutex::new(false);
static FREE: Condvar = Condvar::new();

#[derive(Debug)]
pub(crate) struct Wide(());

/// Waits until no other blob uses a wide window. The holder of the permit must not wait for another
/// blob.
pub(crate) fn wide() -> Wide {
    let in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut in_use =
        FREE.wait_while(in_use, |in_use| *in_use).unwrap_or_else(PoisonError::into_inner);
    *in_use = true;
    Wide(())
}

impl Drop for Wide {
    fn drop(&mut self) {
        *IN_USE.lock().unwrap_or_else(PoisonError::into_inner) = false;
        FREE.notify_one();
    }
}

/// The window that a frame asks for, by what follows its magic number (RFC 8878, section 3.1.1.1);
/// 0 if the header is cut short.
pub(crate) fn of_frame(header: &[u8]) -> u64 {
    let Some((descriptor, fields)) = header.split_first() else { return 0 };
    if descriptor & 0x20 == 0 {
        let field = fields.first().copied().unwrap_or_default();
        let base = 1_u64 << (10 + (field >> 3));
        return base + base / 8 * u64::from(field & 7);
    }
    // A single segment: the window is the content.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let field = fields.get(dictionary..).unwrap_or_default();
    let number =
        |len: usize| field.iter().take(len).rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    match descriptor >> 6 {
        0 => number(1),
        1 => number(2) + 256,
        2 => number(4),
        _ => number(8),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{io::Write as _, sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn windows_of_frames() {
        let streamed = |log| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.write_all(b"content").unwrap();
            of_frame(&encoder.finish().unwrap()[4..])
        };
        assert_eq!([10, 23, 27, 30].map(streamed), [10, 23, 27, 30].map(|log| 1 << log));
        for len in [0_usize, 255, 256, 70_000] {
            let frame = zstd::bulk::compress(&vec![7; len], 1).unwrap();
            assert!(of_frame(&frame[4..]) >= len as u64, "{len}");
        }
        assert_eq!(of_frame(b""), 0);
    }

    #[test]
    fn one_at_a_time() {
        let first = wide();
        let (sender, receiver) = mpsc::channel();
        let other = thread::spawn(move || {
            let _second = wide();
            sender.send(()).unwrap();
        });
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
        drop(first);
        receiver.recv().unwrap();
        other.join().unwrap();
    }
}
