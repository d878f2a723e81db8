//! Random layers: mostly as builders make them, each with up to three oddities.

use fastrand::Rng;
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

/// Directories that a layer may have, each after the one that it is in.
const DIRECTORIES: [&str; 6] = ["d", "d/e", "usr", "usr/lib", "größe", "with space"];

/// Names of everything else.
const NAMES: [&str; 10] =
    ["a", "b", "c", "größe", "with space", "new\nline", "-", "a=b", "back\\slash", ".hidden"];

pub(crate) struct Random(Rng);

/// A layer.
pub(crate) struct Made {
    pub(crate) tar: Vec<u8>,
    pub(crate) whiteouts: bool,
}

/// A file that a hard link can lead to.
#[derive(Clone)]
struct File {
    path: String,
    mode: i64,
    owner: i64,
    modified: i64,
}

struct Draft {
    tar: TarBuilder,
    directories: Vec<String>,
    files: Vec<File>,
    paths: Vec<String>,
    whiteouts: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    pub(crate) fn layers(&mut self) -> usize {
        self.0.usize(2..=3)
    }

    /// The layer at this place of the image, 0 for the lowest.
    pub(crate) fn layer(&mut self, place: usize) -> Made {
        let mut draft = Draft {
            tar: TarBuilder::new(),
            directories: vec![String::new()],
            files: Vec::new(),
            paths: Vec::new(),
            whiteouts: false,
        };
        if self.0.bool() {
            draft.tar = draft.tar.header(self.block(b'5', "./").mode(0o755));
        }
        for directory in DIRECTORIES {
            let parent = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
            if draft.directories.iter().any(|known| known == parent) && self.0.u8(..3) > 0 {
                self.directory(&mut draft, directory);
            }
        }
        // In the lowest layer a device alone is nothing odd.
        let odd = [0, 0, 0, 1, 1, 2, 3][self.0.usize(..7)];
        let usual = self.0.usize(3..10);
        let mut kinds: Vec<_> = (0..usual + odd).map(|number| number >= usual).collect();
        self.0.shuffle(&mut kinds);
        for is_odd in kinds {
            if is_odd { self.odd(&mut draft) } else { self.usual(&mut draft) }
        }
        if place == 0 && self.0.bool() {
            self.device(&mut draft, (1, 3));
        }
        // No layer is the same as one of another image, or podman would not pull it again.
        let unique = self.0.u64(..).to_string();
        draft.tar = draft.tar.file(Dialect::Ustar, b"unique", unique.as_bytes());
        Made { tar: draft.tar.end().finish(), whiteouts: draft.whiteouts }
    }

