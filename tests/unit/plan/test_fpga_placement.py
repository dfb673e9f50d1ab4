from typing import Any

import orjson
import pytest
from deployments import IMAGE, MODEL, subject
from device_pods import RESOURCE
from fpga_deployments import STOCK, fpga_spec, fpga_subject, pool

from berth.api.fpga_place import StockWeights
from berth.core.errors import Terminal
from berth.plan import children
from berth.plan.children import SERVING
from berth.plan.fpga_placement import FpgaSubject, claim_template, placed

WEIGHTS = {"uri": "https://example.org/own.onnx", "sha256": "0b" * 32}
CERTIFICATE = {"secretRef": {"name": "cert"}}


def deployment(of: FpgaSubject) -> Any:
    return children.deployment(of, IMAGE, observed=None).body


def pod(of: FpgaSubject) -> Any:
    return deployment(of)["spec"]["template"]["spec"]


def scoring(of: FpgaSubject) -> Any:
    return pod(of)["containers"][0]


def config(of: FpgaSubject) -> Any:
    env = {each["name"]: each["value"] for each in scoring(of)["env"]}
    return orjson.loads(env["BERTH_SCORING_CONFIG"])


def serving(of: FpgaSubject) -> str:
    return str(deployment(of)["metadata"]["annotations"][SERVING])


def test_each_replica_gets_its_devices_and_the_fetch_container_none() -> None:
    of = fpga_subject(fpga_spec({"device": {"count": 2}}))
    assert scoring(of)["resources"]["limits"] == {RESOURCE: "2"}
    assert RESOURCE not in str(pod(of)["initContainers"])


def test_the_pool_says_where_and_the_model_adds() -> None:
    place = pool(
        nodeSelector={"pool": "fpga"},
        tolerations=[{"key": "sku", "value": "fpga"}],
        runtimeClassName="fpga",
        hugepages={"hugepages-2Mi": "512Mi"},
        supplementalGroups=[44],
    )
    own = {"nodeSelector": {"zone": "1", "pool": "mine"}, "tolerations": [{"operator": "Exists"}]}
    found = pod(fpga_subject(fpga_spec(own | {"priorityClassName": "latency"}), place))
    assert found["nodeSelector"] == {"zone": "1", "pool": "fpga"}
    assert [each.get("key") for each in found["tolerations"]] == ["sku", None]
    assert (found["runtimeClassName"], found["priorityClassName"]) == ("fpga", "latency")
    assert found["containers"][0]["resources"]["limits"] == {RESOURCE: "1", "hugepages-2Mi": "512Mi"}
    assert found["securityContext"]["supplementalGroups"] == [44]


def test_the_own_runtime_class_and_resource_come_first() -> None:
    own = {"runtimeClassName": "mine", "device": {"resourceName": "example.org/card"}}
    found = pod(fpga_subject(fpga_spec(own), pool(runtimeClassName="fpga")))
    assert found["runtimeClassName"] == "mine"
    assert found["containers"][0]["resources"]["limits"] == {"example.org/card": "1"}


def test_the_container_is_told_of_its_pipeline() -> None:
    told = config(fpga_subject(fpga_spec({"batchSize": 4, "outputTensor": "classes"})))
    assert told["port"] == 5001
    assert told["pipeline"] == {
        "featurizer": "ResNet50",
        "weights": "weights",
        "classifier": "iris",
        "port": 8500,
        "inputTensor": "images",
        "outputTensor": "classes",
        "maxBatch": 4,
    }
    assert [(model["name"], model["uri"]) for model in told["models"]] == [
        ("iris", MODEL["uri"]),
        ("weights", STOCK["uri"]),
    ]
    assert told["models"][1]["sha256"] == STOCK["sha256"]


def test_the_pool_says_what_runs_on_the_device() -> None:
    place = pool(
        executionProvider="VitisAIExecutionProvider",
        providerOptions={"target": "u250"},
        deviceFiles=["/dev/acl*"],
    )
    told = config(fpga_subject(place=place))["pipeline"]
    assert told["provider"] == "VitisAIExecutionProvider"
    assert (told["providerOptions"], told["devices"]) == ({"target": "u250"}, ["/dev/acl*"])


def test_a_classifier_may_have_the_name_of_the_weights() -> None:
    told = config(fpga_subject(fpga_spec(model=MODEL | {"name": "weights"})))
    assert told["pipeline"]["classifier"] == "weights"
    assert told["pipeline"]["weights"] == "featurizer-weights"
    assert [model["name"] for model in told["models"]] == ["weights", "featurizer-weights"]


