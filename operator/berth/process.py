"""The process of the operator: its memory, its event loop and its exit code."""

import gc
import logging
from contextlib import AsyncExitStack

import uvloop

from berth.app import Operator
from berth.core.errors import ReconcileError, describe
from berth.kube.lease import LeaseLost
from berth.settings import Settings
from berth.telemetry import logs

logger = logging.getLogger(__name__)

_YOUNG_OBJECTS = 10_000


def run(settings: Settings) -> int:
    """Run the operator until a signal ends it; the exit code is 1 where it cannot go on."""
    logs.configure(settings.log_level)
    # The modules stay for ever, and most of what a pass makes dies at once: both need no look.
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    code = 0
    try:
        uvloop.run(_run(settings))
    except* (LeaseLost, ReconcileError) as errors:
        logger.error("The operator cannot go on: %s", describe(errors))  # noqa: TRY400
        code = 1
    # Whatever else ends it is a bug, of which one line of the log is to tell as well.
    except* Exception as errors:
        logger.exception("The operator failed: %s", describe(errors))  # noqa: TRY401 - for eyes that skip traces
        code = 1
    return code


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as closing:
        await Operator(settings, closing).run()
