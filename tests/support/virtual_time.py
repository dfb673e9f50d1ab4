"""Coroutines run as tests in a loop whose time passes only while nothing else can happen."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import looptime


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the coroutine in virtual time: hours of waiting take milliseconds."""

    def run(*args: object, **kwargs: object) -> None:
        with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
            runner.run(test(*args, **kwargs))

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]  # fixtures go by the names
    return run


def now() -> float:
    """Tell the virtual time in seconds, without the error of floating points."""
    return round(asyncio.get_running_loop().time(), 6)
