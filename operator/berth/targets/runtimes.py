"""Asks pipelines what they run on: once for each rollout, beside the workers, and more seldom in vain."""

from collections.abc import Callable, Mapping
from typing import Protocol

from berth.core.errors import ReconcileError
from berth.core.keys import Key
from berth.plan.fpga_plan import Runtime
from berth.targets.inquiries import Inquiries, Reply

_DEVICE, _PROVIDER = "x-berth-device", "x-berth-execution-provider"
_LONGEST_PAUSE = 300.0


class Ask(Protocol):
    """Sends a GET; raises Transient where it is not answered with 200."""

    async def __call__(self, url: str) -> Mapping[str, str]:
        """Return the headers of the answer."""


class Runtimes:
    """Knows what each ModelDeployment has said, and calls `wake` when one has said something."""

    def __init__(self, ask: Ask, wake: Callable[[Key], None]) -> None:
        self._ask = ask
        self._inquiries = Inquiries[tuple[str, str], Runtime](wake, _LONGEST_PAUSE)

    def told(self, key: Key, root: str, serving: str) -> Runtime | None:
        """Return what the Pods with this hash have said, or None and start asking."""
        return self._inquiries.answer(key, (root, serving), lambda: self._reply(root))

    def forget(self, key: Key) -> None:
        """Ask no more for this ModelDeployment."""
        self._inquiries.forget(key)

    def end(self) -> None:
        """Ask nobody any more."""
        self._inquiries.end()

    async def _reply(self, root: str) -> Reply[Runtime]:
        try:
            headers = await self._ask(f"{root}/")
        except ReconcileError:
            return Reply(None, is_final=False)
        return Reply(_read(headers), is_final=True)


def _read(headers: Mapping[str, str]) -> Runtime | None:
    device, provider = headers.get(_DEVICE), headers.get(_PROVIDER)
    return Runtime.said(device, provider) if device and provider else None
