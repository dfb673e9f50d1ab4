"""A configuration: a deployment to edge devices, or one for the twins of devices or modules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from berth_sandbox.azure.iot_hub import content as contents
from berth_sandbox.azure.iot_hub.errors import invalid_argument, invalid_condition
from berth_sandbox.azure.iot_hub.query import parser
from berth_sandbox.azure.iot_hub.query.expressions import Row, constant
from berth_sandbox.azure.iot_hub.query.parser import Condition
from berth_sandbox.azure.iot_hub.query.tokens import QueryError
from berth_sandbox.azure.names import Document

ID = re.compile(r"[^\sA-Z&^\[\]{}\\|\"<>/]{1,128}")
LABEL = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;']{1,128}")
MOST_METRICS = 5
MOST_PRIORITY = 2**31 - 1
EVERYONE, NO_ONE = Condition(constant(True)), Condition(constant(False))
ROOTS = ("deviceId", "tags", "properties.reported")
# The parser of a query knows these, the one of a target condition does not.
ONLY_IN_QUERIES = {"IN", "NIN"}
AGENT_TWINS = f"select deviceId from devices.modules where moduleId = '{contents.AGENT}' and "
CURRENT = "properties.desired.$version = properties.reported.lastDesiredVersion"


@dataclass(frozen=True)
class Configuration:
    """A configuration as it was put; times are in seconds since 1970."""

    id: str
    content: Document
    created: float
    updated: float
    version: int = 1
    priority: int = 0
    target_condition: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    schema_version: str | None = None

    @property
    def modules(self) -> Document | None:
        """Return what a deployment to edge devices says of modules."""
        found: Document | None = self.content.get("modulesContent")
        return found

    @property
    def is_layered(self) -> bool:
        """Tell whether this is a deployment that only adds to another."""
        return self.modules is not None and contents.is_layered(self.modules)

    @property
    def rank(self) -> tuple[int, float, str]:
        """Return what decides between two deployments: the later one of the same priority wins."""
        return self.priority, self.created, self.id

    @cached_property
    def condition(self) -> Condition:
        """Return the target condition, read."""
        return target_condition(self.target_condition)

    def targets(self, device: Row) -> bool:
        """Tell whether a device, by its twin, is meant."""
        if self.modules is not None and not device["capabilities"]["iotEdge"]:
            return False
        return self.condition.holds(device)

    def system_queries(self) -> dict[str, str]:
        """Return the queries of the metrics that every configuration has."""
        applied = f"configurations.[[{self.id}]].status = 'Applied'"
        if self.modules is None:
            return {
                "targetedCount": self._targeted(),
                "appliedCount": f"select deviceId from devices where {applied}",
            }
        applied = AGENT_TWINS + applied
        code = "properties.reported.lastDesiredStatus.code"
        return {
            "targetedCount": self._targeted("capabilities.iotEdge = true"),
            "appliedCount": applied,
            "reportedSuccessfulCount": f"{applied} and {CURRENT} and {code} = 200",
            "reportedFailedCount": f"{applied} and {CURRENT} and {code} != 200",
        }

    def _targeted(self, *conditions: str) -> str:
        if not self.target_condition:
            return ""
        every = [*conditions, *([self.target_condition] if self.target_condition != "*" else [])]
        where = f" where {' and '.join(every)}" if every else ""
        return f"select deviceId from devices{where}"


def target_condition(text: str) -> Condition:
    """Read a target condition, or raise `QueryError`."""
    if not text.strip():
        return NO_ONE
    return EVERYONE if text.strip() == "*" else parser.condition(text)


def condition_error(text: str) -> str | None:
    """Tell what is wrong with a target condition as the test of queries does."""
    try:
        read = target_condition(text)
    except QueryError as error:
        return str(error)
    for path in sorted(read.paths):
        name = ".".join(path)
        if not any(name == root or name.startswith(f"{root}.") for root in ROOTS):
            roots = "'deviceId', 'tags', or 'properties.reported'"
            words = f"Invalid targetCondition. It must be a filter condition based on {roots}."
            return f"{words} It contains: {name}"
    return None


def metric_error(text: str) -> str | None:
    """Tell what is wrong with the query of a metric."""
    try:
        parser.query(text)
    except QueryError as error:
        return str(error)
    return None


def check_condition(text: str) -> None:
    """Raise unless a configuration can have this condition, which is less than a query can have."""
    if '"' in text:
        raise invalid_argument()
    if error := condition_error(text):
        raise invalid_condition(error)
    if target_condition(text).operators & ONLY_IN_QUERIES:
        raise invalid_condition()


def check(name: str, body: Document) -> None:
    """Raise unless the parts of a configuration that can change are what they have to be."""
    if not ID.fullmatch(name) or body.get("id") != name:
        raise invalid_argument(f"The id '{name}' of the configuration is invalid.")
    priority = body.get("priority") or 0
    if isinstance(priority, bool) or not 0 <= priority <= MOST_PRIORITY:
        raise invalid_argument("The priority of a configuration is a number from 0 on.")
    check_condition(body.get("targetCondition") or "")
    for key, value in (body.get("labels") or {}).items():
        if not (LABEL.fullmatch(key) and LABEL.fullmatch(value)):
            raise invalid_argument(f"The label '{key}' is invalid.")
    queries = (body.get("metrics") or {}).get("queries") or {}
    if len(queries) > MOST_METRICS:
        raise invalid_argument(f"A configuration has at most {MOST_METRICS} metrics.")
    for metric, text in queries.items():
        if error := metric_error(text):
            raise invalid_argument(f"The query of the metric '{metric}' is invalid. {error}")
