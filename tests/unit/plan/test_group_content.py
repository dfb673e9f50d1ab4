import base64
import json
from typing import Any

import pytest
from container_groups import CONTENT, IDENTITY, aci_spec, place
from deployments import Spec, subject

from berth.api.conditions import Reason
from berth.core.errors import Terminal
from berth.plan.group_content import Content, environment, key_files, registry_credentials


def resolved(variable: Spec, content: Content = CONTENT) -> list[dict[str, Any]]:
    return list(environment(subject(aci_spec(env=[variable])).spec.env or (), content))


def from_secret(**selector: Any) -> Spec:
    return {"name": "A", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "api-key"} | selector}}


def from_config_map(**selector: Any) -> Spec:
    return {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "iris", "key": "model.onnx"} | selector}}


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ({"name": "A", "value": "b"}, [{"name": "A", "value": "b"}]),
        ({"name": "A"}, [{"name": "A", "value": ""}]),
        (from_secret(), [{"name": "A", "secureValue": "api-secret"}]),
        (from_config_map(), [{"name": "A", "value": "model"}]),
        (from_secret(key="none", optional=True), []),
        (from_config_map(name="none", optional=True), []),
    ],
)
def test_a_variable_is_resolved(variable: Spec, expected: list[Any]) -> None:
    assert resolved(variable) == expected


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (from_secret(name="none"), "Secret none does not exist"),
        (from_secret(key="none"), "Secret settings has no key none"),
        (from_config_map(key="other"), "ConfigMap iris holds a value that is no text"),
        ({"name": "azure.client-id", "value": "x"}, "Azure takes no environment variable azure.client-id"),
        ({"name": "A" * 64, "value": "x"}, "use at most 63 letters, digits and _"),
    ],
)
def test_a_variable_that_cannot_be_had_is_told(variable: Spec, message: str) -> None:
    with pytest.raises(Terminal, match=message):
        resolved(variable)


def test_no_message_tells_a_secret() -> None:
    content = Content(secrets={"settings": {"api-key": b"hidden\xff"}})
    with pytest.raises(Terminal) as refused:
        resolved(from_secret(), content)
    assert "hidden" not in str(refused.value)
    assert refused.value.__cause__ is None


def docker(auths: Any) -> Content:
    return Content(secrets={"pull": {".dockerconfigjson": json.dumps({"auths": auths}).encode()}})


PULL = subject(aci_spec(aci={"imagePullSecrets": [{"name": "pull"}]}))


@pytest.mark.parametrize(
    ("server", "given", "host"),
    [
        ("registry.test", {"username": "me", "password": "p"}, "registry.test"),
        ("https://index.docker.io/v1/", {"auth": base64.b64encode(b"me:p").decode()}, "index.docker.io"),
        ("registry.test:5000/team", {"username": "me", "password": "p"}, "registry.test:5000"),
    ],
)
def test_a_pull_secret_is_read_as_kubernetes_reads_it(server: str, given: Any, host: str) -> None:
    found = registry_credentials(PULL, place(), docker({server: given}))
    assert found == [{"server": host, "username": "me", "password": "p"}]


@pytest.mark.parametrize(
    "secret",
    [
        {},
        {".dockerconfigjson": b"{"},
        {".dockerconfigjson": b"[]"},
        {".dockerconfigjson": b'{"auths":{"a":{}}}'},
    ],
)
def test_a_pull_secret_that_holds_no_credentials_is_told(secret: dict[str, bytes]) -> None:
    with pytest.raises(Terminal, match="make it with kubectl create secret docker-registry") as refused:
        registry_credentials(PULL, place(), Content(secrets={"pull": secret}))
    assert refused.value.reason is Reason.CONTAINER_CONFIG_FAILED


def test_a_managed_identity_needs_no_secret() -> None:
    where = place(defaults={"registries": [{"server": "team.azurecr.io", "identity": IDENTITY}]})
    assert registry_credentials(subject(aci_spec()), where, Content()) == [
        {"server": "team.azurecr.io", "identity": IDENTITY}
    ]


def test_only_the_two_keys_travel() -> None:
    more = Content(secrets={"iris-keys": {"primaryKey": b"a", "secondaryKey": b"", "note": b"x"}})
    assert key_files(subject(aci_spec(auth={"mode": "Key"})), more) == {"primaryKey": b"a"}
    assert key_files(subject(aci_spec()), more) is None


def test_a_group_that_wants_keys_is_not_made_without_one() -> None:
    empty = Content(secrets={"iris-keys": {"primaryKey": b"", "note": b"x"}})
    with pytest.raises(Terminal) as refused:
        key_files(subject(aci_spec(auth={"mode": "Key"})), empty)
    assert refused.value.reason is Reason.KEYS_MISSING
