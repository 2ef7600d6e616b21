"""Requests without pause, while something is done to a cluster."""

import threading
import time


class Load:
    """Calls `once` in a thread until the end; keeps what failed and when."""

    def __init__(self, once, pause=0.02):
        self.once, self.pause = once, pause
        self.good, self.failures = 0, []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop.is_set():
            start = time.monotonic()
            try:
                self.once()
                self.good += 1
            except Exception as e:  # noqa: BLE001: whatever it is, it is a failed request
                self.failures.append((start, time.monotonic() - start, repr(e)[:300]))
            self.stop.wait(self.pause)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stop.set()
        self.thread.join(timeout=60)

    def longest_gap(self):
        """Seconds from the first to the last of failures that follow each other."""
        longest, begin, last = 0.0, None, None
        for at, took, _ in self.failures:
            if begin is None or at - last > 1.0:
                begin = at
            last = at + took
            longest = max(longest, last - begin)
        return longest
