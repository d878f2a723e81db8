"""Lists a file tree as JSON lines, with everything that an image layer can say about a file."""
import hashlib, json, os, stat, sys

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFSOCK: "socket"}
text = lambda raw: raw.decode("utf-8", "backslashreplace")
root = os.fsencode(sys.argv[1])
first_of = {}


def show(path):
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        # A whiteout in a directory of one layer alone, which overlayfs lists and does not open.
        return
    except OSError as error:
        print(json.dumps({"path": text(os.path.relpath(path, root)), "kind": "broken",
                          "content": os.strerror(error.errno)}))
        return
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    name = text(os.path.relpath(path, root))
    entry = {"path": name, "kind": kind, "mode": stat.S_IMODE(info.st_mode),
             "owner": [info.st_uid, info.st_gid], "mtime_ns": info.st_mtime_ns,
             "xattrs": {text(os.fsencode(key)): os.getxattr(path, key, follow_symlinks=False).hex()
                        for key in sorted(os.listxattr(path, follow_symlinks=False))}}
    if kind == "file":
        with open(path, "rb") as file:
            entry["content"] = hashlib.file_digest(file, "sha256").hexdigest()
        if info.st_nlink > 1:
            entry["same_as"] = first_of.setdefault((info.st_dev, info.st_ino), name)
    elif kind == "symlink":
        entry["content"] = text(os.readlink(path))
    elif kind in ("char", "block"):
        entry["content"] = f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    print(json.dumps(entry))


def walk(directory):
    show(directory)
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            walk(entry.path)
        else:
            show(entry.path)


walk(root)
