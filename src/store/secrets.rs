//! Secrets of this process, so that no text that a server sends can make us print one of them.

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Shorter ones would be found everywhere.
const LEN_MIN: usize = 4;
/// Tokens are renewed every few minutes; the oldest ones go.
const KEPT: usize = 64;
const MASK: &str = "***";

static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers something that must not be printed.
pub(super) fn remember(secret: &str) {
    if secret.len() < LEN_MIN {
        return;
    }
    let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    if secrets.iter().any(|known| known == secret) {
        return;
    }
    if secrets.len() == KEPT {
        secrets.remove(0);
    }
    secrets.push(secret.to_owned());
}

/// The same for a password, and the header that it is sent in.
pub(super) fn remember_password(user: &str, password: &str) {
    remember(password);
    remember(&STANDARD.encode(format!("{user}:{password}")));
}

/// The text with every secret that this process knows masked.
pub fn mask(text: &str) -> Cow<'_, str> {
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut masked = Cow::Borrowed(text);
    // The longest first, for one may be within another.
    let mut found: Vec<_> =
        secrets.iter().filter(|secret| text.contains(secret.as_str())).collect();
    found.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in found {
        masked = Cow::Owned(masked.replace(secret.as_str(), MASK));
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        remember("the");
        remember_password("robot", "correct-horse");
        remember("correct-horse-battery");
        let header = STANDARD.encode("robot:correct-horse");
        let text = format!("the user robot, correct-horse and correct-horse-battery: {header}");
        assert_eq!(mask(&text), "the user robot, *** and ***: ***");
        assert_eq!(mask("nothing of it"), "nothing of it");
    }
}
