//! Layer tars: of real trees, of many small files, of large ones with holes, of every kind of file.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

/// 2024-01-02 03:04:05 UTC, where a tree has no times of its own.
const MTIME: u64 = 1_704_164_645;

/// A reproducible source of bytes that no compressor shrinks (xorshift64*, Vigna 2016).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }
}

/// Bytes that no compressor shrinks; `seed` is not 0.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    Noise(seed).bytes(length)
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header.set_size(0);
    header
}

fn add<W: Write>(tar: &mut Builder<W>, mut header: Header, path: impl AsRef<Path>, data: &[u8]) {
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, path, data).unwrap();
}

fn add_dir<W: Write>(tar: &mut Builder<W>, path: &str) {
    add(tar, header(EntryType::Directory, 0o755), path, b"");
}

fn add_file<W: Write>(tar: &mut Builder<W>, path: impl AsRef<Path>, data: &[u8]) {
    add(tar, header(EntryType::Regular, 0o644), path, data);
}

fn add_link<W: Write>(tar: &mut Builder<W>, kind: EntryType, path: &str, target: &str) {
    let mode = if kind == EntryType::Symlink { 0o777 } else { 0o644 };
    tar.append_link(&mut header(kind, mode), path, target).unwrap();
}

/// The trees at `parts` below `root`, their parents included, hard links kept; devices and sockets
/// are left out.
pub fn real(out: impl Write, root: &Path, parts: &[&str]) {
    let mut tar = Builder::new(out);
    let mut walk = RealTree { root, first_of: HashMap::new(), parents: Vec::new() };
    for part in parts {
        walk.add_parents(&mut tar, Path::new(part));
        walk.add(&mut tar, Path::new(part));
    }
    tar.finish().unwrap();
}

struct RealTree<'a> {
    root: &'a Path,
    /// The first name of each file with several, by inode.
    first_of: HashMap<u64, PathBuf>,
    parents: Vec<PathBuf>,
}

impl RealTree<'_> {
    fn add_parents<W: Write>(&mut self, tar: &mut Builder<W>, part: &Path) {
        let above: Vec<_> = part.ancestors().skip(1).filter(|p| *p != Path::new("")).collect();
        for parent in above.into_iter().rev() {
            if !self.parents.iter().any(|known| known == parent) {
                self.parents.push(parent.to_owned());
                self.add_directory(tar, parent);
            }
        }
    }

    fn add_directory<W: Write>(&self, tar: &mut Builder<W>, path: &Path) {
        let mut name = path.as_os_str().to_owned();
        name.push("/");
        let metadata = fs::symlink_metadata(self.root.join(path)).unwrap();
        add(tar, real_header(&metadata, EntryType::Directory), name, b"");
    }

    fn add<W: Write>(&mut self, tar: &mut Builder<W>, path: &Path) {
        let full = self.root.join(path);
        let metadata = fs::symlink_metadata(&full).unwrap();
        if metadata.is_dir() {
            self.add_directory(tar, path);
            let mut names: Vec<_> =
                fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            for name in names {
                self.add(tar, &path.join(name));
            }
        } else if metadata.is_symlink() {
            let target = fs::read_link(&full).unwrap();
            let mut header = real_header(&metadata, EntryType::Symlink);
            tar.append_link(&mut header, path, target).unwrap();
        } else if metadata.is_file() {
            let first = self.first_of.entry(metadata.ino()).or_insert_with(|| path.to_owned());
            if metadata.nlink() > 1 && first != path {
                let mut header = real_header(&metadata, EntryType::Link);
                tar.append_link(&mut header, path, first).unwrap();
            } else {
                let mut header = real_header(&metadata, EntryType::Regular);
                header.set_size(metadata.len());
                tar.append_data(&mut header, path, File::open(full).unwrap()).unwrap();
            }
        }
    }
}

