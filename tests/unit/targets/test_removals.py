from typing import Any

import pytest
from deployments import IMAGE, subject
from kubelet_pods import pod
from simulated_cluster import SimulatedCluster

from berth.core.errors import Conflict
from berth.core.keys import Key
from berth.core.results import Done
from berth.plan.cluster import Plan
from berth.plan.resources import PODS
from berth.plan.steps import Remove
from berth.targets.aks import AksTarget
from berth.targets.golden import Answer, GoldenRequests

GONE_FIRST = Plan([Remove(PODS, Key("demo", "iris-1"), "pod-0")], None, Done())


async def unasked(url: str, body: str, headers: Any, certificate: bytes | None) -> Answer:
    raise AssertionError(url)


def target(cluster: SimulatedCluster) -> AksTarget:
    golden = GoldenRequests(cluster, unasked, lambda key: None)
    return AksTarget(cluster, stores={}, narrow=unwatched, image=IMAGE, golden=golden)


def unwatched(resource: Any, raw: Any) -> Any:
    raise AssertionError(resource)


async def test_a_pod_that_has_gone_by_itself_is_no_failure() -> None:
    cluster = SimulatedCluster()
    await target(cluster).act(subject(), GONE_FIRST)
    assert cluster.writes == ["delete Pod"]


async def test_a_pod_that_has_got_the_name_since_then_stays() -> None:
    cluster = SimulatedCluster()
    cluster.put(PODS, pod(namespace="demo"))
    with pytest.raises(Conflict):
        await target(cluster).act(subject(), GONE_FIRST)
    assert cluster.raw(PODS, Key("demo", "iris-1")) is not None
