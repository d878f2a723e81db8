"""Changes each file of a folder in few places: 20 in a file of more than 10 MB, otherwise one in the
middle. Every second change inserts bytes, the others overwrite them."""

import pathlib
import random
import sys

random.seed(1)
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    content = bytearray(path.read_bytes())
    size = len(content)
    places = [size // 2] if size < 10_000_000 else random.sample(range(size), 20)
    for number, place in enumerate(sorted(places, reverse=True)):
        new = random.randbytes(random.randrange(8, 200))
        content[place : place if number % 2 == 0 else place + len(new)] = new
    path.write_bytes(content)
