"""The body of a container group: what the service asks for, and what the scoring container needs."""

import base64
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from azure_specs import DESCRIPTIONS, MISSING
from container_groups import (
    CONTENT,
    FULL,
    FULL_DEFAULTS,
    IDENTITY,
    IMAGE,
    KEY,
    NEWER_IMAGE,
    SECRETS,
    SUBNET,
    aci_spec,
    aci_specs,
    desired,
    place,
    recipe,
    shown,
)
from deployments import MODEL, Spec
from hypothesis import given, settings
from jsonschema import Draft4Validator

from berth.api.conditions import Reason
from berth.core.errors import Terminal
from berth.plan.container_group import LARGEST_BODY, LARGEST_TAGS, Desired, desired_group, fingerprint
from berth.plan.group_content import Content, needed
from berth_sandbox.azure import rules
from berth_scoring.config import ScoringConfig

GOLDEN = Path(__file__).parent / "golden"


def properties(fields: Spec | None = None, **given: Any) -> Any:
    return desired(fields, **given).body["properties"]


def scoring(fields: Spec | None = None, **given: Any) -> Any:
    (container,) = properties(fields, **given)["containers"]
    return container["properties"]


def fetch(fields: Spec | None = None, **given: Any) -> Any:
    (container,) = properties(fields, **given)["initContainers"]
    return container["properties"]


def variables(container: Any) -> dict[str, Any]:
    return {
        each["name"]: each.get("value", each.get("secureValue")) for each in container["environmentVariables"]
    }


def config(container: Any) -> ScoringConfig:
    return ScoringConfig.from_environment(variables(container))


def volumes(fields: Spec | None = None, **given: Any) -> dict[str, Any]:
    return {volume["name"]: volume for volume in properties(fields, **given).get("volumes", ())}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("container-group", desired()),
        ("container-group-full", desired(FULL, place(defaults=FULL_DEFAULTS))),
    ],
)
def test_the_group_is_the_one_in_the_golden_file(name: str, wanted: Desired) -> None:
    """A change of the body restarts every group at the next upgrade: it must be meant."""
    assert {"name": wanted.name, **wanted.body} == yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())


@pytest.fixture(scope="module")
def described() -> Draft4Validator:
    path = DESCRIPTIONS / "containerInstance.json"
    if not path.exists():
        pytest.skip(MISSING)
    document = json.loads(path.read_text())
    return Draft4Validator({**document, "$ref": "#/definitions/ContainerGroup"})


@settings(max_examples=30)
@given(fields=aci_specs())
def test_every_body_is_as_microsoft_describes_it(described: Draft4Validator, fields: Spec) -> None:
    body = json.loads(json.dumps(desired(fields).body))
    assert [error.message for error in described.iter_errors(body)] == []


def test_a_body_with_everything_is_as_microsoft_describes_it(described: Draft4Validator) -> None:
    body = desired(FULL, place(defaults=FULL_DEFAULTS)).body
    assert [error.message for error in described.iter_errors(json.loads(json.dumps(body)))] == []


def test_the_description_refuses_what_it_does_not_know(described: Draft4Validator) -> None:
    body = desired().body
    body["properties"]["containers"][0]["properties"]["resources"]["requests"].pop("cpu")
    assert [error.message for error in described.iter_errors(body)] == ["'cpu' is a required property"]


@given(aci_specs())
def test_every_body_keeps_the_rules_of_the_service(fields: Spec) -> None:
    wanted = desired(fields)
    rules.check(wanted.name, wanted.body)


@given(aci_specs())
def test_no_secret_is_where_azure_would_show_it(fields: Spec) -> None:
    where = place(defaults=FULL_DEFAULTS | {"subnetId": None})  # some of the specs give a public name
    told = json.dumps(shown(desired({**FULL, **fields}, where)))
    encoded = [base64.b64encode(secret.encode()).decode() for secret in SECRETS]
    assert [secret for secret in (*SECRETS, *encoded) if secret in told] == []


@given(aci_specs())
def test_the_same_recipe_gives_the_same_group(fields: Spec) -> None:
    assert desired(fields) == desired(fields)


def test_the_model_is_fetched_before_it_is_served() -> None:
    assert fetch()["image"] == scoring()["image"] == IMAGE
    assert fetch()["command"] == ["berth-scoring", "fetch"]
    assert scoring()["command"] == ["berth-scoring", "serve"]
    assert volumes()["berth-app"] == {"name": "berth-app", "emptyDir": {}}
    shared = {"name": "berth-app", "mountPath": "/var/azureml-app"}
    assert shared in fetch()["volumeMounts"]
    assert shared in scoring()["volumeMounts"]


