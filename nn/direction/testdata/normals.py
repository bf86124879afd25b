"""Draws a random direction's entry by the definition in random.go, for the tests.

    normals.py SEED IDX AXIS ENTRY COUNT

Output: COUNT little-endian float32.
"""

import hashlib
import math
import struct
import sys

MASK = (1 << 64) - 1


def uniforms(seed):
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        yield (z >> 11) / 2**52 - 1


def normals(seed):
    stream = uniforms(seed)
    for u, v in zip(stream, stream):
        q = u * u + v * v
        if 0 < q < 1:
            f = math.sqrt(-2 * math.log(q) / q)
            yield u * f
            yield v * f


seed, index, axis, entry, count = sys.argv[1:]
text = f"lsrun direction 1 seed={seed} idx={index} axis={axis} entry={entry}"
start = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
values = [x for x, _ in zip(normals(start), range(int(count)))]
sys.stdout.buffer.write(struct.pack(f"<{len(values)}f", *values))
