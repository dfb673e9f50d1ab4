"""What the chart makes of its values."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth.settings import Settings

Render = Callable[..., Any]
DIGEST = "abcdef0123456789" * 4


@pytest.fixture(scope="module")
def default(render: Render) -> Any:
    return render()


def test_lint_finds_nothing(helm: Callable[..., Any], chart: Path) -> None:
    done = helm("lint", chart, "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[INFO]" not in done.stdout


def test_two_replicas_spread_over_nodes_and_guarded_by_a_budget(default: Any) -> None:
    assert default.one("Deployment")["spec"]["replicas"] == 2
    (spread,) = default.pod["topologySpreadConstraints"]
    labels = default.one("Deployment")["spec"]["selector"]["matchLabels"]
    assert spread["labelSelector"]["matchLabels"] == labels
    assert default.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels


def test_one_replica_needs_no_budget_that_would_block_a_drain(render: Render) -> None:
    assert render("replicaCount=1").of("PodDisruptionBudget") == []


def test_the_pod_meets_the_restricted_security_standard(default: Any) -> None:
    assert default.pod["securityContext"]["runAsNonRoot"] is True
    assert default.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert default.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_token_is_mounted_by_the_pod_and_by_no_other_user_of_the_account(default: Any) -> None:
    assert default.pod["automountServiceAccountToken"] is True
    assert default.one("ServiceAccount")["automountServiceAccountToken"] is False


def test_memory_is_limited_and_cpu_is_not(default: Any) -> None:
    assert default.container["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"memory": "512Mi"},
    }


def test_probes_ask_the_port_that_the_container_names(default: Any) -> None:
    (port,) = default.container["ports"]
    assert port == {"name": "http", "containerPort": 8080}
    assert default.container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert default.container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


@pytest.mark.parametrize("grace", [1, 20, 600])
def test_the_pod_outlives_the_grace_of_the_operator(render: Render, grace: int) -> None:
    manifests = render(f"operator.shutdownGraceSeconds={grace}")
    assert manifests.environment["BERTH_SHUTDOWN_GRACE_SECONDS"] == str(grace)
    assert manifests.pod["terminationGracePeriodSeconds"] > grace


def test_settings_reach_the_operator(render: Render) -> None:
    manifests = render(
        "operator.workers=4",
        "operator.connections=40",
        "operator.resyncSeconds=86400",
        "operator.orphanGraceSeconds=604800",
        "operator.logLevel=DEBUG",
        "scoringImage.pullPolicy=Never",
        "watchNamespaces={team-a,team-b}",
        "featurizers[0].featurizer=VGG16",
        "featurizers[0].uri=https://example.org/vgg.onnx",
        f"featurizers[0].sha256={DIGEST}",
    )
    weights = {"featurizer": "VGG16", "sha256": DIGEST, "uri": "https://example.org/vgg.onnx"}
    environment = manifests.environment
    assert json.loads(environment.pop("BERTH_FEATURIZERS")) == [weights]
    assert environment == {
        "BERTH_LEASE_NAME": "berth-leader",
        "BERTH_NAMESPACES": "team-a,team-b",
        "BERTH_SCORING_IMAGE": "ghcr.io/berth-dev/berth-scoring:0.1.0",
        "BERTH_SCORING_IMAGE_PULL_POLICY": "Never",
        "BERTH_LOG_LEVEL": "DEBUG",
        "BERTH_WORKERS": "4",
        "BERTH_CONNECTIONS": "40",
        "BERTH_RESYNC_SECONDS": "86400",
        "BERTH_ORPHAN_GRACE_SECONDS": "604800",
        "BERTH_SHUTDOWN_GRACE_SECONDS": "20",
    }


def test_every_setting_is_one_that_the_operator_reads(default: Any) -> None:
    given = {each["name"] for each in default.container["env"]}
    assert given == {f"BERTH_{name}".upper() for name in Settings.model_fields} - {"BERTH_HTTP_PORT"}


def test_the_defaults_of_the_chart_are_those_of_the_operator(
    default: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = Settings()
    for variable, value in default.environment.items():
        monkeypatch.setenv(variable, value)
    assert Settings() == defaults


def test_the_operator_knows_its_pod_and_namespace(default: Any) -> None:
    fields = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in default.container["env"]
        if "valueFrom" in each
    }
    assert fields == {"BERTH_POD_NAME": "metadata.name", "BERTH_OPERATOR_NAMESPACE": "metadata.namespace"}


def test_images_are_those_of_the_release(default: Any, chart: Path) -> None:
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"]
    assert default.container["image"] == f"ghcr.io/berth-dev/berth:{version}"


def test_a_digest_wins_over_a_tag(render: Render) -> None:
    digest = "sha256:" + "0" * 64
    manifests = render("image.tag=dev", f"image.digest={digest}", f"scoringImage.digest={digest}")
    assert manifests.container["image"] == f"ghcr.io/berth-dev/berth@{digest}"
    assert manifests.environment["BERTH_SCORING_IMAGE"] == f"ghcr.io/berth-dev/berth-scoring@{digest}"


def test_workload_identity_reaches_account_and_pod(render: Render, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(
        yaml.safe_dump(
            {
                "serviceAccount": {"annotations": {"azure.workload.identity/client-id": "c0ffee"}},
                "podLabels": {"azure.workload.identity/use": "true"},
                "podAnnotations": {"team": "ml"},
                "priorityClassName": "system-cluster-critical",
                "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
                "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
                "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
            }
        )
    )
    manifests = render(values=values)
    pod_metadata = manifests.one("Deployment")["spec"]["template"]["metadata"]
    assert manifests.one("ServiceAccount")["metadata"]["annotations"] == {
        "azure.workload.identity/client-id": "c0ffee"
    }
    assert pod_metadata["labels"]["azure.workload.identity/use"] == "true"
    assert pod_metadata["annotations"] == {"team": "ml"}
    assert manifests.pod["priorityClassName"] == "system-cluster-critical"
    assert manifests.environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert {"name": "ca", "mountPath": "/etc/ca"} in manifests.container["volumeMounts"]
    assert {"name": "ca", "configMap": {"name": "ca"}} in manifests.pod["volumes"]


def test_an_account_of_the_user_is_used_as_it_is(render: Render) -> None:
    manifests = render("serviceAccount.create=false", "serviceAccount.name=own")
    assert manifests.of("ServiceAccount") == []
    assert manifests.pod["serviceAccountName"] == "own"
    subjects = [each["subjects"][0]["name"] for each in manifests.of("ClusterRoleBinding")]
    assert subjects == ["own"]


def test_monitoring_and_network_policy_are_off_by_default(default: Any) -> None:
    for kind in ("ServiceMonitor", "PrometheusRule", "NetworkPolicy"):
        assert default.of(kind) == []


def test_the_service_monitor_selects_the_metrics_service(render: Render) -> None:
    manifests = render(
        "monitoring.serviceMonitor.enabled=true", "monitoring.serviceMonitor.labels.release=prom"
    )
    monitor = manifests.one("ServiceMonitor")
    service = manifests.one("Service", "berth-metrics")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in [each["name"] for each in service["spec"]["ports"]]


def test_the_network_policy_leaves_open_what_the_operator_needs(render: Render) -> None:
    policy = render("networkPolicy.enabled=true").one("NetworkPolicy")["spec"]
    open_ports = {port["port"] for rule in policy["egress"] for port in rule.get("ports", [])}
    assert open_ports == {53, 80, 443, 6443, 5001}
    assert {"to": [{"namespaceSelector": {}}]} in policy["egress"]
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


def test_releases_do_not_collide(helm: Callable[..., Any], chart: Path) -> None:
    names = []
    for release in ("one", "two"):
        done = helm("template", release, chart, "--kube-version", "1.34.0", "--set", "crds.enabled=false")
        objects = [each for each in yaml.safe_load_all(done.stdout) if each]
        names += [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("replicaCount=two", "at '/replicaCount': got string, want integer"),
        ("replicaCount=0", "at '/replicaCount': minimum: got 0, want 1"),
        ("replicas=3", "additional properties 'replicas' not allowed"),
        ("image.name=x", "at '/image': additional properties 'name' not allowed"),
        ("image.digest=abcd", "at '/image/digest': 'abcd' does not match pattern"),
        ("image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of"),
        ("watchNamespaces=team-a", "at '/watchNamespaces': got string, want array"),
        ("watchNamespaces={Team}", "at '/watchNamespaces/0': 'Team' does not match pattern"),
        ("operator.logLevel=verbose", "at '/operator/logLevel': value must be one of"),
        ("operator.shutdownGraceSeconds=0", "at '/operator/shutdownGraceSeconds': minimum: got 0, want 1"),
        ("crds.enabled=maybe", "at '/crds/enabled': got string, want boolean"),
        ("monitoring.serviceMonitor.interval=often", "at '/monitoring/serviceMonitor/interval': 'often'"),
        ("serviceAccount.create=false", "serviceAccount.name must name an existing account"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(
    template: Callable[..., Any], assignment: str, complaint: str
) -> None:
    done = template(assignment)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_every_value_has_a_default_and_is_in_the_table_of_the_readme(chart: Path) -> None:
    schema = yaml.safe_load((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())
    readme = (chart / "README.md").read_text()
    assert set(schema["properties"]) - {"global"} == set(values)
    for key in leaves(values, schema):
        assert f"| `{key}` |" in readme, key


def leaves(values: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        described = schema["properties"][name]
        if "properties" in described:
            found += leaves(value, described, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found
