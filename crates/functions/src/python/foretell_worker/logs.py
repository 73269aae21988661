"""Log lines of the user's code, attributed to the invocation that wrote them."""

import contextvars
import io
import logging
import sys
import threading
import traceback

# The invocation that runs here: an object with number, function and invocation_id, or None.
current = contextvars.ContextVar("foretell_invocation", default=None)

# Azure's way to attribute lines of threads that the user starts:
# `context.thread_local_storage.invocation_id = context.invocation_id`.
thread_local_storage = threading.local()

MESSAGE_CHARS = 32 * 1024


class Logs:
    """Sends lines to the host."""

    def __init__(self, channel):
        self._channel = channel
        # Invocations that run now, by their id.
        self.running = {}

    def line(self, level, message):
        """One line, or several at once where the message has several."""
        call = current.get()
        if call is None:
            call = self.running.get(getattr(thread_local_storage, "invocation_id", None))
        if len(message) > MESSAGE_CHARS:
            message = message[:MESSAGE_CHARS] + "… (cut)"
        header = {"k": "log", "l": level, "m": message}
        if call is not None:
            header["f"] = call.function
            header["i"] = call.invocation_id
        self._channel.send(header)


class Handler(logging.Handler):
    """The root logger's handler."""

    def __init__(self, logs):
        super().__init__()
        self._logs = logs

    def emit(self, record):
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                message += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
            if record.name != "root":
                message = f"{record.name}: {message}"
            self._logs.line(_level(record.levelno), message)
        except Exception:
            self.handleError(record)


def _level(number):
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


class Stream(io.TextIOBase):
    """Stands in for sys.stdout and sys.stderr: whole lines become log lines."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, logs, descriptor):
        super().__init__()
        self._logs = logs
        self._descriptor = descriptor
        self._rest = threading.local()
        # Bytes written past the text layer go to the process's standard error, as they are.
        self.buffer = open(descriptor, "wb", buffering=0, closefd=False)

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        pending = getattr(self._rest, "text", "") + text
        if "\n" in pending or len(pending) > MESSAGE_CHARS:
            whole, _, rest = pending.rpartition("\n")
            self._rest.text = rest
            for line in whole.split("\n"):
                if line.strip():
                    self._logs.line("info", line.rstrip("\r"))
        else:
            self._rest.text = pending
        return len(text)

    def finish(self):
        """Sends what this thread wrote without a newline."""
        rest = getattr(self._rest, "text", "")
        if rest:
            self._rest.text = ""
            self._logs.line("info", rest)

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def isatty(self):
        return False


def install(logs):
    """Makes every way of writing a line end in `logs`."""
    root = logging.getLogger()
    root.addHandler(Handler(logs))
    # The level of Azure's worker.
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.stdout = Stream(logs, 1)
    sys.stderr = Stream(logs, 2)


def finish_streams():
    """Called when an invocation ends: text without a newline is still its own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.finish()
