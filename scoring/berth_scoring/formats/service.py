"""A loaded model behind the queue: requests that wait together are answered by one call."""

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from berth_scoring.config import ModelSource
from berth_scoring.execution import InlineQueue, Lane, WorkQueue
from berth_scoring.formats.base import FormatModel, InputError, Tensors, TensorSpec
from berth_scoring.messages import Refusal, Request

INLINE_SECONDS = 200e-6
"""A model that takes less for a row answers sooner on the event loop than a thread could take over."""
TRIAL_ROWS = 64
SHARED_BY = 16
"""How many requests are thought to share what a call takes beside its rows."""
WARM_UPS = 5

Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """What one request asks of a model."""

    inputs: Inputs
    outputs: tuple[str, ...]

    @property
    def rows(self) -> int:
        """The number of rows, one for scalars."""
        return max([array.shape[0] if array.shape else 1 for array in self.inputs.values()])

    @property
    def kind(self) -> tuple[object, ...]:
        """Calls of one kind may be joined."""
        return self.outputs, tuple(
            (name, array.dtype, array.shape[1:]) for name, array in self.inputs.items()
        )


class ModelService:
    """One model under its name and version."""

    def __init__(
        self, source: ModelSource, model: FormatModel, queue: WorkQueue, inline: InlineQueue
    ) -> None:
        self.name = source.name
        self.version = source.version
        self.model = model
        self._queue = queue
        self._inline = inline
        max_batch = model.max_batch if model.max_batch > 1 and rows_stand_alone(model) else 1
        self._seconds_per_row = seconds_per_row(model, max_batch)
        self._lane: Lane[Call, Tensors] = Lane(lambda calls: answer_together(model, calls), max_batch)

    async def predict(self, request: Request, inputs: Inputs, outputs: tuple[str, ...]) -> Tensors:
        """Wait for the model's outputs; a refusal says what was wrong with the values."""
        call = Call(inputs, outputs)
        fits = self._inline.reserve(call.rows * self._seconds_per_row)
        queue = self._inline if fits else self._queue
        try:
            return await queue.submit(self._lane, call, request.disconnect)
        except InputError as error:
            raise Refusal(400, f"The model refused the values: {error}") from error


def seconds_per_row(model: FormatModel, max_batch: int) -> float:
    """Measure what a row takes, among others if it may; infinite for one that is slow or refuses zeros."""
    row = Call({spec.name: _row_of(spec, 0) for spec in model.inputs}, model.primary)
    alone = _seconds(model, row)
    if alone > INLINE_SECONDS:
        return math.inf
    if max_batch == 1:
        return alone
    among_others = (_seconds(model, join([row] * TRIAL_ROWS)) - alone) / (TRIAL_ROWS - 1)
    return max(among_others, alone / SHARED_BY)


def _seconds(model: FormatModel, call: Call) -> float:
    times = []
    for _ in range(WARM_UPS):
        started = time.perf_counter()
        if isinstance(_attempt(model, call), Exception):
            return math.inf
        times.append(time.perf_counter() - started)
    return min(times)


def rows_stand_alone(model: FormatModel) -> bool:
    """Whether a row among others gets the answer that it gets alone: a first dimension may be time, say."""
    outputs = tuple(spec.name for spec in model.outputs)
    calls = [Call({spec.name: _row_of(spec, value) for spec in model.inputs}, outputs) for value in range(3)]
    together = _attempt(model, join(calls))
    parts = [] if isinstance(together, Exception) else split(together, [call.rows for call in calls])
    alone = [_attempt(model, call) for call in calls]
    return bool(parts) and all(_agree(part, answer) for part, answer in zip(parts, alone, strict=True))


def _row_of(spec: TensorSpec, value: int) -> NDArray[Any]:
    shape = [length or 1 for length in spec.shape]
    return np.full(shape, str(value) if spec.dtype.kind == "O" else value, spec.dtype)


def _agree(part: Tensors, answer: Tensors | Exception) -> bool:
    return not isinstance(answer, Exception) and all(
        part[name].shape == array.shape and _close(part[name], array) for name, array in answer.items()
    )


def _close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind == "f":
        # A larger product may be summed in another order.
        return np.allclose(one, other, rtol=1e-3, atol=1e-6, equal_nan=True)
    return np.array_equal(one, other)


def answer_together(model: FormatModel, calls: Sequence[Call]) -> list[Tensors | Exception]:
    """Answer each call, those of a kind by one call of the model."""
    kinds = defaultdict(list)
    for index, call in enumerate(calls):
        kinds[call.kind].append(index)
    answers: dict[int, Tensors | Exception] = {}
    for indexes in kinds.values():
        answers |= zip(indexes, _answer_alike(model, [calls[index] for index in indexes]), strict=True)
    return [answers[index] for index in range(len(calls))]


def _answer_alike(model: FormatModel, calls: list[Call]) -> list[Tensors | Exception]:
    if len(calls) == 1:
        return [_attempt(model, calls[0])]
    joined = _attempt(model, join(calls))
    if isinstance(joined, Exception):
        # One bad request must not fail its neighbours: each gets its own answer.
        return [_attempt(model, call) for call in calls]
    parts = split(joined, [call.rows for call in calls])
    return list(parts) if parts else [_attempt(model, call) for call in calls]


def _attempt(model: FormatModel, call: Call) -> Tensors | Exception:
    try:
        return model.predict(call.inputs, call.outputs)
    except Exception as error:  # noqa: BLE001 - whatever a model raises is the answer of this one request
        return error


def join(calls: Sequence[Call]) -> Call:
    """Put the rows of calls of one kind below each other."""
    first = calls[0]
    inputs = {name: np.concatenate([call.inputs[name] for call in calls]) for name in first.inputs}
    return Call(inputs, first.outputs)


def split(outputs: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Take joined outputs apart again; none if an output does not have a row per row of input."""
    if any(array.shape[:1] != (sum(rows),) for array in outputs.values()):
        return []
    parts = []
    start = 0
    for count in rows:
        parts.append({name: array[start : start + count] for name, array in outputs.items()})
        start += count
    return parts
