"""What `context: func.Context` gives to a function."""

import os

import azure.functions as func
from azure.functions import _abc

from . import logs


class TraceContext(_abc.TraceContext):
    """W3C trace context of the event, if its publisher sent one."""

    def __init__(self, parent, state, replayed):
        self._parent = parent
        self._state = state
        self._replayed = replayed

    @property
    def trace_parent(self):
        return self._parent

    @property
    def trace_state(self):
        return self._state

    @property
    def attributes(self):
        # By the name of the header that webhooks get.
        return {"foretell-replayed": "true"} if self._replayed else {}

    # The names that Azure's worker has beside those of the interface.
    Traceparent = trace_parent
    Tracestate = trace_state
    Attributes = attributes


class RetryContext(_abc.RetryContext):
    """Attempts before this one."""

    def __init__(self, count, most):
        self._count = count
        self._most = most

    @property
    def retry_count(self):
        return self._count

    @property
    def max_retry_count(self):
        return self._most

    @property
    def exception(self):
        return None


class Context(func.Context):
    """Made for each invocation of a function that asks for it."""

    def __init__(self, call, header):
        self._call = call
        self._header = header

    @property
    def invocation_id(self):
        return self._call.invocation_id

    @property
    def thread_local_storage(self):
        return logs.thread_local_storage

    @property
    def function_name(self):
        return self._call.function

    @property
    def function_directory(self):
        return os.getcwd()

    @property
    def trace_context(self):
        header = self._header
        return TraceContext(header.get("tp", ""), header.get("ts", ""), header.get("r", False))

    @property
    def retry_context(self):
        return RetryContext(self._header.get("a", 0), self._header.get("am", 0))
