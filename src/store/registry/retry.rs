//! The one policy of trying again.

use std::time::{Duration, SystemTime};

use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use tokio::time::Instant;

use crate::store::{Patience, StoreError, Tried};

/// No wait is longer, whatever a registry asks for.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A request that makes no progress for so long is given up, however many tries are left.
const DEADLINE: Duration = Duration::from_secs(600);
/// Tries where nobody has ever been met: most likely the name or the port is wrong, and the user is
/// waiting to be told.
const TRIES_ABSENT: u32 = 3;
/// The bound of the first wait there.
const DELAY_ABSENT: Duration = Duration::from_millis(500);

/// A failed try.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    pub(super) again: Again,
}

/// Whether another try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    /// Once or twice, soon: there is no sign that anybody is there.
    Briefly,
    /// After the time that the registry asks for, or after one of our choice.
    After(Option<Duration>),
}

impl Failure {
    pub(super) fn last(error: StoreError) -> Self {
        Self { error, again: Again::No }
    }

    pub(super) fn passing(error: StoreError) -> Self {
        Self { error, again: Again::After(None) }
    }

    pub(super) fn is_passing(&self) -> bool {
        self.again != Again::No
    }
}

/// Statuses that pass: the server's own trouble, and its wish to be asked more slowly.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The tries of one request, or of one transfer.
pub(super) struct Retries<'a> {
    patience: &'a Patience,
    action: &'a str,
    begin: Instant,
    failed: u32,
}

impl<'a> Retries<'a> {
    /// `action` is for the user: `the upload of blob sha256:…`.
    pub(super) fn new(patience: &'a Patience, action: &'a str) -> Self {
        Self { patience, action, begin: Instant::now(), failed: 0 }
    }

    /// A transfer has come further: what broke it may break it again as often.
    pub(super) fn progressed(&mut self) {
        self.begin = Instant::now();
        self.failed = 0;
    }

    /// Whether a try has failed since the last progress.
    pub(super) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// Waits until it is time to try again, or says that it is enough.
    pub(super) async fn pause(&mut self, failure: Failure) -> Result<(), StoreError> {
        self.failed += 1;
        let elapsed = self.begin.elapsed();
        let enough = failure.error.after(Tried { times: self.failed, elapsed });
        let Patience { tries, first_delay, .. } = *self.patience;
        let (tries, first_delay, asked) = match failure.again {
            Again::No => return Err(enough),
            Again::Briefly => (tries.min(TRIES_ABSENT), first_delay.min(DELAY_ABSENT), None),
            Again::After(asked) => (tries, first_delay, asked),
        };
        let delay = delay(first_delay, self.failed, asked, fastrand::f64());
        if self.failed >= tries || elapsed + delay > DEADLINE {
            return Err(enough);
        }
        tracing::warn!(
            "{} failed ({enough}); trying again in {:.1} s ({} of {})",
            self.action,
            delay.as_secs_f64(),
            self.failed + 1,
            tries,
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// The wait after the `failed`th failure: somewhere between nothing and a bound that doubles each
/// time ("full jitter"), so that many clients do not come back at the same moment; but no sooner
/// than the registry asks for. `random` is 0 to 1.
fn delay(first: Duration, failed: u32, asked: Option<Duration>, random: f64) -> Duration {
    let bound = first.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(DELAY_MAX);
    bound.mul_f64(random).max(asked.unwrap_or_default()).min(DELAY_MAX)
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3). A date is meant by
/// the registry's clock, which `Date` tells; ours may be another.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let now = headers.get(DATE).and_then(|now| date(now.to_str().ok()?));
    Some(date(value)?.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::Unreachable;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_a_bound() {
        let bounds: Vec<u64> = (1..9).map(|n| delay(SECOND, n, None, 1.0).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(delay(SECOND, u32::MAX, None, 1.0), DELAY_MAX);
        assert_eq!(delay(SECOND, 4, None, 0.25), 2 * SECOND);
        assert_eq!(delay(SECOND, 4, None, 0.0), Duration::ZERO);
    }

    #[test]
    fn the_registry_is_not_asked_sooner_than_it_wants() {
        assert_eq!(delay(SECOND, 1, Some(7 * SECOND), 0.5), 7 * SECOND);
        assert_eq!(delay(SECOND, 6, Some(7 * SECOND), 1.0), 32 * SECOND);
        assert_eq!(delay(SECOND, 1, Some(Duration::MAX), 0.5), DELAY_MAX);
    }

    #[test]
    fn retry_after_in_both_forms() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(asked("17"), Some(17 * SECOND));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + 100 * SECOND);
        assert!((90..=100).contains(&asked(&soon).unwrap().as_secs()));
        for nonsense in ["", "-1", "soon", "99999999999999999999"] {
            assert_eq!(asked(nonsense), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_date_is_meant_by_the_clock_of_the_registry() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:30 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(7 * SECOND));
    }

    fn broken() -> StoreError {
        StoreError::Unreachable {
            registry: "r".into(),
            kind: Unreachable::Broken,
            reason: "x".into(),
            tried: Tried::default(),
        }
    }

    #[tokio::test]
    async fn the_last_error_says_how_often_and_for_how_long() {
        let first_delay = Duration::from_millis(1);
        let patience = Patience { tries: 3, first_delay, ..Patience::default() };
        let mut retries = Retries::new(&patience, "the test");
        retries.pause(Failure::passing(broken())).await.unwrap();
        retries.pause(Failure::passing(broken())).await.unwrap();
        let error = retries.pause(Failure::passing(broken())).await.unwrap_err().to_string();
        assert!(error.contains(" (tried 3 times in "), "{error}");
        retries.progressed();
        retries.pause(Failure::passing(broken())).await.unwrap();
        let error = retries.pause(Failure::last(broken())).await.unwrap_err().to_string();
        assert!(error.contains(" (tried 2 times in "), "{error}");
    }

    #[tokio::test]
    async fn who_was_never_met_is_not_waited_for_long() {
        let patience = Patience { tries: 6, ..Patience::default() };
        let mut retries = Retries::new(&patience, "the test");
        let absent = || Failure { error: broken(), again: Again::Briefly };
        retries.pause(absent()).await.unwrap();
        retries.pause(absent()).await.unwrap();
        let error = retries.pause(absent()).await.unwrap_err().to_string();
        assert!(error.contains(" (tried 3 times in "), "{error}");
    }

    #[tokio::test]
    async fn there_is_a_deadline() {
        let patience = Patience { tries: u32::MAX, ..Patience::default() };
        let mut retries = Retries::new(&patience, "the test");
        let Some(begin) = Instant::now().checked_sub(DEADLINE) else { return };
        retries.begin = begin;
        retries.pause(Failure::passing(broken())).await.unwrap_err();
    }
}
