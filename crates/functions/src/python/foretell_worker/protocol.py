"""Frames between host and worker.

A frame is two little-endian 32-bit lengths (header, body), a JSON header, and a body: the parts
that the header names, one after the other. Blobs and events travel in bodies, as they are.
"""

import json
import os
import select
import struct
import threading

_LENGTHS = struct.Struct("<II")
_READ_BYTES = 1 << 18
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


class Channel:
    """Both directions. Frames are read by one thread and written by any."""

    def __init__(self):
        """Takes standard input and output away from everyone else: what the user's code prints
        goes to standard error, what it reads is empty."""
        self._input = os.dup(0)
        self._output = os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def frames(self, patience):
        """All frames to come, as (header, body), and (None, None) whenever none has come for the
        seconds that `patience` returned; ends when the host closes its end or is gone."""
        buffer = bytearray()
        while True:
            start = 0
            while len(buffer) - start >= _LENGTHS.size:
                header_bytes, body_bytes = _LENGTHS.unpack_from(buffer, start)
                body_at = start + _LENGTHS.size + header_bytes
                end = body_at + body_bytes
                if len(buffer) < end:
                    break
                header = _decode(str(buffer[start + _LENGTHS.size : body_at], "utf-8"))
                yield header, bytes(buffer[body_at:end])
                start = end
            del buffer[:start]
            seconds = patience()
            if seconds is not None and not select.select([self._input], [], [], seconds)[0]:
                yield None, None
                continue
            try:
                read = os.read(self._input, _READ_BYTES)
            except OSError:
                return
            if not read:
                return
            buffer += read

    def send(self, header, parts=()):
        """Writes one frame. A host that is gone ends the process."""
        # A lone surrogate has no UTF-8 form; in a log line or a traceback it may become "?".
        head = _encode(header).encode("utf-8", "replace")
        lengths = _LENGTHS.pack(len(head), sum(map(len, parts)))
        frame = b"".join((lengths, head, *parts))
        try:
            with self._lock:
                written = os.write(self._output, frame)
                while written < len(frame):
                    frame = memoryview(frame)[written:]
                    written = os.write(self._output, frame)
        except OSError:
            os._exit(0)
