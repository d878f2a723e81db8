//! When a failed request is retried.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::{
    Response, StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use tokio::time::Instant;

use super::pace::SLOWEST;
use crate::progress;
use crate::store::{
    access::Patience,
    error::{StoreError, Tried},
};

/// No wait is longer, whatever a registry asks for.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A request that makes no progress for this long is given up, however many tries are left.
const DEADLINE: Duration = Duration::from_secs(600);
/// Tries before the registry has ever answered: most likely the name or the port is wrong, and the
/// user is waiting to learn it.
const TRIES_ABSENT: u32 = 3;
/// Tries of what the run can do without.
const TRIES_FEW: u32 = 3;
/// Fewer bytes are no progress of a transfer.
const PROGRESS_MIN: u64 = 4 << 10;
/// The bound of the first wait there.
const DELAY_ABSENT: Duration = Duration::from_millis(500);

/// A failed try.
#[derive(Debug)]
pub(crate) struct RequestFailure {
    pub(crate) error: StoreError,
    pub(crate) again: Again,
    /// What the registry answered, if it did.
    pub(crate) status: Option<u16>,
}

/// Whether another try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    No,
    /// Once or twice, soon: there is no sign that anything is there.
    Briefly,
    /// After the time that the registry asks for, or after one of our choice.
    After(Option<Duration>),
}

impl Again {
    pub(crate) fn of(response: &Response) -> Self {
        if is_transient_status(response.status()) {
            Self::After(retry_after(response.headers()))
        } else {
            Self::No
        }
    }
}

impl RequestFailure {
    pub(crate) fn fatal(error: StoreError) -> Self {
        Self { error, again: Again::No, status: None }
    }

    pub(crate) fn transient(error: StoreError) -> Self {
        Self { error, again: Again::After(None), status: None }
    }

    pub(crate) fn is_transient(&self) -> bool {
        self.again != Again::No
    }
}

/// Statuses of transient failures: the server's own trouble, and rate limits.
pub(crate) fn is_transient_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The tries of one request, or of one transfer.
pub(crate) struct Retries {
    patience: Patience,
    action: Arc<str>,
    begin: Instant,
    failed: u32,
    /// Bytes since the beginning that are too few to count as progress yet.
    gained: u64,
    /// Time that the registry took to answer at the end of an upload. It counts against no deadline.
    excused: Duration,
    is_quiet: bool,
}

impl Retries {
    /// `action` is for the user: `upload of blob sha256:…`.
    pub(crate) fn new(patience: Patience, action: &Arc<str>) -> Self {
        Self {
            patience,
            action: Arc::clone(action),
            begin: Instant::now(),
            failed: 0,
            gained: 0,
            excused: Duration::ZERO,
            is_quiet: false,
        }
    }

    /// Few tries, without a word to the user.
    pub(crate) fn few(patience: Patience, action: &Arc<str>) -> Self {
        Self { is_quiet: true, ..Self::new(patience.with_few_tries(TRIES_FEW), action) }
    }

    /// A transfer has come further by so many bytes. If they are enough for the time that it took,
    /// what interrupted it may do so again as often. Otherwise a byte per connection would keep it
    /// going for ever.
    pub(crate) fn progressed(&mut self, bytes: u64) {
        self.gained += bytes;
        let due = u128::from(SLOWEST) * self.begin.elapsed().as_millis() / 1000;
        if u128::from(self.gained) >= due.max(PROGRESS_MIN.into()) {
            (self.begin, self.excused) = (Instant::now(), Duration::ZERO);
            (self.failed, self.gained) = (0, 0);
        }
    }

    /// The registry took this long to answer a complete upload, which is no reason to give up
    /// sooner.
    pub(crate) fn excuse(&mut self, waited: Duration) {
        self.excused += waited;
    }

