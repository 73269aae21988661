"""Threads for synchronous functions, as few awake as the work needs.

Under Python's one interpreter lock, threads that take turns at short functions spend more time on
the turns than on the functions. So one thread drains the queue, and another one is woken only when
the queue has made no progress for a moment: its functions wait for something.
"""

import collections
import threading
import time

PATIENCE_SECONDS = 0.001


class Pool:
    """Runs `run(*item)` for each item that is submitted, in their order, on up to `threads`."""

    def __init__(self, run, threads):
        self._run = run
        self._threads = threads
        self._lock = threading.Lock()
        self._items = collections.deque()
        # The locks that sleeping threads wait for.
        self._asleep = []
        self._progress = time.monotonic()
        for number in range(threads):
            name = f"function-{number}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    def submit(self, *item):
        """Called by one thread only."""
        with self._lock:
            if not self._items:
                self._progress = time.monotonic()
            self._items.append(item)
            if len(self._asleep) == self._threads:
                self._asleep.pop().release()

    def is_behind(self):
        """Whether items wait: `nudge` is to be called every few moments then."""
        return bool(self._items)

    def nudge(self):
        """Wakes a thread if the others make no progress."""
        with self._lock:
            now = time.monotonic()
            stuck = self._items and now - self._progress >= PATIENCE_SECONDS
            if stuck and self._asleep:
                self._progress = now
                self._asleep.pop().release()

    def _serve(self):
        awake = threading.Lock()
        awake.acquire()
        while True:
            item = None
            with self._lock:
                if self._items:
                    item = self._items.popleft()
                    self._progress = time.monotonic()
                else:
                    self._asleep.append(awake)
            if item is None:
                awake.acquire()
            else:
                self._run(*item)
                # What an invocation held is not kept until the next one.
                del item
