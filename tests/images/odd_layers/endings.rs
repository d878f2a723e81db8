//! How archives end, and archives that have nothing else.

use test_support::archive::{Dialect, TarBuilder};

use super::case::{Case, header, tar};

pub(crate) fn cases() -> Vec<Case> {
    [ends(), rests(), empty(), broken()].concat()
}

/// What follows the last file, whose content is no multiple of a block.
fn with(name: &str, end: impl FnOnce(TarBuilder) -> TarBuilder) -> Case {
    Case::of(name, &end(tar(name)).finish())
}

fn ends() -> Vec<Case> {
    let unpadded = |name: &str, padding: usize| {
        let content = name.as_bytes();
        let header = header(b'0', "case").size(i64::try_from(content.len()).unwrap());
        let tar = TarBuilder::new().header(header).raw(content).zeros(padding).finish();
        Case::of(name, &tar)
    };
    vec![
        with("end-without-blocks", |t| t),
        with("end-with-1-block", |t| t.zeros(512)),
        with("end-with-3-blocks", |t| t.zeros(3 * 512)),
        with("end-with-20-blocks", |t| t.zeros(20 * 512)),
        unpadded("end-without-padding", 0),
        unpadded("end-in-the-padding", 100).plain("in the padding"),
        with("end-in-a-first-zero-block", |t| t.zeros(300))
            .fails("in the middle of a header")
            .refused("unexpected EOF"),
        with("end-in-a-second-zero-block", |t| t.zeros(700))
            .fails("in the middle of a header")
            .refused("unexpected EOF"),
    ]
}

fn rests() -> Vec<Case> {
    let other = TarBuilder::new().file(Dialect::Ustar, b"other", b"second archive").end().finish();
    vec![
        with("rest-odd-zeros", |t| t.zeros(1024 + 300)),
        with("rest-odd-zeros-after-many", |t| t.zeros(10_240 + 1)),
        with("rest-garbage", |t| t.end().raw(b"garbage")),
        with("rest-garbage-block", |t| t.end().raw(&[0xaa; 512])),
        with("rest-garbage-of-3-mib", |t| t.end().raw(&[0xaa; 3 << 20])),
        with("rest-zeros-then-garbage", |t| t.zeros(10_240).raw(b"x").zeros(511)),
        with("rest-second-archive", |t| t.end().raw(&other)),
        with("rest-second-archive-at-once", |t| t.raw(&other)),
        with("rest-3-mib-of-zeros", |t| t.zeros(3 << 20)),
        with("rest-40-mib-of-zeros", |t| t.zeros(40 << 20)).plain("8 MiB"),
        with("rest-garbage-after-one-zero-block", |t| t.zeros(512).raw(&[0xaa; 512]))
            .fails("does not end an archive")
            .refused("invalid tar header"),
    ]
}

fn empty() -> Vec<Case> {
    let zeros = |count: usize| Case::of(format!("empty-{count}-zeros"), &vec![0; count]);
    vec![
        zeros(0),
        zeros(512),
        zeros(1024),
        zeros(10_240),
        zeros(511).fails("in the middle of a header").refused("unexpected EOF"),
        zeros(1025),
    ]
}

fn broken() -> Vec<Case> {
    let cut = |name: &str, len: usize| {
        let tar = tar(name).file(Dialect::Ustar, b"file", &[1; 5000]).end().finish();
        Case::of(name, &tar[..len])
    };
    vec![
        cut("cut-in-a-header", 1024 + 100)
            .fails("in the middle of a header")
            .refused("unexpected EOF"),
        cut("cut-in-a-payload", 1024 + 512 + 100)
            .fails("in the middle of the payload of \"file\"")
            .refused("unexpected EOF"),
        with("cut-in-an-extension", |t| t.header(header(b'x', "PaxHeaders/x").size(600)).zeros(9))
            .fails("in the middle of an extension header")
            .refused("unexpected EOF"),
        Case::of("no-tar-text", b"this is no tar archive\n")
            .fails("in the middle of a header")
            .refused("unexpected EOF"),
        Case::of("no-tar-at-length", &b"this is no tar archive\n".repeat(1000))
            .fails("wrong checksum")
            .refused("invalid tar header"),
    ]
}
