"""How far a Deployment has come with the template that it was last given."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from berth.plan.causes import Cause, refusal
from berth.plan.children import SERVING


@dataclass(frozen=True, slots=True)
class Rollout:
    """The counts of one Deployment; `current` are Pods of the newest template."""

    observed: bool
    replicas: int
    current: int
    available: int
    ready: int
    has_served: bool
    """Whether the newest template has once been available as often as was wanted."""
    deadline_exceeded: bool
    blocked: Cause | None

    def is_complete(self, least: int) -> bool:
        """Tell whether only the newest template serves, with at least so many replicas."""
        return self.observed and self.current == self.replicas and self.available >= least

    def describe(self, least: int) -> str:
        """Say in a sentence what is still missing."""
        wanted = max(least, 1)
        if not self.observed or self.current < min(wanted, max(self.replicas, 1)):
            return f"{self.current} of {wanted} replicas run the current spec"
        if self.current < self.replicas:
            return f"{self.replicas - self.current} replicas of the previous spec have not ended yet"
        return f"{self.available} of {wanted} replicas are available"


NOTHING = Rollout(
    observed=False,
    replicas=0,
    current=0,
    available=0,
    ready=0,
    has_served=False,
    deadline_exceeded=False,
    blocked=None,
)


def read_rollout(deployment: Mapping[str, Any] | None) -> Rollout:
    """Read the status of a Deployment as the watch has seen it."""
    if deployment is None:
        return NOTHING
    status = deployment.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    progressing = conditions.get("Progressing", {})
    return Rollout(
        observed=status.get("observedGeneration", 0) >= deployment["metadata"]["generation"],
        replicas=status.get("replicas", 0),
        current=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        ready=status.get("readyReplicas", 0),
        has_served=progressing.get("reason") == "NewReplicaSetAvailable",
        deadline_exceeded=progressing.get("reason") == "ProgressDeadlineExceeded",
        blocked=_replica_failure(conditions.get("ReplicaFailure")),
    )


def earlier_pods(pods: Iterable[Mapping[str, Any]], serving: str) -> Iterator[str]:
    """Name the Pods that still answer though they carry another hash than `serving`."""
    for pod in pods:
        if _answers(pod) and pod["metadata"].get("annotations", {}).get(SERVING) != serving:
            yield str(pod["metadata"]["name"])


def _answers(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _replica_failure(condition: Mapping[str, Any] | None) -> Cause | None:
    if condition is None or condition["status"] != "True":
        return None
    message = condition.get("message", "")
    return Cause(refusal(message), message)
