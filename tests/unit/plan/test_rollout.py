from typing import Any

import pytest

from berth.api.conditions import Reason
from berth.plan.causes import Cause
from berth.plan.rollout import NOTHING, read_rollout


def deployment(*conditions: dict[str, str], generation: int = 2, **status: int) -> dict[str, Any]:
    counts = {"observedGeneration": 2, **status, "conditions": list(conditions)}
    return {"metadata": {"generation": generation}, "status": counts}


def rolled(total: int, *, current: int, available: int) -> dict[str, Any]:
    return deployment(
        replicas=total, updatedReplicas=current, availableReplicas=available, readyReplicas=available
    )


@pytest.mark.parametrize(
    ("seen", "least", "complete", "words"),
    [
        (None, 1, False, "0 of 1 replicas run the current spec"),
        ({"metadata": {"generation": 1}}, 1, False, "0 of 1 replicas run the current spec"),
        (rolled(2, current=1, available=1), 1, False, "1 replicas of the previous spec have not ended yet"),
        (rolled(1, current=0, available=1), 1, False, "0 of 1 replicas run the current spec"),
        (rolled(3, current=3, available=1), 3, False, "1 of 3 replicas are available"),
        (rolled(3, current=3, available=2), 2, True, ""),
        (rolled(0, current=0, available=0), 0, True, ""),
        (rolled(1, current=0, available=0), 0, False, "0 of 1 replicas run the current spec"),
    ],
)
def test_a_rollout_is_complete_when_only_the_newest_template_serves(
    seen: dict[str, Any] | None, least: int, complete: bool, words: str
) -> None:
    rollout = read_rollout(seen)
    assert rollout.is_complete(least) is complete
    if words:
        assert rollout.describe(least) == words


def test_what_the_controller_has_not_seen_is_not_complete() -> None:
    stale = rolled(1, current=1, available=1) | {"metadata": {"generation": 3}}
    assert not read_rollout(stale).is_complete(1)


def test_no_deployment_is_no_rollout() -> None:
    assert read_rollout(None) is NOTHING


def test_the_deadline_is_read_from_the_progressing_condition() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    assert read_rollout(deployment(late)).deadline_exceeded
    assert not read_rollout(deployment(late | {"reason": "ReplicaSetUpdated"})).deadline_exceeded


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            'pods "iris-1" is forbidden: exceeded quota: team, requested: cpu=1, used: cpu=2, limited: cpu=2',
            Reason.QUOTA_EXCEEDED,
        ),
        ('pods "iris-1" is forbidden: violates PodSecurity "restricted:latest"', Reason.REJECTED),
    ],
)
def test_refused_pods_are_a_cause(message: str, reason: Reason) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    assert read_rollout(deployment(failure)).blocked == Cause(reason, message)
    assert read_rollout(deployment(failure | {"status": "False"})).blocked is None