    fn block(&mut self, typeflag: u8, name: &str) -> HeaderBlock {
        HeaderBlock::new(Dialect::Ustar, typeflag, name.as_bytes())
            .modified(self.0.i64(1_500_000_000..1_700_000_000))
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.usize(..of.len())].clone()
    }

    /// A path in a directory that the layer has.
    fn path(&mut self, draft: &Draft) -> String {
        let directory = self.one_of(&draft.directories);
        let name = self.one_of(&NAMES);
        if directory.is_empty() { name.into() } else { format!("{directory}/{name}") }
    }

    /// At times another spelling of it.
    fn spelled(&mut self, path: &str) -> String {
        let start = ["", "", "", "./", "/"][self.0.usize(..5)];
        format!("{start}{path}")
    }

    /// A path that is not in the layer yet.
    fn new_path(&mut self, draft: &mut Draft) -> String {
        let mut path = self.path(draft);
        while draft.paths.contains(&path) {
            path.push('x');
        }
        draft.paths.push(path.clone());
        path
    }

    fn directory(&mut self, draft: &mut Draft, path: &str) {
        let mode = self.one_of(&[0o755, 0o755, 0o700, 0o1777, 0o2750]);
        let owner = self.one_of(&[0, 0, 1000]);
        let name = self.spelled(path) + "/";
        let block = self.block(b'5', &name).mode(mode).owner(owner, owner);
        draft.tar = self.xattrs(draft.tar.clone()).header(block);
        draft.directories.push(path.into());
        draft.paths.push(path.into());
    }

    fn xattrs(&mut self, tar: TarBuilder) -> TarBuilder {
        match self.0.u8(..12) {
            0 => tar.pax(&[(b"SCHILY.xattr.user.text", b"value"), (b"SCHILY.xattr.user.e", b"")]),
            1 => tar.pax(&[(b"SCHILY.xattr.trusted.bytes", b"\x00\xff=\n\x80")]),
            2 => tar.pax(&[(b"SCHILY.xattr.security.selinux", b"system_u:object_r:etc_t:s0")]),
            _ => tar,
        }
    }

    fn content(&mut self) -> Vec<u8> {
        match self.0.u8(..6) {
            0 => Vec::new(),
            1 => b"the same in many files".to_vec(),
            2 => vec![0; self.0.usize(1..100_000)],
            3 => b"a line of text\n".repeat(self.0.usize(1..30_000)),
            _ => {
                let len = self.0.usize(1..5000);
                (0..len).map(|_| self.0.u8(..)).collect()
            }
        }
    }

    fn file(&mut self, draft: &mut Draft, path: &str) {
        let file = File {
            path: path.into(),
            mode: self.one_of(&[0o644, 0o755, 0o4755, 0o600, 0, 0o100_644]),
            owner: self.one_of(&[0, 0, 1000, 3_000_000]),
            modified: self.0.i64(1_500_000_000..1_700_000_000),
        };
        let (name, content) = (self.spelled(path), self.content());
        let block = HeaderBlock::new(Dialect::Gnu, b'0', name.as_bytes())
            .mode(file.mode)
            .owner(file.owner, file.owner)
            .modified(file.modified);
        draft.tar = self.xattrs(draft.tar.clone()).sized(block, &content);
        draft.files.push(file);
    }

    fn usual(&mut self, draft: &mut Draft) {
        let path = self.new_path(draft);
        match self.0.u8(..8) {
            0 => {
                let target =
                    self.one_of(&["a", "../b", "/usr/lib", "nowhere", "back\\slash =", "-"]);
                let owner = self.one_of(&[0, 1000]);
                let block = self.block(b'2', &path).mode(0o777).owner(owner, owner);
                draft.tar = draft.tar.clone().header(block.link_name(target.as_bytes()));
            }
            1 if !draft.files.is_empty() => {
                let file = self.one_of(&draft.files);
                let target = self.spelled(&file.path);
                let block = HeaderBlock::new(Dialect::Gnu, b'1', path.as_bytes())
                    .mode(file.mode)
                    .owner(file.owner, file.owner)
                    .modified(file.modified);
                draft.tar = draft.tar.clone().header(block.link_name(target.as_bytes()));
            }
            2 if self.0.bool() => self.whiteout(draft, &path),
            _ => self.file(draft, &path),
        }
    }

    /// What removes this path, or all of the directory.
    fn whiteout(&mut self, draft: &mut Draft, path: &str) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = if self.0.u8(..3) == 0 { ".wh..opq" } else { name };
        let path = match directory {
            "" => format!(".wh.{name}"),
            directory => format!("{directory}/.wh.{name}"),
        };
        if !draft.paths.contains(&path) {
            draft.paths.push(path.clone());
            draft.tar = draft.tar.clone().header(self.block(b'0', &path));
            draft.whiteouts = true;
        }
    }

    fn device(&mut self, draft: &mut Draft, (major, minor): (i64, i64)) {
        let (path, typeflag) = (self.new_path(draft), self.one_of(b"346"));
        draft.tar = draft.tar.clone().header(self.block(typeflag, &path).device(major, minor));
    }

    fn odd(&mut self, draft: &mut Draft) {
        let path = self.new_path(draft);
        let (tar, number) = (draft.tar.clone(), self.0.u32(..));
        draft.tar = match self.0.u8(..16) {
            0 => return self.device(draft, (7, 300)),
            1 => tar.header(self.block(b'3', &path)),
            // A whiteout of what the layer has, or has a little later.
            2 => {
                self.file(draft, &path);
                return self.whiteout(draft, &path);
            }
            3 => {
                self.whiteout(draft, &path);
                return self.file(draft, &path);
            }
            // Through a symlink of this layer.
            4 => {
                draft.tar = tar.header(self.block(b'2', &path).link_name(b"/usr/lib"));
                let below = format!("{path}/a");
                return self.file(draft, &below);
            }
            5 => {
                let late = format!("late-{number}");
                self.file(draft, &format!("{late}/a"));
                return self.directory(draft, &late);
            }
            6 => tar.header(self.block(b'5', "./").mode(0o755)),
            7 => return self.file(draft, &format!("missing-{number}/a")),
            8 => tar
                .pax(&[(b"SCHILY.xattr.trusted.text", b"value")])
                .header(self.block(b'2', &path).link_name(b"a")),
            9 => tar
                .pax(&[(b"SCHILY.xattr.trusted.overlay.opaque", b"y")])
                .header(self.block(b'5', &path).mode(0o755)),
            10 => match draft.files.first() {
                Some(file) => {
                    let block = HeaderBlock::new(Dialect::Gnu, b'1', path.as_bytes()).mode(0o640);
                    tar.header(block.link_name(file.path.as_bytes()))
                }
                None => tar,
            },
            11 => tar.sized(self.block(b'0', &path).modified(-86_400), b"old"),
            12 => tar.header(self.block(b'5', &format!(".wh..wh.{number}"))),
            14 => tar.header(self.block(b'0', &path).mode(0o7_777_644)),
            13 => tar.header(self.block(b'0', &path).link_name(b"a")),
            _ => tar.header(self.block(b'5', &path).mode(0o755).modified(-1)),
        };
    }
}