def test_a_config_map_travels_as_a_secret_volume_to_the_fetch_container_alone() -> None:
    assert volumes()["source-model-0"]["secret"] == {"model.onnx": base64.b64encode(b"model").decode()}
    (model,) = config(fetch()).models
    assert {"name": "source-model-0", "mountPath": str(model.source), "readOnly": True} in fetch()[
        "volumeMounts"
    ]
    assert "source-model-0" not in {mount["name"] for mount in scoring()["volumeMounts"]}


def test_a_whole_config_map_travels_with_every_key() -> None:
    held = volumes(aci_spec(model=MODEL | {"uri": "configmap://iris"}))["source-model-0"]["secret"]
    assert {name: base64.b64decode(value) for name, value in held.items()} == CONTENT.config_maps["iris"]


def test_credentials_travel_to_the_fetch_container_alone() -> None:
    assert volumes(FULL)["credentials-code"]["secret"] == {"token": base64.b64encode(b"blob-secret").decode()}
    code = config(fetch(FULL)).code
    assert code
    mount = {"name": "credentials-code", "mountPath": str(code.credentials_dir), "readOnly": True}
    assert mount in fetch(FULL)["volumeMounts"]
    assert mount not in scoring(FULL)["volumeMounts"]


def test_keys_travel_to_the_scoring_container_alone() -> None:
    assert set(volumes(FULL)["berth-keys"]["secret"]) == {"primaryKey", "secondaryKey"}
    keys = config(scoring(FULL)).keys_dir
    assert {"name": "berth-keys", "mountPath": str(keys), "readOnly": True} in scoring(FULL)["volumeMounts"]
    assert config(fetch(FULL)).keys_dir is None


def test_nobody_needs_a_key_unless_it_is_asked_for() -> None:
    assert config(scoring()).keys_dir is None
    assert "berth-keys" not in volumes()


def test_what_comes_out_of_a_secret_is_a_secure_value() -> None:
    told = {each["name"]: each for each in scoring(FULL)["environmentVariables"]}
    assert told["API_KEY"] == {"name": "API_KEY", "secureValue": "api-secret"}
    assert told["LOG_LEVEL"] == {"name": "LOG_LEVEL", "value": "debug"}


def test_an_own_image_starts_as_it_is_and_finds_the_model() -> None:
    own = aci_spec(image="registry.test/own:1")
    assert scoring(own)["image"] == "registry.test/own:1"
    assert "command" not in scoring(own)
    assert variables(scoring(own))["AZUREML_MODEL_DIR"] == "/var/azureml-app/azureml-models/iris/3"
    assert scoring(own)["livenessProbe"]["httpGet"]["path"] == "/"
    assert fetch(own)["image"] == IMAGE


def test_an_own_server_has_the_port_and_the_user_that_its_image_is_made_for() -> None:
    own = aci_spec(image="registry.test/own:1")
    assert "securityContext" not in scoring(own)
    ports = [{"port": 5001, "protocol": "TCP"}]
    assert (scoring(own)["ports"], properties(own)["ipAddress"]["ports"]) == (ports, ports)
    assert {scoring(own)[f"{kind}Probe"]["httpGet"]["port"] for kind in ("liveness", "readiness")} == {5001}


@pytest.mark.parametrize("fields", [{}, {"image": "registry.test/own:1", "imageServer": "Berth"}])
def test_berths_server_begins_as_root_listens_on_port_80_and_goes_on_as_another(fields: Spec) -> None:
    serving = scoring(aci_spec(**fields))
    assert serving["securityContext"] == {"runAsUser": 0}
    assert (config(serving).port, config(serving).user) == (80, 65532)
    assert serving["ports"] == properties(aci_spec(**fields))["ipAddress"]["ports"]
    assert serving["ports"] == [{"port": 80, "protocol": "TCP"}]


def test_what_fetches_begins_as_root_and_goes_on_as_another() -> None:
    """A volume may be root's alone."""
    for fields in (aci_spec(), aci_spec(image="registry.test/own:1")):
        assert fetch(fields)["securityContext"] == {"runAsUser": 0}
        assert config(fetch(fields)).user == 65532


