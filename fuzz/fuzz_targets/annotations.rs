//! The claims of a layer's annotations: numbers come out as they stand there, or not at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recompress_image::check::{Claims, Findings, Rule, Span};

/// What an annotation with `more` fields in front of its end says of `span`.
fn says(text: &str, span: Span, format: Option<&str>) -> bool {
    let fields: Vec<&str> = text.split(':').collect();
    let expected = [span.offset, span.len, span.raw_len].map(|number| number.to_string());
    let same = fields.iter().zip(&expected).all(|(field, expected)| {
        let digits = field.trim_start_matches('0');
        if digits.is_empty() { expected == "0" } else { digits == expected }
    });
    let rest = fields.get(3).map(|field| field.trim_start_matches('0'));
    same && fields.len() == 3 + usize::from(format.is_some()) && (rest == format)
}

fuzz_target!(|input: (&str, &str, &str)| {
    let (digest, toc, tar_split) = input;
    let mut findings = Findings::default();
    let claims = Claims::read(&support::annotations(digest, toc, tar_split), &mut findings);
    let Some(claims) = claims else {
        return assert!(findings.errors() > 0);
    };
    assert_eq!(claims.toc_digest.as_str(), digest);
    assert!(says(toc, claims.toc, Some("1")) || support::broken(&findings, &[Rule::TocFormat]));
    match claims.tar_split {
        Some(span) => assert!(says(tar_split, span, None)),
        None => assert!(support::broken(&findings, &[Rule::TarSplitPosition])),
    }
    let _ = (claims.toc.end(), claims.tar_split.map(Span::end));
});
