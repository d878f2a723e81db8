//! The tar reader: it ends, it stays within its bounds, and no byte gets lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recompress_image::tar::{MAX_METADATA, Reader, TarStep};

fuzz_target!(|tar: &[u8]| {
    let mut reader = Reader::new(tar);
    let mut seen = Vec::new();
    let mut buf = [0; 700];
    loop {
        let step = reader.next_step();
        assert!(reader.raw().len() as u64 <= MAX_METADATA);
        seen.extend_from_slice(reader.raw());
        let Ok(step) = step else {
            assert!(reader.next_step().is_err(), "an error is for good");
            return;
        };
        assert_eq!(reader.position(), seen.len() as u64);
        let TarStep::Entry(entry) = step else { break };
        assert_eq!(reader.payload_left(), entry.payload_len);
        assert!(!entry.name.contains(&0));
        while reader.payload_left() > 0 {
            match reader.read_payload(&mut buf) {
                Ok(len) => seen.extend_from_slice(&buf[..len]),
                Err(_) => return,
            }
        }
    }
    seen.extend_from_slice(reader.into_inner());
    assert!(seen == tar);
});
