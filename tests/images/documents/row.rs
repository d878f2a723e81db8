//! What a row of the table says.

use super::build::Documents;

/// What podman does with the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Podman {
    /// It pulls the image with this label.
    Takes(&'static str),
    Refuses,
}

/// What `convert` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    /// podman pulls the image with this label from the result.
    Converts(&'static str),
    /// The exit code, and words of the message.
    Fails(i32, &'static str),
}

/// One source, and what becomes of it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) build: fn(&mut Documents),
    /// What podman is asked for.
    pub(super) platform: Option<&'static str>,
    pub(super) arguments: &'static [&'static str],
    pub(super) podman: Podman,
    pub(super) ours: Ours,
    /// The exit code of `verify` on the source.
    pub(super) verify: i32,
    /// What the text of the new root must not have.
    pub(super) gone: &'static [&'static str],
}

const UNFIT: i32 = 5;

/// A single image.
pub(super) fn image(name: &'static str, build: fn(&mut Documents)) -> Row {
    Row {
        name,
        build,
        platform: None,
        arguments: &[],
        podman: Podman::Takes("a"),
        ours: Ours::Converts("a"),
        verify: 0,
        gone: &[],
    }
}

/// An index, of which the image for linux/amd64 is meant.
pub(super) fn index(name: &'static str, build: fn(&mut Documents)) -> Row {
    image(name, build).of("linux/amd64", &["--platform=linux/amd64"])
}

impl Row {
    pub(super) fn of(self, platform: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { platform: Some(platform), arguments, ..self }
    }

    pub(super) fn arguments(self, arguments: &'static [&'static str]) -> Self {
        Self { arguments, ..self }
    }

    pub(super) fn podman_refuses(self) -> Self {
        Self { podman: Podman::Refuses, ..self }
    }

    pub(super) fn podman_takes(self, label: &'static str) -> Self {
        Self { podman: Podman::Takes(label), ..self }
    }

    pub(super) fn converts(self, label: &'static str) -> Self {
        Self { ours: Ours::Converts(label), ..self }
    }

    /// `verify` refuses it as well.
    pub(super) fn refused(self, words: &'static str) -> Self {
        Self { ours: Ours::Fails(UNFIT, words), verify: UNFIT, ..self }
    }

    pub(super) fn fails(self, code: i32, words: &'static str) -> Self {
        Self { ours: Ours::Fails(code, words), ..self }
    }

    pub(super) fn verify(self, code: i32) -> Self {
        Self { verify: code, ..self }
    }

    pub(super) fn without(self, gone: &'static [&'static str]) -> Self {
        Self { gone, ..self }
    }
}
