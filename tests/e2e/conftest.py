import os
from collections.abc import Iterator

import pytest

from berth_sandbox import chart, demo, emulator, images, pool
from berth_sandbox.access import Access
from berth_sandbox.cards import CARDS
from berth_sandbox.provider import choose


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A whole cluster of this session's own, with the images in it."""
    name = f"test-{os.getpid()}"
    provider = choose(tmp_path_factory.mktemp("kubeconfig"))
    with provider.running(name) as access:
        provider.load(name, images.OWN)
        yield access


@pytest.fixture(scope="session")
def berth(cluster: Access) -> Access:
    """The cluster with Berth installed in it by its Helm chart, and with places to go to."""
    CARDS.plug_in(cluster)
    chart.install(cluster)
    emulator.install(cluster, demo.train())
    pool.install(cluster)
    CARDS.wait(cluster)
    return cluster


@pytest.fixture(scope="session")
def examples(berth: Access) -> Iterator[Access]:
    """The examples, applied and ready as in the demo."""
    demo.wait_until_ready(berth, demo.apply(berth))
    yield berth
    berth.kubectl("delete", "mdep", "--all", f"--namespace={demo.NAMESPACE}", "--timeout=60s")


@pytest.fixture
def namespace(cluster: Access, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test."""
    name = request.node.name.translate(str.maketrans("_[", "--", "]"))[:50].strip("-").lower()
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
