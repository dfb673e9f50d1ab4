"""Whether the device is there and answers: neither Kubernetes nor ONNX Runtime would tell."""

import asyncio
import glob
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from berth_scoring.startup import StartupError

logger = logging.getLogger(__name__)


class Device:
    """The device's files and its answer to a test; `failure` says what is wrong."""

    def __init__(self, files: Sequence[Path], test_seconds: float) -> None:
        self._files = files
        self._test_seconds = test_seconds
        self._is_suspect = False
        self.failure: str | None = None

    def suspect(self) -> None:
        """Have the device tested: a run has failed, and what was asked for was sound."""
        self._is_suspect = True

    async def check(self, test: Callable[[], None]) -> None:
        """Look after the files, and test a device that is under suspicion; a test raises if it fails."""
        failure = self._missing()
        if failure is None and self._is_suspect:
            failure = await self._tested(test)
            self._is_suspect = failure is not None
        if failure != self.failure:
            logger.warning("The device has changed: %s", failure or "it answers again")
        self.failure = failure

    def _missing(self) -> str | None:
        gone = [str(path) for path in self._files if not path.exists()]
        return f"the device is gone: {', '.join(gone)}" if gone else None

    async def _tested(self, test: Callable[[], None]) -> str | None:
        try:
            await asyncio.wait_for(asyncio.to_thread(test), self._test_seconds)
        except TimeoutError:
            return f"the device has not answered a test within {self._test_seconds:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a provider raises, the device does not answer
            return f"the device has failed a test: {error}"
        return None


def device_files(patterns: Sequence[str]) -> list[Path]:
    """Return the files of the device, which must be there and open to this process."""
    found = []
    for pattern in patterns:
        paths = [Path(name) for name in sorted(glob.glob(pattern))]  # noqa: PTH207 - the pattern is a whole path
        if not paths:
            raise StartupError("DeviceUnavailable", f"no device at {pattern}: was one allocated to this Pod?")
        found += paths
    for path in found:
        _open_once(path)
    return found


def _open_once(path: Path) -> None:
    try:
        if not path.is_dir():
            path.open("rb", buffering=0).close()
    except OSError as error:
        raise StartupError("DeviceUnavailable", f"cannot open {path}: {error.strerror}") from error
