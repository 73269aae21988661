"""Runs a Pulumi program against the engine that the environment names.

The program runs as `__main__`, in the stack resource that Pulumi gives it. What goes wrong is
told in one message with the place in the program, and with what to write instead if that is
known (the hints).
"""

import asyncio
import inspect
import json
import os
import re
import runpy
import sys
import threading
import traceback

TOLD = 32


def main() -> int:
    end_with_the_engine()
    path = sys.argv[1]
    folder = os.path.dirname(os.path.abspath(path))
    # `-c` puts the working directory first, which a program's own modules come before.
    sys.path[:] = [folder] + [entry for entry in sys.path if entry != ""]
    if not os.path.exists(path):
        print(f"there is no {path}: a Pulumi program in Python begins there", file=sys.stderr)
        return 1
    try:
        import pulumi
        import pulumi.runtime
    except ImportError as error:
        print(
            f"pulumi isn't installed in {sys.prefix} ({error}): "
            "name it in requirements.txt and install that",
            file=sys.stderr,
        )
        return 1
    configure(pulumi)
    sys.argv = [path]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    program = pulumi.runtime.run_in_stack(lambda: run(path))
    try:
        loop.run_until_complete(program)
    except BaseException as error:  # Whatever ends a program ends it here.
        return tell(pulumi, error, folder)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def run(path) -> None:
    # What the module defines is no awaitable for the stack.
    runpy.run_path(path, run_name="__main__")


def configure(pulumi) -> None:
    environment = os.environ
    runtime = pulumi.runtime
    runtime.set_all_config(
        json.loads(environment["PULUMI_CONFIG"]),
        json.loads(environment["PULUMI_CONFIG_SECRET_KEYS"]),
    )
    settings = {
        "project": environment["PULUMI_PROJECT"],
        "stack": environment["PULUMI_STACK"],
        "monitor": environment["PULUMI_MONITOR"],
        "engine": environment["PULUMI_ENGINE"],
        "parallel": 16,
        "dry_run": environment["PULUMI_DRY_RUN"] == "true",
        "organization": environment["PULUMI_ORGANIZATION"],
        "root_directory": environment["PULUMI_ROOT_DIRECTORY"],
    }
    # Older versions know fewer settings.
    known = inspect.signature(runtime.Settings.__init__).parameters
    runtime.configure(
        runtime.Settings(**{name: value for name, value in settings.items() if name in known})
    )


def tell(pulumi, error, folder) -> int:
    if isinstance(error, SystemExit):
        if isinstance(error.code, str):
            pulumi.log.error(error.code)
            flush(pulumi)
            return TOLD
        return error.code or 0
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, pulumi.RunError):
        message = str(error)
    else:
        message = described(error, folder)
    try:
        pulumi.log.error(message)
        flush(pulumi)
        return TOLD
    except Exception:
        # The engine is gone: the message still has to reach someone.
        print(message, file=sys.stderr)
        return 1


def flush(pulumi) -> None:
    """Waits until what was logged has arrived."""
    manager = pulumi.runtime.settings._get_rpc_manager()
    loop = asyncio.get_event_loop()
    for rpc in list(manager.rpcs):
        if inspect.isawaitable(rpc):
            loop.run_until_complete(asyncio.wait([asyncio.ensure_future(rpc)], timeout=5))


def described(error, folder) -> str:
    """The error, the place in the program where it arose, and what to write instead."""
    lines = []
    hint = hint_for(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if frame.filename.startswith(folder + os.sep) and "site-packages" not in frame.filename
    ]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"{os.path.relpath(error.filename, folder)}:{error.lineno}: {error.msg}")
        return "\n".join(lines)
    for frame in own[-1:]:
        lines.append(f"{os.path.relpath(frame.filename, folder)}:{frame.lineno}: {frame.line}")
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    # What the engine refused says itself what is wrong.
    lines.append(str(error) if type(error) is Exception else text)
    if hint:
        lines.append(hint)
    elif not own:
        lines.extend(line.rstrip() for line in traceback.format_exception(error))
    return "\n".join(lines)


def hint_for(error):
    """What the table of hints says of a class and the attribute or argument that it lacks."""
    text = str(error)
    patterns = [
        r"'(?P<of>\w+)' object has no attribute '(?P<member>\w+)'",
        r"type object '(?P<of>\w+)' has no attribute '(?P<member>\w+)'",
        r"module '(?P<of>[\w.]+)' has no attribute '(?P<member>\w+)'",
        r"(?P<of>\w+)\.\w+\(\) got an unexpected keyword argument '(?P<member>\w+)'",
        r"(?P<of>\w+)\(\) got an unexpected keyword argument '(?P<member>\w+)'",
        r"cannot import name '(?P<member>\w+)' from '(?P<of>[\w.]+)'",
    ]
    for pattern in patterns:
        found = re.search(pattern, text)
        if not found:
            continue
        of, member = found["of"].rsplit(".", 1)[-1], found["member"]
        if of in ("_internal_init", "__init__"):
            of = class_of(error) or of
        for hint in json.loads(os.environ.get("FORETELL_HINTS", "[]")):
            if hint["member"] == member and hint["class"] in (of, "*"):
                return hint["hint"]
    return None


def end_with_the_engine():
    """The other end of the standard input is the engine's: it is closed when that has ended."""
    leash = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def wait():
        while os.read(leash, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def class_of(error):
    """The class whose making failed: that of the `self` nearest to the error."""
    trace, found = error.__traceback__, None
    while trace is not None:
        self = trace.tb_frame.f_locals.get("__self__") or trace.tb_frame.f_locals.get("self")
        found = type(self).__name__ if self is not None else found
        trace = trace.tb_next
    return found


sys.exit(main())
