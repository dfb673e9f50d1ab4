"""What a hub counts: queries over twins, and metrics of configurations, as old as their last run."""

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from berth_sandbox.azure.iot_hub import documents, etags
from berth_sandbox.azure.iot_hub.agent import Situation
from berth_sandbox.azure.iot_hub.configuration import Configuration
from berth_sandbox.azure.iot_hub.device import Device
from berth_sandbox.azure.iot_hub.errors import invalid_argument
from berth_sandbox.azure.iot_hub.fleet import Deployment, Fleet
from berth_sandbox.azure.iot_hub.query import parser
from berth_sandbox.azure.iot_hub.query.expressions import UNDEFINED, at
from berth_sandbox.azure.iot_hub.query.parser import Query
from berth_sandbox.azure.names import Document

LARGEST_PAGE = 1000
SUCCESS = 200
Results = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Page:
    """A part of what a query finds; without a continuation it is the last."""

    items: list[Document]
    item_type: str
    continuation: str | None = None


class Metrics:
    """Answers queries about a fleet as it was a little while ago."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._results: dict[str, tuple[float, Results]] = {}

    def results(self, deployment: Deployment, now: float) -> Results:
        """Return the metrics of a configuration as its last run found them; before the first it has none."""
        name = deployment.configuration.id
        run = deployment.last_run(now, self._fleet.timing.interval)
        known = self._results.get(name)
        if run is None:
            return known[1] if known and known[0] >= deployment.configuration.created else {}
        if known is None or known[0] != run:
            self._results[name] = known = run, self._counted(deployment, run - self._fleet.timing.query_lag)
        return known[1]

    def page(self, text: str, now: float, size: int, continuation: str | None) -> Page:
        """Return a part of what a query finds."""
        asked = parser.query(text)
        begin = _place(continuation, text) if continuation else 0
        size = min(size, LARGEST_PAGE)
        if asked.counts:
            count = sum(1 for _ in self._found(asked, now))
            return Page([{column.name: count for column in asked.columns if not column.path}], "Raw")
        items: list[Document] = []
        for place, row in enumerate(self._found(asked, now)):
            if place >= begin + size:
                return Page(items, _item_type(asked), _token(place, text))
            if place >= begin:
                items.append(_projected(asked, row))
        return Page(items, _item_type(asked))

    def _found(self, asked: Query, now: float) -> Iterator[Document]:
        holds = asked.condition.holds
        rows = self._device_rows if asked.collection == "devices" else self._module_rows
        return (row for row in rows(now - self._fleet.timing.query_lag) if holds(row))

    def _device_rows(self, moment: float) -> Iterator[Document]:
        for device in self._fleet.devices.values():
            situation = device.situation.by(moment)
            yield documents.device_twin(device, device.twin_by(moment), situation, moment)

    def _module_rows(self, moment: float) -> Iterator[Document]:
        """Yield the twins of all modules; devices in one situation share what is slow to write."""
        written: dict[tuple[Situation, str], Document] = {}
        for device in self._fleet.devices.values():
            situation = device.situation.by(moment)
            for module in device.module_names():
                key = situation, module
                if key not in written or module in device.modules:
                    written[key] = documents.module_twin(device, module, situation, moment)
                yield {
                    **written[key],
                    "deviceId": device.id,
                    "deviceEtag": etags.of_number(device.number),
                    "status": device.status,
                }

    def _counted(self, deployment: Deployment, moment: float) -> Results:
        configuration = deployment.in_force or deployment.configuration
        devices = [self._fleet.devices[name] for name in deployment.targeted]
        system = {"targetedCount": len(devices), **_system(configuration, devices, moment)}
        custom = {
            name: sum(1 for _ in self._found(parser.query(text), moment + self._fleet.timing.query_lag))
            for name, text in configuration.queries.items()
        }
        return {"system": system, "custom": custom}


def _system(configuration: Configuration, devices: list[Device], moment: float) -> dict[str, int]:
    """Count by situation, of which there are few, and not by device."""
    if configuration.modules is None:
        return {"appliedCount": len(devices)}
    counts = {"appliedCount": 0, "reportedSuccessfulCount": 0, "reportedFailedCount": 0}
    situations = Counter(device.situation.by(moment) for device in devices)
    for situation, number in situations.items():
        if configuration.id not in situation.told.applied:
            continue
        counts["appliedCount"] += number
        report = situation.report(moment)
        if report and report.version == situation.version:
            succeeded = report.status[0] == SUCCESS
            counts["reportedSuccessfulCount" if succeeded else "reportedFailedCount"] += number
    return counts


def _projected(asked: Query, row: Document) -> Document:
    if not asked.columns:
        return row
    values = {column.name: at(column.path)(row) for column in asked.columns}
    return {name: value for name, value in values.items() if value is not UNDEFINED}


def _item_type(asked: Query) -> str:
    return "Raw" if asked.columns else "Twin"


def _token(place: int, text: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([place, text]).encode()).decode()


def _place(token: str, text: str) -> int:
    try:
        place, of = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise invalid_argument("The continuation token is invalid.") from error
    if of != text or not isinstance(place, int):
        raise invalid_argument("The continuation token is of another query.")
    return place
