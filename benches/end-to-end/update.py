"""Prints what a client fetches of the second layout's image when it has that of the first.

A client takes what it has by the digest of a file, or of a chunk if its file system shares blocks
between files, and fetches TOC and tar-split of each new layer. Ranges that are up to 1024 bytes
apart become one, and so do the closest ones if there are more than 1024.
"""

import json
import pathlib
import subprocess
import sys

PREFIX = "io.github.containers.zstd-chunked."
GAP = RANGES = 1024


def blob(layout, descriptor):
    return layout / "blobs" / descriptor["digest"].replace(":", "/", 1)


def layers(layout):
    index = json.loads((layout / "index.json").read_bytes())
    return json.loads(blob(layout, index["manifests"][0]).read_bytes())["layers"]


def position(layer, key):
    return [int(part) for part in layer["annotations"][PREFIX + key].split(":")]


def files(layout, layer):
    """Each file that is not empty: its digest, and digest, start and end of each of its chunks. A
    chunk without data to fetch ends where it starts."""
    offset, length = position(layer, "manifest-position")[:2]
    with blob(layout, layer).open("rb") as file:
        file.seek(offset)
        frame = file.read(length)
    toc = subprocess.run(["zstd", "-dcq"], input=frame, stdout=subprocess.PIPE, check=True).stdout
    entries = [e for e in json.loads(toc)["entries"] if e["type"] in ("reg", "chunk") and e.get("offset")]
    for number, entry in enumerate(entries):
        if entry["type"] == "chunk":
            continue
        chunks = [entry]
        for other in entries[number + 1 :]:
            if other["type"] != "chunk":
                break
            chunks.append(other)
        ends = [chunk["offset"] for chunk in chunks[1:]] + [entry["endOffset"]]
        yield entry["digest"], [
            (
                chunk.get("chunkDigest", entry["digest"]),
                chunk["offset"],
                chunk["offset"] if chunk.get("chunkType") == "zeros" else end,
            )
            for chunk, end in zip(chunks, ends)
        ]


def fetched(old, new, with_chunks):
    known_files, known_chunks = set(), set()
    held = layers(old)
    for layer in held:
        for digest, chunks in files(old, layer):
            known_files.add(digest)
            known_chunks.add(digest)
            known_chunks.update(chunk for chunk, _, _ in chunks)
    total = 0
    for layer in layers(new):
        if layer["digest"] in [other["digest"] for other in held]:
            continue
        total += position(layer, "manifest-position")[1] + position(layer, "tarsplit-position")[1]
        ranges = [
            (start, end)
            for digest, chunks in files(new, layer)
            if digest not in known_files
            for chunk, start, end in chunks
            if start < end and not (with_chunks and chunk in known_chunks)
        ]
        total += sum(end - start for start, end in ranges)
        gaps = sorted(after[0] - before[1] for before, after in zip(ranges, ranges[1:]))
        near = max(sum(gap <= GAP for gap in gaps), len(ranges) - RANGES)
        total += sum(gaps[:near])
    return total


def main(old, new):
    size = sum(layer["size"] for layer in layers(new))
    whole, chunks = (fetched(old, new, with_chunks) for with_chunks in (False, True))
    print(f"{whole / 1e6:.2f} MB by files, {chunks / 1e6:.2f} by chunks, of {size / 1e6:.2f}")


main(*map(pathlib.Path, sys.argv[1:]))
