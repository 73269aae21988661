"""The loop of the worker: requests in, functions called, answers out."""

import asyncio
import concurrent.futures
import importlib.metadata
import inspect
import os
import platform
import signal
import threading
import traceback

from . import logs
from .pool import PATIENCE_SECONDS, Pool
from .protocol import Channel

TRACEBACK_CHARS = 64 * 1024


class Call:
    """An invocation that runs."""

    __slots__ = ("number", "function", "invocation_id")

    def __init__(self, number, function, invocation_id):
        self.number = number
        self.function = function
        self.invocation_id = invocation_id


class Worker:
    """Runs synchronous functions on a few threads and asynchronous ones on an event loop."""

    def __init__(self, channel, log, functions, threads, output_bytes):
        from .context import Context
        from .binding import Out

        self._context_type = Context
        self._out_type = Out
        self._channel = channel
        self._log = log
        self._functions = {function.name: function for function in functions}
        self._output_bytes = output_bytes
        self.pool = Pool(self._run_sync, threads)
        self._loop = asyncio.new_event_loop()
        self._tasks = {}

    def run(self):
        """Runs the event loop on the main thread, as Azure does; never returns."""
        asyncio.set_event_loop(self._loop)
        while True:
            try:
                self._loop.run_forever()
            except BaseException:  # a task of the user's own that raised SystemExit
                self._log.line("error", traceback.format_exc())

    def accept(self, header, body):
        """Takes one request; called by the thread that reads them."""
        if header["k"] == "cancel":
            self._loop.call_soon_threadsafe(self._cancel, header["n"])
        elif self._functions[header["f"]].is_async:
            self._loop.call_soon_threadsafe(self._begin, header, body)
        else:
            self.pool.submit(header, body)

    def _run_sync(self, header, body):
        function = self._functions[header["f"]]
        call = self._enter(header)
        try:
            arguments = self._arguments(function, call, header, body)
            result = function.call(**arguments)
            if inspect.iscoroutine(result):
                result = asyncio.run_coroutine_threadsafe(result, self._loop).result()
            answer = self._outputs(function, arguments, result)
        except BaseException as error:  # SystemExit must not end the worker
            self._leave(call)
            self._fail(call, error)
        else:
            self._leave(call)
            self._done(call, answer)

    def _begin(self, header, body):
        task = self._loop.create_task(self._run_async(header, body))
        self._tasks[header["n"]] = task

    def _cancel(self, number):
        task = self._tasks.get(number)
        if task is not None:
            task.cancel()

    async def _run_async(self, header, body):
        function = self._functions[header["f"]]
        call = self._enter(header)
        try:
            arguments = self._arguments(function, call, header, body)
            result = await function.call(**arguments)
            answer = self._outputs(function, arguments, result)
        except BaseException as error:
            self._leave(call)
            self._fail(call, error)
        else:
            self._leave(call)
            self._done(call, answer)
        finally:
            self._tasks.pop(call.number, None)

    def _enter(self, header):
        call = Call(header["n"], header["f"], header["i"])
        self._log.running[call.invocation_id] = call
        logs.current.set(call)
        return call

    def _leave(self, call):
        logs.finish_streams()
        logs.current.set(None)
        self._log.running.pop(call.invocation_id, None)

    def _arguments(self, function, call, header, body):
        arguments = {}
        at = 0
        for source, size in zip(function.inputs, header["p"]):
            data = None
            if size is not None:
                data = body[at : at + size]
                at += size
            arguments[source.name] = source.decode(data)
        for output in function.outputs:
            arguments[output.name] = self._out_type()
        if function.wants_context:
            arguments["context"] = self._context_type(call, header)
        return arguments

    def _outputs(self, function, arguments, result):
        """[[name, kind, bytes], …] of what was set, and the bytes themselves."""
        names, parts, total = [], [], 0
        values = [(output, arguments[output.name].get()) for output in function.outputs]
        if function.returns is not None:
            values.append((function.returns, result))
        elif result is not None:
            raise RuntimeError(
                f"function {function.name!r} without a $return binding returned a non-None value"
            )
        for output, value in values:
            encoded = None if value is None else output.encode(value)
            if encoded is None:
                continue
            kind, data = encoded
            names.append([output.name, kind, len(data)])
            parts.append(data)
            total += len(data)
        if total > self._output_bytes:
            raise ValueError(
                f"the outputs have {total} bytes: at most {self._output_bytes} are allowed"
            )
        return names, parts

    def _done(self, call, answer):
        names, parts = answer
        self._channel.send({"k": "done", "n": call.number, "o": names}, parts)

    def _fail(self, call, error):
        self._channel.send({"k": "failed", "n": call.number, **describe(error)})


def describe(error):
    """An exception as its last line and its traceback, without the worker's own frames."""
    frames = error.__traceback__
    own = os.path.dirname(__file__)
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(own):
        frames = frames.tb_next
    try:
        last = "".join(traceback.format_exception_only(type(error), error)).strip()
        text = "".join(traceback.format_exception(type(error), error, frames)).strip()
    except Exception:  # an exception whose own __str__ raises
        last = text = type(error).__name__
    if len(text) > TRACEBACK_CHARS:
        text = text[: TRACEBACK_CHARS // 2] + "\n…\n" + text[-TRACEBACK_CHARS // 2 :]
    return {"e": last[:TRACEBACK_CHARS], "t": text}


def read(frames, loaded):
    """Takes requests until the host is gone, which ends the process, also while the app is still
    being imported."""
    try:
        for header, body in frames:
            # The host sends requests only when the app is loaded.
            worker = loaded.result()
            if header is not None:
                worker.accept(header, body)
            worker.pool.nudge()
    finally:
        os._exit(0)


def load(channel, log, limits):
    """The app of the working directory: a worker for it, and what the host is told."""
    from . import index

    functions = index.load(os.getcwd())
    worker = Worker(channel, log, functions, limits["threads"], limits["output_bytes"])
    return worker, {
        "k": "ready",
        "functions": [function.describe() for function in functions],
        "python": platform.python_version(),
        "library": importlib.metadata.version("azure-functions"),
    }


def main():
    """Says what the app holds (or why it can't be loaded), then serves."""
    channel = Channel()
    log = logs.Logs(channel)
    # The terminal's Ctrl-C is the host's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loaded = concurrent.futures.Future()

    def patience():
        """How long to wait for the next request before the pool is looked after."""
        behind = loaded.done() and loaded.result().pool.is_behind()
        return PATIENCE_SECONDS if behind else None

    frames = channel.frames(patience)
    limits, _ = next(frames, (None, None))
    if limits is None:
        os._exit(0)
    threading.Thread(target=read, args=(frames, loaded), name="requests", daemon=True).start()
    logs.install(log)
    try:
        worker, ready = load(channel, log, limits)
    except BaseException as error:  # SystemExit at the top level of a module, too
        channel.send({"k": "broken", **describe(error)})
        os._exit(1)
    loaded.set_result(worker)
    channel.send(ready)
    worker.run()
