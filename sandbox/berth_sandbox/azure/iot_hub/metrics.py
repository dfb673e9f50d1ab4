"""What a hub counts: queries over twins, and metrics of configurations, as old as their last run."""

import base64
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from berth_sandbox.azure.iot_hub import documents, etags
from berth_sandbox.azure.iot_hub.agent import Situation
from berth_sandbox.azure.iot_hub.configuration import Configuration
from berth_sandbox.azure.iot_hub.device import Device, Twin
from berth_sandbox.azure.iot_hub.errors import invalid_argument
from berth_sandbox.azure.iot_hub.fleet import Deployment, Fleet
from berth_sandbox.azure.iot_hub.query import parser
from berth_sandbox.azure.iot_hub.query.expressions import UNDEFINED, at
from berth_sandbox.azure.iot_hub.query.parser import Query
from berth_sandbox.azure.names import Document

LARGEST_PAGE = 1000
SUCCESS = 200
INDIVIDUAL = {"deviceId", "deviceEtag"}
Results = Mapping[str, Mapping[str, int]]
Seen = tuple[Situation, Twin, bool, str, tuple[str, ...], str]


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
        self._grouped: tuple[tuple[float, int], dict[Seen, list[Device]]] = ((-1.0, 0), {})

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
        asked, moment = parser.query(text), now - self._fleet.timing.query_lag
        begin = _place(continuation, text) if continuation else 0
        if asked.counts:
            count = self._count(asked, moment)
            return Page([{column.name: count for column in asked.columns if not column.path}], "Raw")
        size = min(size, LARGEST_PAGE)
        found = list(itertools.islice(self._found(asked, moment), begin, begin + size + 1))
        more = _token(begin + size, text) if len(found) > size else None
        return Page([_projected(asked, row) for row in found[:size]], _item_type(asked), more)

    def _count(self, asked: Query, moment: float) -> int:
        """Count what a query finds, group by group if it does not ask for single devices."""
        if _is_individual(asked):
            return sum(1 for _ in self._found(asked, moment))
        return sum(
            len(group)
            * sum(asked.condition.holds(row) for row in self._rows(group[0], seen, asked.collection, moment))
            for seen, group in self._groups(moment).items()
        )

    def _found(self, asked: Query, moment: float) -> Iterator[Document]:
        """Yield what a query finds; devices of a group share what is slow to write."""
        known: dict[Seen, list[Document]] = {}
        individual, holds = _is_individual(asked), asked.condition.holds
        for device in self._fleet.devices.values():
            seen = self._seen(device, moment)
            if seen not in known:
                rows = self._rows(device, seen, asked.collection, moment)
                known[seen] = [row for row in rows if individual or holds(row)]
            for shared in known[seen]:
                row = {**shared, "deviceId": device.id, "deviceEtag": etags.of_number(device.number)}
                if not individual or holds(row):
                    yield row

    def _groups(self, moment: float) -> dict[Seen, list[Device]]:
        """Return the devices of which queries see the same but for their ids."""
        key = moment, self._fleet.registrations
        if self._grouped[0] != key:
            groups: dict[Seen, list[Device]] = {}
            for device in self._fleet.devices.values():
                groups.setdefault(self._seen(device, moment), []).append(device)
            self._grouped = key, groups
        return self._grouped[1]

    def _seen(self, device: Device, moment: float) -> Seen:
        """Return all that queries see of a device but for its id."""
        alone = device.id if self._fleet.really_seen(device, moment) is not None else ""
        modules = tuple(device.modules)
        situation, twin = device.situation.by(moment), device.twin_by(moment)
        return situation, twin, device.is_edge, device.status, modules, alone

    def _rows(self, device: Device, seen: Seen, collection: str, moment: float) -> list[Document]:
        situation, twin, *_ = seen
        if collection == "devices":
            return [documents.device_twin(device, twin, situation, moment)]
        views = self._fleet.really_seen(device, moment)
        return [
            documents.module_twin(device, module, situation, moment, views)
            for module in device.module_names(situation)
        ]

    def _counted(self, deployment: Deployment, moment: float) -> Results:
        configuration = deployment.in_force or deployment.configuration
        devices = [self._fleet.devices[name] for name in deployment.targeted]
        system = {"targetedCount": len(devices), **_system(configuration, devices, moment)}
        custom = {
            name: self._count(parser.query(text), moment) for name, text in configuration.queries.items()
        }
        return {"system": system, "custom": custom}


def _is_individual(asked: Query) -> bool:
    return any(path[0] in INDIVIDUAL for path in asked.condition.paths)


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
