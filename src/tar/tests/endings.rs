//! Where archives end, cleanly or not, and calls out of turn.

use std::io::{self, BufReader, Cursor, Read};

use super::walk;
use crate::tar::{Reader, TarError, TarStep};

#[derive(Debug, PartialEq)]
enum ReadOutcome {
    /// So many raw bytes at the end, so many after it.
    End(usize, usize),
    Truncated(u64),
    Header(u64),
}
use ReadOutcome::{End, Header, Truncated};
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

fn outcome(archive: TarBuilder) -> ReadOutcome {
    let bytes = archive.finish();
    match walk(&bytes[..]) {
        Ok(walk) => {
            assert_eq!(walk.bytes(), bytes, "no byte is lost");
            End(walk.end.len(), walk.rest.len())
        }
        Err(TarError::Truncated { position, .. }) => {
            assert_eq!(position, bytes.len() as u64);
            Truncated(position)
        }
        Err(TarError::Header { position, .. }) => Header(position),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn ends_of_archives() {
    let file = || TarBuilder::new().file(Dialect::Ustar, b"file", &[b'c'; 512]);
    let padded = || TarBuilder::new().header(HeaderBlock::new(Dialect::Ustar, b'0', b"f").size(12));
    let cases = [
        (TarBuilder::new(), End(0, 0)),
        (TarBuilder::new().zeros(512), End(512, 0)),
        (TarBuilder::new().zeros(1024), End(1024, 0)),
        (file(), End(0, 0)),
        (file().zeros(512), End(512, 0)),
        (file().zeros(1024), End(1024, 0)),
        (file().zeros(20 * 512), End(1024, 18 * 512)),
        (file().zeros(1124), End(1024, 100)),
        (file().zeros(1024).raw(b"garbage"), End(1024, 7)),
        (file().zeros(300), Truncated(1324)),
        (file().zeros(700), Truncated(1724)),
        (file().raw(b"g"), Truncated(1025)),
        (file().zeros(512).raw(b"g"), Truncated(1537)),
        (file().zeros(512).file(Dialect::Ustar, b"file", b""), Header(1024)),
        (padded().raw(b"Hello world!"), End(0, 0)),
        (padded().raw(b"Hello world!").zeros(100), End(100, 0)),
        (padded().raw(b"Hello world!").zeros(500), End(500, 0)),
        (padded().raw(b"Hello world!").zeros(1524), End(1524, 0)),
        (padded().raw(b"Hello world"), Truncated(523)),
        (padded(), Truncated(512)),
        (TarBuilder::new().pax(&[(b"uid", b"7")]), End(1024, 0)),
        (TarBuilder::new().long_name(b"name").zeros(1024), End(2048, 0)),
    ];
    for (archive, expected) in cases {
        let shown = format!("{} bytes", archive.clone().finish().len());
        assert_eq!(outcome(archive), expected, "{shown}");
    }
}

#[test]
fn an_extension_header_cut_short() {
    let bytes = TarBuilder::new().long_name(b"name").finish();
    let cut = |len| outcome(TarBuilder::new().raw(&bytes[..len]));
    assert_eq!(cut(511), Truncated(511));
    assert_eq!(cut(512), Truncated(512));
    assert_eq!(cut(516), Truncated(516));
    // The body has five bytes, the rest is padding.
    assert_eq!(cut(517), End(517, 0));
    assert_eq!(cut(600), End(600, 0));
}

#[test]
fn a_truncated_payload_is_named() {
    let bytes = TarBuilder::new().file(Dialect::Ustar, b"etc/passwd", b"root").finish();
    let error = walk(&bytes[..514]).unwrap_err().to_string();
    assert!(error.contains("byte 514") && error.contains("\"etc/passwd\""), "{error}");
}

#[test]
fn the_end_stays_the_end() {
    let bytes = TarBuilder::new().end().file(Dialect::Ustar, b"hidden", b"").finish();
    let mut reader = Reader::new(&bytes[..]);
    for raw in [1024, 0, 0] {
        assert_eq!(reader.next_step().unwrap(), TarStep::End);
        assert_eq!((reader.raw().len(), reader.position()), (raw, 1024));
    }
    assert_eq!(reader.into_inner(), &bytes[1024..]);
}

#[test]
fn a_payload_has_to_be_read_before_the_next_step() {
    let bytes = TarBuilder::new().file(Dialect::Ustar, b"file", b"content").end().finish();
    let mut reader = Reader::new(&bytes[..]);
    let mut buf = [0; 7];
    assert_eq!(reader.read_payload(&mut buf).unwrap(), 0, "there is no entry yet");
    reader.next_step().unwrap();
    assert_eq!(reader.read_payload(&mut buf[..6]).unwrap(), 6);
    assert!(matches!(reader.next_step(), Err(TarError::OutOfTurn { position: 518, .. })));
    assert_eq!(reader.read_payload(&mut []).unwrap(), 0);
    assert_eq!(reader.payload_left(), 1);
    assert_eq!(reader.read_payload(&mut buf).unwrap(), 1);
    assert_eq!(reader.read_payload(&mut buf).unwrap(), 0);
    assert_eq!(reader.next_step().unwrap(), TarStep::End);
    assert_eq!(reader.raw().len(), 505 + 1024);
}

#[test]
fn errors_of_the_stream_are_passed_on_and_stay() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("corrupt deflate stream"))
        }
    }

    let bytes = TarBuilder::new().file(Dialect::Ustar, b"file", b"content").finish();
    for len in [0, 100, 512, 515, 519, 600] {
        let stream = Cursor::new(bytes[..len].to_vec()).chain(Failing);
        let mut reader = Reader::new(BufReader::new(stream));
        let mut buf = [0; 512];
        let error = loop {
            let result = reader.next_step().map(drop).and_then(|()| {
                while reader.read_payload(&mut buf)? > 0 {}
                Ok(())
            });
            if let Err(error) = result {
                break error;
            }
        };
        let TarError::Io { position, source } = error else { panic!("{error}") };
        assert_eq!((position, source.to_string()), (len as u64, "corrupt deflate stream".into()));
        assert!(matches!(reader.next_step(), Err(TarError::OutOfTurn { .. })));
        assert!(matches!(reader.read_payload(&mut buf), Err(TarError::OutOfTurn { .. })));
    }
}
