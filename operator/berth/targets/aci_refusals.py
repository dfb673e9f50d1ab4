"""What Azure has refused to those who write: reads tell nothing of it, and a ComputeTarget is only read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from berth.api.compute_target import AciPlace
from berth.api.conditions import Reason
from berth.core.errors import Terminal
from berth.plan.azure_errors import LINKED
from berth.targets.azure import Site

_OF_ALL = frozenset(
    {
        Reason.AUTHORIZATION_FAILED,
        Reason.CAPACITY_UNAVAILABLE,
        Reason.READ_ONLY_DISABLED_SUBSCRIPTION,
        Reason.RESOURCE_GROUP_NOT_FOUND,
        Reason.SUBSCRIPTION_NOT_FOUND,
    }
)
_REMEMBERED_SECONDS = 600.0
"""Whoever was refused tries again before, unless it is gone."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    at: float
    error: Terminal


class Refusals:
    """Keeps the last refusal of each resource group that concerns all who use it, until a write is taken."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], _Refusal] = {}

    @contextmanager
    def heard(self, site: Site) -> Iterator[None]:
        """Hear how a write ends."""
        try:
            yield
        except Terminal as error:
            if error.reason in _OF_ALL and _is_of_all(site.place, error):
                self._told[_key(site)] = _Refusal(self._clock(), error)
            raise
        self._told.pop(_key(site), None)

    def of(self, site: Site) -> Terminal | None:
        """Return what is still refused, as far as is known."""
        refusal = self._told.get(_key(site))
        if refusal and self._clock() - refusal.at >= _REMEMBERED_SECONDS:
            del self._told[_key(site)]
            return None
        return refusal.error if refusal else None


def _is_of_all(place: AciPlace, error: Terminal) -> bool:
    """Tell whether a refusal is about the place, and not about what one ModelDeployment alone refers to."""
    if not error.message.startswith(LINKED):
        return True
    registries = place.defaults.registries or ()
    shared = filter(None, [place.defaults.subnet_id, *(registry.identity for registry in registries)])
    return any(each.lower() in error.message.lower() for each in shared)


def _key(site: Site) -> tuple[str, str]:
    return site.place.subscription_id.lower(), site.resource_group.lower()
