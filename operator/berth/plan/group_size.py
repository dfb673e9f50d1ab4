"""How much CPU and memory a container group gets: in Azure's steps, at least what Azure asks for."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from berth.api.compute_target import AciPlace
from berth.api.serving import Resources
from berth.plan.diff import quantity
from berth.plan.subject import Subject

CPU_STEP = Decimal("0.01")
MEMORY_STEP = Decimal("0.1")
GB = Decimal(10**9)

_LEAST = Decimal(1)
_UNCHANGED = Resources()


@dataclass(frozen=True, slots=True)
class Size:
    """CPU in cores, memory in GB."""

    cpu: float
    memory_in_gb: float


def group_size(subject: Subject, place: AciPlace) -> Size:
    """Return the size of the only container, which has its group to itself.

    A limit is a size, too: Azure lets no container use more than its group has asked for.
    """
    resources = subject.spec.resources
    if resources == _UNCHANGED:
        defaults = place.defaults.resources
        return _size(_number(defaults.cpu), _number(defaults.memory))
    limits = resources.limits or {}
    return _size(
        max(_number(resources.requests.cpu), _number(limits.get("cpu", "0"))),
        max(_number(resources.requests.memory), _number(limits.get("memory", "0"))),
    )


def _size(cpu: Decimal, memory: Decimal) -> Size:
    return Size(float(_stepped(cpu, CPU_STEP)), float(_stepped(memory / GB, MEMORY_STEP)))


def _stepped(value: Decimal, step: Decimal) -> Decimal:
    return max(value.quantize(step, ROUND_CEILING), _LEAST)


def _number(text: str) -> Decimal:
    return quantity(text) or Decimal(0)
