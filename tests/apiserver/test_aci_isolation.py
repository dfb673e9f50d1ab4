"""Models in the cluster are served as soon as ever while the Azure of others hangs, throttles or is down."""

import time
from pathlib import Path

import pytest
from aci_process import wanted
from deployments import spec
from operator_process import Kubelet, User, operator

from berth.core.keys import Key
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.faults import Delay, Refuse, TransportEffect
from berth_sandbox.cluster.control_plane import ControlPlane

IN_TROUBLE = 24
"""More than there are workers."""
SERVED = 4
MOST_TIMES = 3.0
LEAST_SECONDS = 2.0
"""Far less than the 20 s that one call may hang."""


async def seconds_to_serve(user: User, name: str) -> float:
    """Time some models of the cluster from apply to Ready."""
    began = time.monotonic()
    for number in range(SERVED):
        await user.apply(spec(), f"{name}-{number}")
    for number in range(SERVED):
        await user.until_ready(f"{name}-{number}")
    return time.monotonic() - began


@pytest.mark.parametrize(
    "effect",
    [Delay(20), Refuse(429, "TooManyRequests", retry_after=30), Refuse(503)],
    ids=["hangs", "throttled", "down"],
)
async def test_models_in_the_cluster_wait_for_no_azure(
    user: User,
    kubelet: Kubelet,
    azure: Azure,
    place: Key,
    control_plane: ControlPlane,
    tmp_path: Path,
    effect: TransportEffect,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with operator(control_plane.kubeconfig, user.namespace, tmp_path / "berth-0.log"):
        await seconds_to_serve(user, "first")  # the operator starts meanwhile
        usual = await seconds_to_serve(user, "before")
        azure.faults.add(effect, times=None, path="/subscriptions/")
        for number in range(IN_TROUBLE):
            await user.apply(wanted(place), f"ill-{number}")
        beside = await seconds_to_serve(user, "beside")
        assert azure.service.group_ids() == []
    with capsys.disabled():
        print(f"\n{SERVED} models in {usual:.2f} s, beside {IN_TROUBLE} in trouble in {beside:.2f} s")
    assert beside <= MOST_TIMES * usual + LEAST_SECONDS
