//! The verdict on every kind of answer to requests for parts of a blob.

use recompress_image::probe::{ProbeVerdict, RangeOutcome};
use test_support::scripted::answer;

use super::{
    probe::{
        BOTH, SPAN, TAR_SPLIT, TOC, both, layer, multipart, of, probe_scripted, registry, single,
    },
    pull_push::noise,
};

/// Every kind of answer to the two requests for ranges, with its verdict; for `broken`, the reason.
#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn answers_and_verdicts() {
    use RangeOutcome::{Partial, Refused, Rejected, Whole, Wrong};
    let layer = layer();
    let (toc, split) = ((TOC, &layer[TOC]), (TAR_SPLIT, &layer[TAR_SPLIT]));
    let span = 4000..=5999;
    let status = |status| answer(status, &[], b"");
    let other = vec![7; 1000];
    let other_split = &other[..992];
    let unbounded = answer(206, &["Content-Type: multipart/byteranges"], b"--limit--");
    let endless = answer(
        206,
        &["Content-Type: multipart/byteranges; boundary=limit"],
        &[b"--limit\r\n\r\n", &layer[TOC]].concat(),
    );
    let flood = answer(206, &["Content-Type: multipart/byteranges; boundary=x"], &noise(1 << 20));
    let cases = [
        ("good", single(&span), both(), (Partial, Partial), ProbeVerdict::Partial, ""),
        (
            "whole",
            answer(200, &[], &layer),
            answer(200, &[], &layer),
            (Whole, Whole),
            ProbeVerdict::Whole,
            "",
        ),
        (
            "two whole",
            single(&span),
            answer(200, &[], &layer),
            (Partial, Whole),
            ProbeVerdict::Whole,
            "",
        ),
        ("one whole", answer(200, &[], &layer), both(), (Whole, Partial), ProbeVerdict::Whole, ""),
        ("400", single(&span), status(400), (Partial, Rejected), ProbeVerdict::Fallback, ""),
        ("416", single(&span), status(416), (Partial, Refused), ProbeVerdict::Broken, ""),
        (
            "501",
            single(&span),
            answer(501, &[], b"Unsupported client range"),
            (Partial, Refused),
            ProbeVerdict::Broken,
            "Unsupported client range",
        ),
        ("500", single(&span), status(500), (Partial, Refused), ProbeVerdict::Broken, ""),
        ("418", single(&span), status(418), (Partial, Refused), ProbeVerdict::Broken, ""),
        ("one refused", status(416), both(), (Refused, Partial), ProbeVerdict::Broken, ""),
        ("one rejected", status(400), both(), (Rejected, Partial), ProbeVerdict::Broken, ""),
        (
            "only one part",
            single(&span),
            single(&TOC),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "single part; expected two",
        ),
        (
            "merged",
            single(&span),
            multipart(std::slice::from_ref(&toc)),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "1 parts; expected two",
        ),
        (
            "swapped",
            single(&span),
            multipart(&[split.clone(), toc.clone()]),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "bytes 5008-5999 instead of 4000-4999",
        ),
        (
            "another TOC",
            single(&span),
            multipart(&[(TOC, &other), split.clone()]),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "do not match the TOC digest",
        ),
        (
            "another tar-split",
            single(&span),
            multipart(&[toc.clone(), (TAR_SPLIT, other_split)]),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "differ from those",
        ),
        (
            "short",
            single(&span),
            multipart(&[toc.clone(), (TAR_SPLIT, &layer[5008..5998])]),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "990 bytes instead of 992",
        ),
        (
            "no boundary",
            single(&span),
            unbounded,
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "no boundary",
        ),
        ("no end", single(&span), endless, (Partial, Wrong), ProbeVerdict::Broken, "has no end"),
        ("a flood", single(&span), flood, (Partial, Wrong), ProbeVerdict::Broken, "more than"),
        (
            "another part",
            single(&(0..=1999)),
            both(),
            (Wrong, Partial),
            ProbeVerdict::Broken,
            "bytes 0-1999 instead of 4000-5999",
        ),
        (
            "no Content-Range",
            answer(206, &[], &layer[span.clone()]),
            both(),
            (Wrong, Partial),
            ProbeVerdict::Broken,
            "does not say which range",
        ),
        (
            "another content",
            answer(206, &[&of(&span)], &noise(2000)),
            both(),
            (Wrong, Partial),
            ProbeVerdict::Broken,
            "do not match the TOC digest",
        ),
        (
            "too much",
            answer(206, &[&of(&span)], &layer),
            both(),
            (Wrong, Partial),
            ProbeVerdict::Broken,
            "more than",
        ),
    ];
    for (name, one, two, outcomes, verdict, detail) in cases {
        let server = registry(move |range| match range {
            SPAN => one.clone(),
            BOTH => two.clone(),
            other => panic!("{other}"),
        })
        .await;
        let report = probe_scripted(&server).await;
        let (single, two) = (&report.single_range, &report.two_ranges);
        assert_eq!((single.outcome, two.outcome), outcomes, "{name}: {report}");
        assert_eq!(report.verdict, verdict, "{name}: {report}");
        let details = [&single.detail, &two.detail].map(|d| d.as_deref().unwrap_or_default());
        assert!(details.iter().any(|told| told.contains(detail)), "{name}: {report}");
        assert_eq!(detail.is_empty(), details.iter().all(|told| told.is_empty()), "{name}");
        let referrers = report.referrers.clone().unwrap();
        assert_eq!((referrers.status, referrers.supported), (404, false));
        assert_eq!(report.redirected_to, None);
        assert!(report.chunked);
        let asked = server.requests("GET /v2/org/app/blobs/");
        let mut asked: Vec<_> = asked.iter().map(|request| request.header("range")).collect();
        // What passes is asked for again.
        asked.dedup();
        assert_eq!(asked, [SPAN, BOTH], "{name}");
    }
}
