//! The reader of the tar-split stream: it sees every object as another JSON reader does.
#![no_main]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use recompress_image::check::Rule;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Deserializer, Map, Value};

fn parse<T: DeserializeOwned>(stream: &[u8]) -> serde_json::Result<Vec<T>> {
    Deserializer::from_slice(stream).into_iter().collect()
}

fuzz_target!(|stream: &[u8]| {
    let (totals, findings) = support::documents(b"{\"entries\":[]}", stream);
    let stopped =
        [Rule::TarSplitEncoding, Rule::TarSplitJson, Rule::TarSplitSegment, Rule::TarSplitFile];
    if support::broken(&findings, &stopped) {
        return;
    }
    let Ok(objects) = parse::<Map<String, Value>>(stream) else {
        // Too deep or a number too large, in a value that nobody looks at.
        parse::<IgnoredAny>(stream).expect("a stream of JSON objects");
        return;
    };
    let (mut raw_len, mut in_order) = (0, true);
    for (at, object) in objects.into_iter().enumerate() {
        let get = |name| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let [kind, position, payload] =
            ["type", "position", "payload"].map(|name| get(name).map(|(_, value)| value));
        in_order &= position.and_then(Value::as_u64).is_none_or(|number| number == at as u64);
        if kind.is_some_and(|kind| *kind == 2) {
            let payload = payload.and_then(Value::as_str).unwrap_or_default();
            raw_len += STANDARD.decode(payload).expect("base64").len() as u64;
        } else {
            assert!(kind.is_some_and(|kind| *kind == 1));
        }
    }
    assert_eq!(totals.tar_len, raw_len);
    assert_eq!(support::broken(&findings, &[Rule::TarSplitOrder]), !in_order);
});