fn real_header(metadata: &fs::Metadata, kind: EntryType) -> Header {
    let mut header = header(kind, metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime(metadata.mtime().try_into().unwrap());
    header
}

/// `count` files of up to about 2,000 bytes, half of them text that repeats, 100 in a directory.
pub fn many_small(out: impl Write, count: usize) {
    let mut tar = Builder::new(out);
    let mut noise = Noise(1);
    add_dir(&mut tar, "small/");
    for number in 0..count {
        if number % 100 == 0 {
            add_dir(&mut tar, &format!("small/{:04}/", number / 100));
        }
        let length = usize::try_from(noise.next() % 2_000).unwrap();
        let data = match number % 2 {
            0 => noise.bytes(length),
            _ => format!("line {number} of a small file\n").repeat(length / 30).into_bytes(),
        };
        add_file(&mut tar, format!("small/{:04}/file-{number}", number / 100), &data);
    }
    tar.finish().unwrap();
}

/// Files of `size` bytes: zeros only, and noise with runs of zeros of all lengths at the start, in
/// the middle and at the end.
pub fn large_with_holes(out: impl Write, size: usize) {
    let mut tar = Builder::new(out);
    let mut noise = Noise(2);
    add_dir(&mut tar, "large/");
    let mut zeros = header(EntryType::Regular, 0o600);
    zeros.set_size(size as u64);
    tar.append_data(&mut zeros, "large/zeros", io::repeat(0).take(size as u64)).unwrap();
    for (name, zeros_first) in [("starts-with-zeros", true), ("ends-with-zeros", false)] {
        let mut data = Vec::with_capacity(size);
        let mut zeros = zeros_first;
        // From runs that are too short for a hole to runs that need several chunks.
        for power in (4..).map(|step| 1_usize << (step % 22)) {
            let length =
                (power + usize::try_from(noise.next() % 7).unwrap()).min(size - data.len());
            if zeros {
                data.resize(data.len() + length, 0);
            } else {
                data.extend(noise.bytes(length));
            }
            zeros = !zeros;
            if data.len() == size {
                break;
            }
        }
        if !zeros_first {
            let tail = size - size / 8;
            data[tail..].fill(0);
        }
        add_file(&mut tar, format!("large/{name}"), &data);
    }
    tar.finish().unwrap();
}

/// One of each kind of entry, with the odd names, owners, modes and attributes that images have.
/// The links come after their targets: a classic pull can read no other order.
pub fn every_kind(out: impl Write) {
    let mut tar = Builder::new(out);
    add_dir(&mut tar, "kinds/");
    add_links(&mut tar);
    add_modes_and_owners(&mut tar);
    add_specials(&mut tar);
    add_attributes(&mut tar);
    add_names(&mut tar);
    tar.finish().unwrap();
}

fn add_links<W: Write>(tar: &mut Builder<W>) {
    add_file(tar, "kinds/linked", b"three names");
    add_link(tar, EntryType::Link, "kinds/a-link-sorted-before", "kinds/linked");
    add_link(tar, EntryType::Link, "kinds/z-link-sorted-after", "kinds/linked");
    add_file(tar, "kinds/empty", b"");
    add_link(tar, EntryType::Link, "kinds/empty-link", "kinds/empty");
    add_link(tar, EntryType::Symlink, "kinds/symlink", "linked");
    add_link(tar, EntryType::Symlink, "kinds/dangling", "/no/such/file");
    add_link(tar, EntryType::Symlink, "kinds/long-target", &"t".repeat(300));
}

fn add_modes_and_owners<W: Write>(tar: &mut Builder<W>) {
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("no-access", 0o000)] {
        add(tar, header(EntryType::Regular, mode), format!("kinds/{name}"), name.as_bytes());
    }
    add(tar, header(EntryType::Directory, 0o1777), "kinds/sticky/", b"");
    add(tar, header(EntryType::Directory, 0o2750), "kinds/setgid-dir/", b"");
    for (name, id) in [("user", 1_000), ("nobody", 65_534), ("past-octal", 3_000_000)] {
        let mut owned = header(EntryType::Regular, 0o640);
        owned.set_uid(id);
        owned.set_gid(id + 1);
        add(tar, owned, format!("kinds/owner-{name}"), name.as_bytes());
    }
    let mut old = header(EntryType::Regular, 0o644);
    old.set_mtime(0);
    add(tar, old, "kinds/time-zero", b"1970");
}

fn add_specials<W: Write>(tar: &mut Builder<W>) {
    add(tar, header(EntryType::Fifo, 0o600), "kinds/fifo", b"");
    let devices = [("char", EntryType::Char, (1, 3)), ("block", EntryType::Block, (7, 300))];
    for (name, kind, (major, minor)) in devices {
        let mut device = header(kind, 0o660);
        device.set_device_major(major).unwrap();
        device.set_device_minor(minor).unwrap();
        add(tar, device, format!("kinds/{name}"), b"");
    }
}

fn add_attributes<W: Write>(tar: &mut Builder<W>) {
    // CAP_NET_RAW, permitted and effective, as ping has it (vfs_cap_data revision 2).
    let mut capability = [0_u8; 20];
    capability[..8].copy_from_slice(&[1, 0, 0, 2, 0, 0x20, 0, 0]);
    tar.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])]).unwrap();
    add(tar, header(EntryType::Regular, 0o755), "kinds/capability", b"ping");
    let xattrs: [(&str, &[u8]); 3] = [
        ("SCHILY.xattr.user.text", b"value"),
        ("SCHILY.xattr.user.bytes", b"\x00\xff=\n\x80"),
        ("mtime", b"1704164645.123456789"),
    ];
    tar.append_pax_extensions(xattrs).unwrap();
    add_file(tar, "kinds/xattrs-and-nanoseconds", b"attributes");
}

fn add_names<W: Write>(tar: &mut Builder<W>) {
    let long = "long-".repeat(30);
    add_file(tar, format!("kinds/{long}"), b"a name of 150 bytes");
    add_dir(tar, &format!("kinds/{long}-dir/"));
    add_file(tar, format!("kinds/{long}-dir/{long}"), b"a path of 300 bytes");
    let link = format!("kinds/{long}-link");
    add_link(tar, EntryType::Link, &link, &format!("kinds/{long}"));
    for name in ["größe", "日本語", "e\u{301}", "emoji-🦀", "with space", "tab\there", "new\nline"]
    {
        add_file(tar, format!("kinds/{name}"), name.as_bytes());
    }
    for name in ["back\\slash", "quo\"te", "<tag>&amp;", "\u{2028}separator", "-dash", ".hidden"] {
        add_file(tar, format!("kinds/{name}"), name.as_bytes());
    }
}

/// Removes `removed` (a path) and everything that lower layers have in the directory `emptied`,
/// where one new file appears (layer.md of the image specification, "Whiteouts").
pub fn whiteouts(out: impl Write, removed: &str, emptied: &str) {
    let mut tar = Builder::new(out);
    let (dir, name) = removed.rsplit_once('/').unwrap_or(("", removed));
    // A parent without an entry would get the time of its unpacking, another one in each tree.
    let ancestors = [dir, emptied].into_iter().flat_map(|path| Path::new(path).ancestors());
    let parents: BTreeSet<_> = ancestors.filter(|path| *path != Path::new("")).collect();
    for parent in parents {
        add_dir(&mut tar, &format!("{}/", parent.display()));
    }
    add_file(&mut tar, format!("{dir}/.wh.{name}"), b"");
    add_file(&mut tar, format!("{emptied}/.wh..wh..opq"), b"");
    add_file(&mut tar, format!("{emptied}/new"), b"alone here");
    tar.finish().unwrap();
}
