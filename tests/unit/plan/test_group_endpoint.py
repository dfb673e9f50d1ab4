"""How a container group is spoken to: by its spec, and by what Azure shows of it."""

from typing import Any

import pytest
from container_groups import aci_spec, desired, shown
from deployments import Spec, subject

from berth.plan.group_endpoint import Endpoint, endpoint, observed_root, readiness_url


@pytest.mark.parametrize(
    ("given", "root"),
    [
        (Endpoint("http", 80), "http://h"),
        (Endpoint("https", 443), "https://h"),
        (Endpoint("http", 5001), "http://h:5001"),
        (Endpoint("https", 80), "https://h:80"),
    ],
)
def test_the_usual_port_goes_without_saying(given: Endpoint, root: str) -> None:
    assert given.root("h") == root


def answering(group: Any) -> Any:
    group["properties"]["ipAddress"]["ip"] = "h"
    return group


@pytest.mark.parametrize(
    ("fields", "root"),
    [
        ({}, "http://h"),
        ({"image": "registry.test/own:1"}, "http://h:5001"),
        ({"image": "registry.test/own:1", "imageServer": "Own"}, "http://h:5001"),
        ({"image": "registry.test/own:1", "imageServer": "Berth"}, "http://h"),
    ],
)
def test_a_group_is_asked_where_it_is_told_to_listen(fields: Spec, root: str) -> None:
    spec = aci_spec(**fields)
    assert endpoint(subject(spec).spec).root("h") == root
    assert observed_root(answering(shown(desired(spec)))) == root


@pytest.mark.parametrize("probe", [None, {}, {"httpGet": {}}, {"exec": {"command": ["true"]}}])
def test_a_group_whose_probe_someone_took_away_is_asked_as_usual(probe: Any) -> None:
    there = shown(desired())
    there["properties"]["containers"][0]["properties"]["readinessProbe"] = probe
    assert readiness_url(answering(there)) == "http://h/"


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://h/readyz"),
        ({"tls": {"selfSigned": True}}, "https://h/readyz"),
        ({"image": "registry.test/own:1"}, "http://h:5001/"),
    ],
)
def test_a_group_is_ready_where_azure_asks_it(fields: Spec, url: str) -> None:
    assert readiness_url(answering(shown(desired(aci_spec(**fields))))) == url