    /// Whether a try has failed since the last progress.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// Waits until it is time to try again, or gives up.
    pub(crate) async fn pause(&mut self, failure: RequestFailure) -> Result<(), StoreError> {
        self.failed += 1;
        let (error, elapsed) = (failure.error, self.begin.elapsed());
        let Patience { tries, first_delay, .. } = self.patience;
        let (tries, first_delay, asked) = match failure.again {
            Again::No => (0, first_delay, None),
            Again::Briefly => (tries.min(TRIES_ABSENT), first_delay.min(DELAY_ABSENT), None),
            Again::After(asked) => (tries, first_delay, asked),
        };
        let delay = delay(first_delay, self.failed, asked, fastrand::f64());
        if self.failed >= tries || (elapsed + delay).saturating_sub(self.excused) > DEADLINE {
            return Err(error.after(Tried { times: self.failed, elapsed }));
        }
        let cause = match &error {
            StoreError::Unreachable { .. } if *self.action == *"connection" => error.cause(),
            _ => format!("{} failed: {}", self.action, error.cause()),
        };
        let message =
            format!("{cause}; retrying {}, attempt {} of {tries}", until(delay), self.failed + 1);
        if self.is_quiet {
            tracing::debug!("{message}");
        } else {
            tracing::warn!("{message}");
        }
        let _shown = progress::wait(
            format!("retrying {}", self.action),
            Some((Instant::now() + delay).into_std()),
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

/// When the next try is.
fn until(delay: Duration) -> String {
    match delay.as_millis() {
        0..50 => "now".to_owned(),
        _ => format!("in {:.1} s", delay.as_secs_f64()),
    }
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3). A date is meant by
/// the registry's clock, which `Date` gives; ours may differ.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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
    use crate::store::error::Unreachable;

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
    fn no_delay_is_told_as_zero() {
        for (millis, told) in [(0, "now"), (49, "now"), (50, "in 0.1 s"), (1200, "in 1.2 s")] {
            assert_eq!(until(Duration::from_millis(millis)), told);
        }
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
        let mut retries = Retries::new(patience, &"test".into());
        retries.pause(RequestFailure::transient(broken())).await.unwrap();
        retries.pause(RequestFailure::transient(broken())).await.unwrap();
        let error =
            retries.pause(RequestFailure::transient(broken())).await.unwrap_err().to_string();
        assert!(error.contains("; gave up after 3 attempts"), "{error}");
        retries.progressed(1);
        assert!(retries.has_failed(), "a byte is no progress");
        retries.progressed(1 << 20);
        assert!(!retries.has_failed());
        retries.pause(RequestFailure::transient(broken())).await.unwrap();
        let error = retries.pause(RequestFailure::fatal(broken())).await.unwrap_err().to_string();
        assert!(error.contains("; gave up after 2 attempts"), "{error}");
    }

    #[tokio::test]
    async fn a_registry_that_never_answered_is_retried_briefly() {
        let patience = Patience { tries: 6, ..Patience::default() };
        let mut retries = Retries::new(patience, &"test".into());
        let absent = || RequestFailure { error: broken(), again: Again::Briefly, status: None };
        retries.pause(absent()).await.unwrap();
        retries.pause(absent()).await.unwrap();
        let error = retries.pause(absent()).await.unwrap_err().to_string();
        assert!(error.contains("; gave up after 3 attempts"), "{error}");
    }

    #[tokio::test]
    async fn progress_has_to_be_worth_the_time() {
        for (minutes, bytes, is_progress) in
            [(0, 4095, false), (0, 4096, true), (1, (60 << 10) - 1, false), (1, 70 << 10, true)]
        {
            let mut retries = Retries::new(Patience::default(), &"test".into());
            let Some(begin) = Instant::now().checked_sub(minutes * 60 * SECOND) else { return };
            (retries.begin, retries.failed) = (begin, 1);
            // In parts too.
            retries.progressed(1000);
            assert!(retries.has_failed());
            retries.progressed(bytes - 1000);
            assert_eq!(!retries.has_failed(), is_progress, "{bytes} bytes in {minutes} min");
        }
    }

    #[tokio::test]
    async fn there_is_a_deadline() {
        let patience = Patience { tries: u32::MAX, ..Patience::default() };
        let mut retries = Retries::new(patience, &"test".into());
        let Some(begin) = Instant::now().checked_sub(DEADLINE) else { return };
        retries.begin = begin;
        retries.pause(RequestFailure::transient(broken())).await.unwrap_err();
        retries.excuse(DEADLINE);
        retries.patience.first_delay = Duration::ZERO;
        retries.pause(RequestFailure::transient(broken())).await.unwrap();
    }
}
