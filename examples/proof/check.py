#!/usr/bin/env python3
"""Checks a proof that `foretell prove TOPIC POSITION --out FILE` made, without Foretell.

    pip install blake3
    python3 check.py proof.json ROOT

Written from docs/format.md alone ("Frame", "Body of an event", "Hash tree"). Prints the event
that is proven; exits with 1 if the proof is void or leads to another root.
"""

import base64
import json
import struct
import sys

from blake3 import blake3


def require(holds: bool, what: str) -> None:
    """Not an assertion, which Python can be told to leave out."""
    if not holds:
        raise ValueError(what)


def h(what: bytes, *parts: bytes) -> bytes:
    """BLAKE3 under the key that says what is hashed."""
    return blake3(b"".join(parts), key=blake3(b"foretell %s 1" % what).digest()).digest()


def root_of(proof: dict) -> bytes:
    """The root that the proof leads to; fails where it leads nowhere."""
    frame = base64.b64decode(proof["frame"], validate=True)
    require(len(frame) == struct.unpack_from("<I", frame)[0], "the frame has another length")
    path, peaks = ([bytes.fromhex(text) for text in proof[name]] for name in ("path", "peaks"))
    leaf, leaves = proof["leaf"], proof["leaves"]
    require(0 <= leaf < leaves < 2**64 and leaves.bit_count() == len(peaks), "wrong numbers")
    begin = 0
    for peak, height in enumerate(n for n in reversed(range(64)) if leaves >> n & 1):
        begin += 1 << height
        if leaf < begin:
            break
    require(len(path) == height, "the path has another length")
    node = h(b"leaf", frame[8:40], blake3(frame[40:]).digest())
    for level, neighbour in enumerate(path):
        pair = (neighbour, node) if leaf >> level & 1 else (node, neighbour)
        node = h(b"node", *pair)
    require(node == peaks[peak], "the event's hash does not lead to its peak")
    bagged = peaks[-1]
    for left in reversed(peaks[:-1]):
        bagged = h(b"node", left, bagged)
    return h(b"root", struct.pack("<Q", leaves), bagged)


def event_of(proof: dict) -> dict:
    """What the frame says of the event."""
    frame = base64.b64decode(proof["frame"])
    topic, position = struct.unpack_from("<IQ", frame, 12)
    body = frame[40:]
    flags, lengths = body[1], struct.unpack_from("<4H", body, 4)
    at, texts = 24 + 16 * (flags & 1), []
    for length in lengths:
        texts.append(body[at : at + length].decode())
        at += length
    names = ("id", "source", "type", "subject")
    return {"topic_number": topic, "position": position, **dict(zip(names, texts))}


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: check.py PROOF ROOT", file=sys.stderr)
        return 2
    with open(sys.argv[1], encoding="utf-8") as file:
        proof = json.load(file)
    try:
        require(proof["version"] == 1, "it has another version")
        root = root_of(proof)
        event = event_of(proof)
        require(proof["position"] == event["position"], "its position is not the event's")
        require(proof["root"] == root.hex(), "its root is not the one that it leads to")
    except (KeyError, ValueError, struct.error) as error:
        print(f"void: {error}", file=sys.stderr)
        return 1
    if root.hex() != sys.argv[2]:
        print(f"void: it leads to root {root.hex()}", file=sys.stderr)
        return 1
    print(json.dumps(event, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
