//! What a test does where something is missing on this machine.

/// Unwraps what a test cannot do without. Where it is missing, the test has to return: it is
/// skipped aloud, or fails when `RECOMPRESS_REQUIRE_PEERS=1` says that skipping is no option.
pub(crate) fn need<T>(test: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) if std::env::var_os("RECOMPRESS_REQUIRE_PEERS").is_some_and(|v| v == "1") => {
            panic!("{test} must not be skipped here (RECOMPRESS_REQUIRE_PEERS=1): {why}")
        }
        Err(why) => {
            eprintln!("SKIPPED: {test}: {why}");
            None
        }
    }
}
