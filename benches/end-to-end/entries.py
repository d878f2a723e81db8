"""Writes a tar of COUNT entries: folders of a thousand empty files each."""

import sys
import tarfile


def entry(name, kind, mode):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, 1700000000
    return info.tobuf(tarfile.USTAR_FORMAT)


def main(count, out):
    for number in range(count):
        folder = number // 1000
        if number % 1000 == 0:
            out.write(entry(f"folder-{folder:04}/", tarfile.DIRTYPE, 0o755))
        else:
            out.write(entry(f"folder-{folder:04}/file-{number:07}", tarfile.REGTYPE, 0o644))
    out.write(bytes(1024))


main(int(sys.argv[1]), sys.stdout.buffer)