def test_own_weights_come_before_the_stock_ones_and_from_a_volume_too() -> None:
    of = fpga_subject(fpga_spec({"weights": {"uri": "pvc://weights/own.onnx"}}))
    assert config(of)["models"][1]["source"] == "/var/berth/sources/weights/own.onnx"
    assert {"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}} in pod(of)["volumes"]
    assert "weights" in [mount["name"] for mount in pod(of)["initContainers"][0]["volumeMounts"]]


def test_weights_are_fetched_where_there_is_no_classifier() -> None:
    of = fpga_subject(fpga_spec(model=None))
    assert [each["args"] for each in pod(of)["initContainers"]] == [["fetch"]]


def test_the_weights_of_the_installation_serve_where_the_pool_has_none() -> None:
    vgg = STOCK | {"featurizer": "VGG16", "uri": "https://example.org/vgg.onnx"}
    other = STOCK | {"uri": "https://example.org/other.onnx"}
    stock = (StockWeights.model_validate(vgg), StockWeights.model_validate(other))
    found = placed(subject(fpga_spec({"featurizer": "VGG16"})), pool(), stock=stock)
    assert config(found)["models"][1]["uri"] == vgg["uri"]
    assert config(placed(subject(fpga_spec()), pool(), stock=stock))["models"][1]["uri"] == STOCK["uri"]


def test_weights_that_nobody_has_are_told() -> None:
    with pytest.raises(Terminal, match="no stock weights for VGG16"):
        pod(fpga_subject(fpga_spec({"featurizer": "VGG16"})))


def test_a_server_of_its_own_needs_no_weights_and_is_asked_by_grpc() -> None:
    of = fpga_subject(fpga_spec({"featurizer": "VGG16"}, image="registry.test/own:1"))
    assert "pipeline" not in config(of)
    found = scoring(of)
    assert found["readinessProbe"]["grpc"] == found["livenessProbe"]["grpc"] == {"port": 8500}
    assert found["startupProbe"]["grpc"] == {"port": 8500}


def test_callers_speak_grpc_on_port_80_and_http_besides() -> None:
    of = fpga_subject()
    ports = children.service(of).body["spec"]["ports"]
    assert [(port["name"], port["port"]) for port in ports] == [("grpc", 80), ("http", 5001)]
    assert [port["containerPort"] for port in scoring(of)["ports"]] == [8500, 5001]
    assert scoring(of)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_with_a_certificate_callers_speak_grpc_on_port_443() -> None:
    of = fpga_subject(fpga_spec(tls=CERTIFICATE))
    assert children.service(of).body["spec"]["ports"][0]["port"] == 443
    assert config(of)["tls"] == {"dir": "/var/berth/tls"}
    assert {"name": "tls", "secret": {"secretName": "cert"}} in pod(of)["volumes"]
    assert scoring(of)["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    own = fpga_subject(fpga_spec(tls={"selfSigned": True}))
    assert config(own)["tls"] == {"selfSignedFor": ["iris.demo.svc"]}


@pytest.mark.parametrize(("surge", "missing"), [(0, 1), (1, 0)])
def test_a_rollout_surges_or_replaces_one_by_one(surge: int, missing: int) -> None:
    strategy = deployment(fpga_subject(surge=surge))["spec"]["strategy"]
    assert strategy == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing},
    }


@pytest.mark.parametrize("milliseconds", [1, 60_000, 3_600_000])
def test_an_old_pod_has_time_to_end_and_the_deadline_covers_it(milliseconds: int) -> None:
    of = fpga_subject(fpga_spec(requests={"timeoutMilliseconds": milliseconds}))
    grace = pod(of)["terminationGracePeriodSeconds"]
    assert grace > milliseconds / 1000
    assert grace >= 10
    assert deployment(of)["spec"]["progressDeadlineSeconds"] == 600 + grace


def test_what_pods_do_not_depend_on_leaves_them_alone() -> None:
    same = [
        fpga_subject(surge=1),
        fpga_subject(fpga_spec({"progressDeadlineSeconds": 900, "expose": {"type": "LoadBalancer"}})),
        fpga_subject(fpga_spec(scaling={"replicas": 3})),
        fpga_subject(place=pool(scalesFromZero=True)),
        fpga_subject(place=pool(featurizers=[STOCK, STOCK | {"featurizer": "VGG16"}])),
    ]
    assert {serving(each) for each in same} == {serving(fpga_subject())}


def test_pods_follow_what_the_pool_says() -> None:
    changed = [
        fpga_subject(),
        fpga_subject(place=pool(nodeSelector={"pool": "fpga"})),
        fpga_subject(place=pool(tolerations=[{"operator": "Exists"}])),
        fpga_subject(place=pool(resourceName="example.org/card")),
        fpga_subject(place=pool(featurizers=[STOCK | {"sha256": "0c" * 32}])),
        fpga_subject(place=pool(deviceFiles=["/dev/acl*"])),
        fpga_subject(fpga_spec({"device": {"count": 2}})),
        fpga_subject(fpga_spec({"priorityClassName": "latency"})),
        fpga_subject(fpga_spec({"batchSize": 2})),
        fpga_subject(fpga_spec(tls=CERTIFICATE)),
        fpga_subject(fpga_spec(tls=CERTIFICATE | {"secretRef": {"name": "other"}})),
        fpga_subject(fpga_spec(model=MODEL | {"version": "4"})),
    ]
    assert len({serving(each) for each in changed}) == len(changed)


def test_a_device_of_a_class_is_claimed_by_a_template() -> None:
    place = pool(resourceName=None, deviceClassName="fpga.example.com", dynamicResources=True)
    of = fpga_subject(fpga_spec({"device": {"count": 2}}), place)
    template = claim_template(of)
    assert template is not None
    assert template["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"] == 2
    claim = {"name": "device", "resourceClaimTemplateName": template["metadata"]["name"]}
    assert pod(of)["resourceClaims"] == [claim]
    assert scoring(of)["resources"]["claims"] == [{"name": "device"}]
    assert claim_template(fpga_subject()) is None


def test_another_count_is_another_template() -> None:
    place = pool(resourceName=None, deviceClassName="fpga.example.com", dynamicResources=True)
    names = {
        claim_template(fpga_subject(fpga_spec({"device": {"count": count}}), place))["metadata"]["name"]  # type: ignore[index]  # there is a class
        for count in (1, 2)
    }
    assert len(names) == 2


def test_a_device_class_needs_a_pool_whose_runtime_hands_it_over() -> None:
    with pytest.raises(Terminal, match="dynamicResources: true"):
        pod(fpga_subject(fpga_spec({"device": {"deviceClassName": "fpga.example.com"}})))


def test_a_device_that_nobody_names_is_told() -> None:
    nowhere = fpga_spec({"weights": WEIGHTS}, computeTargetRef=None)
    with pytest.raises(Terminal, match="names a device"):
        pod(placed(subject(nowhere), None, surge=0))