def test_an_image_built_on_berths_is_told_to_serve() -> None:
    built = scoring(aci_spec(image="registry.test/own:1", imageServer="Berth"))
    assert (built["image"], built["command"]) == ("registry.test/own:1", ["berth-scoring", "serve"])
    assert built["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_an_own_image_without_a_model_fetches_nothing() -> None:
    alone = properties(aci_spec(image="registry.test/own:1", model=None))
    assert alone.keys().isdisjoint({"initContainers", "volumes"})


def test_the_address_is_public_unless_there_is_a_subnet() -> None:
    address = properties()["ipAddress"]
    assert (address["type"], address["ports"]) == ("Public", [{"port": 80, "protocol": "TCP"}])
    assert address["dnsNameLabel"].startswith("iris-demo-")
    joined = properties(where=place(defaults={"subnetId": SUBNET}))
    assert joined["ipAddress"] == {"type": "Private", "ports": address["ports"]}
    assert joined["subnetIds"] == [{"id": SUBNET}]


def test_a_given_label_is_kept() -> None:
    assert properties(aci_spec(aci={"dnsNameLabel": "iris-live"}))["ipAddress"]["dnsNameLabel"] == "iris-live"


def test_a_label_is_refused_where_the_compute_target_chooses_a_subnet() -> None:
    with pytest.raises(Terminal, match="dnsNameLabel") as refused:
        properties(aci_spec(aci={"dnsNameLabel": "iris-live"}), where=place(defaults={"subnetId": SUBNET}))
    assert refused.value.reason is Reason.REJECTED


def test_spot_has_no_address() -> None:
    spot = properties(aci_spec(aci={"priority": "Spot", "subnetId": SUBNET}))
    assert spot["priority"] == "Spot"
    assert "ipAddress" not in spot


@pytest.mark.parametrize(("budget", "initial", "delay"), [(310, 0, 310), (20, 60, 60), (7200, 7200, 7200)])
def test_liveness_waits_for_the_start(budget: int, initial: int, delay: int) -> None:
    probes = {"startup": {"budgetSeconds": budget}, "liveness": {"initialDelaySeconds": initial}}
    alive = scoring(aci_spec(probes=probes))["livenessProbe"]
    assert alive["initialDelaySeconds"] == delay
    assert alive["httpGet"] == {"path": "/livez", "port": 80, "scheme": "http"}
    assert alive["failureThreshold"] == 3


def test_pulling_and_running_identities_are_assigned() -> None:
    group = desired(
        aci_spec(aci={"identities": ["/subscriptions/s/x/y"]}), place(defaults=FULL_DEFAULTS)
    ).body
    assert group["identity"] == {
        "type": "UserAssigned",
        "userAssignedIdentities": {"/subscriptions/s/x/y": {}, IDENTITY: {}},
    }


def test_a_pull_secret_goes_before_the_registry_of_the_target() -> None:
    registries = properties(FULL, where=place(defaults=FULL_DEFAULTS))["imageRegistryCredentials"]
    assert registries == [
        {"server": "registry.test", "username": "me", "password": "pull-secret"},
        {"server": "team.azurecr.io", "identity": IDENTITY},
    ]


def test_logs_go_to_the_workspace() -> None:
    workspace = properties(where=place(defaults=FULL_DEFAULTS))["diagnostics"]["logAnalytics"]
    assert workspace["workspaceKey"] == "workspace-secret"


def test_the_location_of_the_spec_goes_before_that_of_the_target() -> None:
    assert desired().body["location"] == "eastus"
    assert desired(aci_spec(aci={"location": "westus"})).body["location"] == "westus"


def test_the_tags_tell_whose_the_group_is() -> None:
    wanted = desired(generation=7)
    assert wanted.tags == {
        "managed-by": "berth",
        "berth-cluster": "cccccccc-0000-0000-0000-000000000000",
        "berth-namespace": "demo",
        "berth-name": "iris",
        "berth-uid": "uid-1",
        "berth-generation": "7",
        "berth-fingerprint": wanted.fingerprint,
        "berth-deletion-policy": "Delete",
    }
    assert all(not set(name) & set("<>%&\\?/") for name in wanted.tags)


def test_the_fingerprint_follows_every_secret_and_no_tag() -> None:
    before = desired(FULL, place(defaults=FULL_DEFAULTS))
    rotated = {**CONTENT.secrets, "iris-keys": {"primaryKey": b"new", "secondaryKey": b"second-secret"}}
    content = Content(CONTENT.config_maps, rotated, CONTENT.operator_secrets)
    after = desired(FULL, place(defaults=FULL_DEFAULTS), content=content)
    assert before.fingerprint != after.fingerprint
    assert desired(FULL, place(defaults=FULL_DEFAULTS), generation=9).fingerprint == before.fingerprint
    assert fingerprint(before.body, b"another key") != before.fingerprint


def test_a_newer_scoring_image_waits_for_the_next_change() -> None:
    there = shown(desired())
    kept = desired_group(recipe(), NEWER_IMAGE, KEY, there)
    assert kept == desired()
    changed = desired_group(recipe(aci_spec(env=[{"name": "A", "value": "b"}])), NEWER_IMAGE, KEY, there)
    assert changed.body["properties"]["containers"][0]["properties"]["image"] == NEWER_IMAGE


def test_an_image_that_someone_else_set_is_not_kept() -> None:
    there = shown(desired())
    there["properties"]["initContainers"][0]["properties"]["image"] = "evil:1"
    assert desired_group(recipe(), IMAGE, KEY, there) == desired()


def test_more_volumes_than_azure_has_are_refused() -> None:
    models = [MODEL | {"name": f"m{number}"} for number in range(20)]
    with pytest.raises(Terminal, match="at most 20 volumes, and 21 are needed") as refused:
        desired(aci_spec(model=None, models=models))
    assert refused.value.reason is Reason.TOO_LARGE


def test_more_content_than_azure_takes_is_refused() -> None:
    large = Content(config_maps={"iris": {"model.onnx": b"x" * (LARGEST_BODY * 3 // 4)}})
    with pytest.raises(Terminal, match="and Azure takes 4000000: give https://") as refused:
        desired(content=large)
    assert refused.value.reason is Reason.TOO_LARGE


def padded(length: int, model: int) -> Desired:
    """Give a group with so many characters in a variable, and so many bytes in a ConfigMap."""
    content = Content(config_maps={"iris": {"model.onnx": bytes(model)}})
    return desired(aci_spec(env=[{"name": "PADDING", "value": "x" * length}]), content=content)


def test_azure_is_sent_no_byte_too_many() -> None:
    """Others may have added the longest tags, up to the number that Azure takes."""
    most, model = LARGEST_BODY - LARGEST_TAGS, 2_950_000
    room = most - len(orjson.dumps(padded(0, model).body | {"tags": None})) + len(b',"tags":null')
    full = padded(room, model)
    others = {f"{number:0512}": "v" * 256 for number in range(50 - len(full.tags))}
    sent = len(orjson.dumps(full.body | {"tags": full.tags | others}))
    assert most < sent <= LARGEST_BODY
    with pytest.raises(Terminal, match=f"make a request of {LARGEST_BODY + 1} bytes"):
        padded(room + 1, model)


STORED = MODEL | {"uri": "abfss://models@account.dfs.core.windows.net/iris"}
OTHER_IDENTITY = IDENTITY.replace("puller", "reader")
CLIENT_ID = "0f0f0f0f-1234-5678-9abc-def012345678"


def test_credentials_of_storage_travel_to_the_fetch_container_alone() -> None:
    stored = aci_spec(model=STORED | {"credentialsSecretRef": {"name": "blob"}})
    assert set(volumes(stored)["credentials-model-0"]["secret"]) == {"token"}
    (model,) = config(fetch(stored)).models
    assert model.uri == STORED["uri"]
    mount = {"name": "credentials-model-0", "mountPath": str(model.credentials_dir), "readOnly": True}
    assert mount in fetch(stored)["volumeMounts"]
    assert mount not in scoring(stored)["volumeMounts"]


def test_the_only_identity_opens_storage() -> None:
    stored = aci_spec(model=STORED, aci={"identities": [IDENTITY]})
    assert list(desired(stored).body["identity"]["userAssignedIdentities"]) == [IDENTITY]
    assert "AZURE_CLIENT_ID" not in variables(fetch(stored))


def test_of_several_identities_the_one_with_the_client_id_opens_storage() -> None:
    several = {"identities": [IDENTITY, OTHER_IDENTITY]}
    stored = aci_spec(model=STORED, aci=several | {"identityClientId": CLIENT_ID})
    assert variables(fetch(stored))["AZURE_CLIENT_ID"] == CLIENT_ID
    with pytest.raises(
        Terminal, match=r"or aci\.identityClientId, for the group has 2 identities"
    ) as refused:
        desired(aci_spec(model=STORED, aci=several))
    assert refused.value.reason is Reason.REJECTED


@pytest.mark.parametrize("scheme", ["abfss", "abfs", "wasbs"])
def test_storage_that_nothing_opens_is_refused(scheme: str) -> None:
    uri = STORED["uri"].replace("abfss", scheme)
    with pytest.raises(Terminal, match=rf"{scheme}://\S+ needs credentialsSecretRef or aci.identities"):
        desired(aci_spec(code={"uri": uri}))


def test_the_identity_of_the_target_opens_storage() -> None:
    assert desired(aci_spec(model=STORED), place(defaults={"identities": [IDENTITY]})).body["identity"]


def test_what_is_needed_is_enough_and_nothing_of_it_too_much() -> None:
    parts = needed(recipe(FULL).subject, place(defaults=FULL_DEFAULTS))
    assert parts.config_maps == {"iris"}
    assert parts.secrets == {"iris-keys", "blob", "settings", "pull", "cert"}
    assert parts.operator_secrets == {"registry", "workspace"}
    for name in ("config_maps", "secrets", "operator_secrets"):
        for missing in getattr(parts, name):
            held = {each: getattr(CONTENT, each) for each in ("config_maps", "secrets", "operator_secrets")}
            held[name] = {key: value for key, value in held[name].items() if key != missing}
            with pytest.raises(Terminal, match=missing):
                desired(FULL, place(defaults=FULL_DEFAULTS), content=Content(**held))
