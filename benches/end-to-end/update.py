"""Prints what a client fetches of the second layout's image when it has that of the first.

A client takes what it has by the digest of a file or of a chunk, and TOC and tar-split always.
"""

import json
import pathlib
import subprocess
import sys

PREFIX = "io.github.containers.zstd-chunked."


def blob(layout, descriptor):
    return layout / "blobs" / descriptor["digest"].replace(":", "/", 1)


def layers(layout):
    index = json.loads((layout / "index.json").read_bytes())
    return json.loads(blob(layout, index["manifests"][0]).read_bytes())["layers"]


def pieces(layout, layer):
    """Digest, files' digest and length in the blob of all that is not a hole."""
    offset, length = layer["annotations"][PREFIX + "manifest-position"].split(":")[:2]
    with blob(layout, layer).open("rb") as file:
        file.seek(int(offset))
        frame = file.read(int(length))
    toc = subprocess.run(["zstd", "-dcq"], input=frame, stdout=subprocess.PIPE, check=True).stdout
    whole = None
    for entry in json.loads(toc)["entries"]:
        if entry["type"] == "reg":
            whole = entry.get("digest")
        if entry["type"] in ("reg", "chunk") and entry.get("chunkType") != "zeros":
            length = entry.get("endOffset", 0) - entry.get("offset", 0)
            if length > 0:
                yield entry.get("chunkDigest") or whole, whole, length


def main(old, new):
    known = set()
    for layer in layers(old):
        for chunk, whole, _ in pieces(old, layer):
            known |= {chunk, whole}
    size = fetched = 0
    for layer in layers(new):
        size += layer["size"]
        for key in ("manifest-position", "tarsplit-position"):
            fetched += int(layer["annotations"][PREFIX + key].split(":")[1])
        for chunk, whole, length in pieces(new, layer):
            if chunk not in known and whole not in known:
                fetched += length
                known.add(chunk)
    print(f"{fetched / 1e6:.2f} of {size / 1e6:.2f} MB")


main(*map(pathlib.Path, sys.argv[1:]))
