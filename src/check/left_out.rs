//! What a partial pull does not create.

/// What a partial pull of the lowest layer does not create: devices and FIFOs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckedLeftOut {
    pub count: u64,
    /// The names of the first of them, up to `NAMES_MAX`, shortened.
    pub names: Vec<String>,
}

impl CheckedLeftOut {
    /// So many names are kept.
    pub(crate) const NAMES_MAX: usize = 20;

    pub(super) fn note(&mut self, name: &str) {
        const MOST: usize = 200;
        self.count += 1;
        if self.names.len() < Self::NAMES_MAX {
            let short = String::from_utf8_lossy(name.as_bytes().get(..MOST).unwrap_or_default());
            self.names.push(if name.len() > MOST {
                short.into_owned() + "…"
            } else {
                name.into()
            });
        }
    }
}
