"""The manifest of the emulated FPGAs, and how they are counted, broken and mended."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from berth_sandbox import cards, images
from berth_sandbox.access import Access
from berth_sandbox.cards import CARDS, Cards
from berth_sandbox.errors import SandboxError

Object = dict[str, Any]


@dataclass(frozen=True)
class Cluster(Access):
    """A cluster that keeps what is applied, and whose nodes offer what they are told."""

    kubeconfig: Path = Path()
    programs: tuple[Path, Path] = (Path(), Path())
    nodes: list[dict[str, str]] = field(default_factory=list)
    objects: dict[str, Object] = field(default_factory=dict)
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        verb, *others = map(str, arguments)
        self.ran.append((verb, *others))
        if verb == "apply":
            items = json.loads(stdin or "")["items"]
            self.objects.update({f"{each['kind']}/{each['metadata']['name']}": each for each in items})
        if (verb, others[0]) == ("get", "nodes"):
            return json.dumps({"items": [{"status": {"allocatable": offered}} for offered in self.nodes]})
        return "the registry is not there" if verb == "logs" else ""


def arguments(cluster: Cluster, name: str) -> list[str]:
    (container,) = cluster.objects[f"DaemonSet/{name}"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == images.SANDBOX.reference
    given: list[str] = container["args"]
    return given


def test_the_manifest_announces_two_devices_in_the_kubelets_own_folder() -> None:
    cluster = Cluster()
    CARDS.plug_in(cluster)
    assert arguments(cluster, "arria10") == [
        "--resource=fpga.example.com/arria10",
        "--devices=acl0,acl1",
        "--folder=/run/fpga",
        "--registry=/var/lib/kubelet/plugins_registry",
    ]


def test_containers_find_devices_where_the_plugin_has_them() -> None:
    """The kubelet is told of folders of the node, and the plugin sees those of its Pod."""
    cluster = Cluster()
    CARDS.plug_in(cluster)
    pod = cluster.objects["DaemonSet/arria10"]["spec"]["template"]["spec"]
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounts == {each["name"]: each["hostPath"]["path"] for each in pod["volumes"]}
    assert mounts["devices"] == cards.FOLDER


def test_devices_of_another_kind_have_a_plugin_of_their_own() -> None:
    cluster = Cluster()
    for kind in (CARDS, Cards("stratix10", ("s0",))):
        kind.plug_in(cluster)
    first, second = (cluster.objects[f"DaemonSet/{name}"]["spec"] for name in ("arria10", "stratix10"))
    assert first["selector"] != second["selector"]
    for spec in (first, second):
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    given = arguments(cluster, "stratix10")
    assert {"--resource=fpga.example.com/stratix10", "--devices=s0"} <= set(given)


def test_devices_of_all_nodes_are_counted() -> None:
    offered = [{CARDS.resource: "2"}, {"cpu": "2"}, {CARDS.resource: "1", "fpga.example.com/other": "4"}]
    assert CARDS.offered(Cluster(nodes=offered)) == 3


def test_devices_that_never_come_are_told_with_the_plugins_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cards, "PATIENCE_SECONDS", 0)
    with pytest.raises(SandboxError, match=r"0 devices .*arria10 are offered(.|\n)*registry is not there"):
        CARDS.wait(Cluster())


def test_a_device_is_broken_and_mended_as_the_manifest_says() -> None:
    cluster = Cluster()
    CARDS.fail(cluster, "acl0")
    CARDS.mend(cluster, "acl0")
    described = cards.MANIFEST.read_text()
    for command in cluster.ran:
        assert f"kubectl {' '.join(command)}" in described


def test_only_the_plugin_of_these_devices_is_unplugged() -> None:
    cluster = Cluster()
    CARDS.unplug(cluster)
    assert cluster.ran == [("delete", "daemonset/arria10", "--namespace=fpga")]
