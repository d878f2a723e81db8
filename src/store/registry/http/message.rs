//! A registry's own words, from the body of an error.

use oci_client::errors::{OciError, OciErrorCode};
use serde::Deserialize as _;
use serde_json::Value;

use crate::store::secrets::mask;

/// Bytes of an error's body that are read.
pub(crate) const BODY_MAX: usize = 64 << 10;
/// Characters of a registry's message that are passed on.
const MESSAGE_MAX: usize = 300;
/// Errors of one body that are passed on.
const ERRORS_MAX: usize = 3;

/// The message in a body: the error documents of registries (distribution-spec, "Error codes") and
/// of token servers are parsed, other text is passed on unless it is a web page.
///
/// Each error is read on its own, and not all of them as an `OciEnvelope`: that fails as a whole
/// if one error has no code or no message that is a string, which real registries send.
pub(crate) fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..BODY_MAX).unwrap_or(body));
    let Ok(document) = serde_json::from_str::<Value>(&text) else {
        return if text.trim_start().starts_with('<') { String::new() } else { clean(&text) };
    };
    let message = match document.get("errors").and_then(Value::as_array) {
        Some(errors) => {
            errors.iter().take(ERRORS_MAX).filter_map(of_error).collect::<Vec<_>>().join(", ")
        }
        None => ["error_description", "details", "message", "error"]
            .iter()
            .find_map(|name| field(&document, name))
            .unwrap_or_default()
            .to_owned(),
    };
    clean(&message)
}

fn of_error(error: &Value) -> Option<String> {
    match OciError::deserialize(error) {
        Ok(OciError { code, message, .. }) if message.is_empty() => Some(name_of(&code)),
        Ok(OciError { code, message, .. }) => Some(format!("{}: {message}", name_of(&code))),
        Err(_) => {
            let message = field(error, "message").filter(|message| !message.is_empty());
            message.or_else(|| field(error, "code")).map(str::to_owned)
        }
    }
}

/// The code as the registry wrote it.
fn name_of(code: &OciErrorCode) -> String {
    let name = serde_json::to_value(code).ok();
    name.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// Foreign text without control characters and secrets, on one line and not too long.
pub(super) fn clean(text: &str) -> String {
    let text = mask(text);
    let spaced = text.split(|c: char| c.is_control() || c.is_whitespace());
    let line = spaced.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_registries() {
        for (body, expected) in [
            ("", ""),
            ("<html>502</html>", ""),
            ("just\r\ntext \u{1b}[31m", "just text [31m"),
            (
                r#"{"errors":[{"code":"DENIED","message":"no\nway","detail":"x"}]}"#,
                "DENIED: no way",
            ),
            (r#"{"errors":[{"code":"A"},{"message":"b"},{},{"code":"C"},{"code":"D"}]}"#, "A, b"),
            (r#"{"errors":[]}"#, ""),
            (r#"{"details":"incorrect username or password"}"#, "incorrect username or password"),
            (r#"{"error":"invalid_token","error_description":"expired"}"#, "expired"),
            (
                r#"{"errors":[{"code":"LOCKED","message":"artifact is locked"}]}"#,
                "LOCKED: artifact is locked",
            ),
            (r#"{"errors":[{"code":"UNAUTHORIZED","message":null}]}"#, "UNAUTHORIZED"),
            (
                r#"{"errors":[{"code":5,"message":"b"},{"code":"DENIED","message":""}]}"#,
                "b, DENIED",
            ),
            ("5", ""),
        ] {
            assert_eq!(message(body.as_bytes()), expected, "{body}");
        }
        assert!(message(&vec![b'x'; 1 << 20]).chars().count() <= MESSAGE_MAX + 1);
        assert_eq!(message(&[0xff, 0xfe]), "\u{fffd}\u{fffd}");
    }
}
