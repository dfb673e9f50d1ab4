import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from berth_sandbox.cluster.control_plane import ControlPlane
from berth_sandbox.cluster.control_plane import control_plane as running_control_plane

# The same examples in every run, however slow the machine; `--hypothesis-profile=default` looks for new ones.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

# Else pytest-asyncio makes a loop only to remember it, and never closes it.
asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real etcd and kube-apiserver, one for the whole session."""
    with running_control_plane() as running:
        yield running


@pytest.fixture(scope="session")
def control_plane_with_controllers() -> Iterator[ControlPlane]:
    """As `control_plane`, with the controllers that collect garbage and make ReplicaSets."""
    with running_control_plane(controllers=True) as running:
        yield running


@pytest.fixture(scope="session")
def kubectl(control_plane: ControlPlane) -> Callable[..., str]:
    """Run kubectl with the given arguments against `control_plane` and return what it prints."""
    return control_plane.kubectl
