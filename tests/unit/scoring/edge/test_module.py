import asyncio
import json
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from berth_scoring.config import Layout, ScoringConfig
from berth_scoring.edge.assembly import describe, fetched_digests
from berth_scoring.edge.counts import Counts, EdgeCollector
from berth_scoring.edge.credentials import CredentialStore
from berth_scoring.edge.identity import ModuleIdentity
from berth_scoring.edge.module import BackOff, EdgeModule
from berth_scoring.edge.report import Reporter

MODELS = [{"name": name, "version": "1", "uri": f"https://h/{name}"} for name in ("a", "b")]


def test_waits_grow_to_a_bound_and_begin_anew() -> None:
    back_off = BackOff(first=1, most=60)
    for bound in (1, 2, 4, 8, 16, 32, 60, 60):
        assert bound / 2 <= back_off.seconds() <= bound
    back_off.reset()
    assert back_off.seconds() <= 1


def test_devices_do_not_come_back_at_the_same_moment() -> None:
    assert len({BackOff().seconds() for _ in range(20)}) > 10


async def test_http_goes_on_whatever_the_workload_api_answers(identity: ModuleIdentity) -> None:
    class Strange:
        asked = threading.Semaphore(0)

        def trust_bundle(self) -> str:
            self.asked.release()
            return "no ASCII: ä"  # of which the library complains by a TypeError

        def sign(self, data: bytes) -> str:
            return ""

    strange, counts = Strange(), Counts()
    store = CredentialStore(identity.resource, strange, 3600)
    reporter = Reporter(dict, counts, 300)
    back_off = BackOff(first=0.01, most=0.01)
    module = EdgeModule(identity, store, lambda _: pytest.fail("no connection"), reporter, counts, back_off)
    async with module.running():
        assert all([await asyncio.to_thread(strange.asked.acquire, timeout=5) for _ in range(3)])


def test_the_twin_is_told_the_digest_of_the_only_model() -> None:
    config = ScoringConfig.from_json({"name": "iris", "namespace": "demo", "models": MODELS[:1]})
    fetched = {
        "models": [{"name": "a", "version": "1", "digest": "sha256:1"}],
        "code": {"digest": "sha256:2"},
    }
    told = describe(config, fetched)
    assert told["model"] == {"name": "a", "version": "1", "count": 1, "digest": "sha256:1"}
    assert told["code"] == {"digest": "sha256:2"}
    assert told["deployment"] == "demo/iris"


def test_the_twin_is_told_one_digest_of_many_models_which_shows_each_change() -> None:
    config = ScoringConfig.from_json({"name": "iris", "models": MODELS})
    digests = [{"name": name, "version": "1", "digest": f"sha256:{name}"} for name in ("a", "b")]
    told = describe(config, {"models": digests, "code": None})["model"]
    assert (told["name"], told["version"], told["count"]) == (None, None, 2)
    assert describe(config, {"models": digests[::-1]})["model"] == told
    digests[0] = digests[0] | {"digest": "sha256:other"}
    assert describe(config, {"models": digests})["model"]["digest"] != told["digest"]


def test_a_twin_has_room_for_a_thousand_models() -> None:
    models = [MODELS[0] | {"name": f"model-{number}"} for number in range(1000)]
    digests = [{"name": each["name"], "version": "1", "digest": "sha256:" + "0" * 64} for each in models]
    told = describe(ScoringConfig.from_json({"name": "iris", "models": models}), {"models": digests})
    assert len(json.dumps(told)) < 1000


def test_what_was_fetched_is_unknown_until_it_is_told(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path)
    assert fetched_digests(layout) == {}
    layout.fetched.write_text('{"models": []}')
    assert fetched_digests(layout) == {"models": []}


def test_prometheus_sees_all_counts() -> None:
    counts, registry = Counts(received=3, connected=True), CollectorRegistry()
    registry.register(EdgeCollector(counts))
    counts.dropped["too large"] += 2
    lines = generate_latest(registry).decode().splitlines()
    assert "berth_scoring_edge_received_total 3.0" in lines
    assert "berth_scoring_edge_connected 1.0" in lines
    assert 'berth_scoring_edge_dropped_total{reason="too large"} 2.0' in lines
    assert counts.summary()["dropped"] == 2
