"""The pool of the demo is that of examples/, with emulated devices and weights that need no web."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_sandbox import folders, images, models, pool
from berth_sandbox.access import Access
from berth_sandbox.cards import CARDS

EXAMPLES = folders.REPOSITORY / "examples"
WEIGHTS = b"of a network"


@dataclass(frozen=True)
class Cluster(Access):
    """A cluster that keeps what kubectl is told."""

    kubeconfig: Path = Path()
    programs: tuple[Path, Path] = (Path(), Path())
    calls: list[tuple[str, ...]] = field(default_factory=list)
    applied: list[dict[str, Any]] = field(default_factory=list)

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        self.calls.append(tuple(map(str, arguments)))
        if stdin:
            self.applied.append(json.loads(stdin))
        return ""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "resnet50.onnx").write_bytes(WEIGHTS)
    return tmp_path


def example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return found


def test_the_pool_is_the_users_but_for_its_devices_and_where_the_weights_are(weights: Path) -> None:
    made, given = pool.place(weights), example("fpga-pool.yaml")
    assert made["spec"]["fpga"].pop("resourceName") == CARDS.resource
    assert made["spec"]["fpga"].pop("deviceFiles") == ["/dev/fpga/*/device"]
    (stock,) = made["spec"]["fpga"].pop("featurizers")
    assert stock == {
        "featurizer": "ResNet50",
        "uri": f"file://{images.WEIGHTS}",
        "sha256": sha256(WEIGHTS).hexdigest(),
    }
    for replaced in ("resourceName", "deviceFiles", "featurizers"):
        del given["spec"]["fpga"][replaced]
    assert made == given


def test_the_nodes_get_the_labels_that_the_pool_selects(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.Example, "trained", lambda _: weights)
    cluster = Cluster()
    pool.install(cluster)
    assert ("label", "nodes", "--all", "--overwrite", "pool=fpga") in cluster.calls
    assert cluster.applied == [pool.place(weights)]


def test_the_image_has_the_weights_where_the_pool_says() -> None:
    dockerfile = (folders.REPOSITORY / images.SCORING.dockerfile).read_text()
    assert dockerfile.rstrip().endswith(f"examples/flowers/{models.OUTPUT}/resnet50.onnx {images.WEIGHTS}")


def test_the_classifier_is_in_the_config_map_that_the_deployment_names() -> None:
    (made,) = yaml.safe_load((pool.CLASSIFIER / "kustomization.yaml").read_text())["configMapGenerator"]
    (file,) = made["files"]
    deployment = example("fpga.yaml")
    assert deployment["spec"]["model"]["uri"] == f"configmap://{made['name']}/{Path(file).name}"
    assert deployment["metadata"]["name"] == pool.NAME
    assert deployment["spec"]["computeTargetRef"]["name"] == example("fpga-pool.yaml")["metadata"]["name"]


def test_the_client_brings_what_it_needs_by_its_own_lock() -> None:
    *_, client, address, image = pool.client_command("localhost:8500", Path("rose.jpg"))
    assert Path(f"{client}.lock").exists()
    assert (address, image) == ("localhost:8500", "rose.jpg")


def test_the_lock_of_the_client_names_no_other_index() -> None:
    lock = Path(f"{pool.CLIENT}.lock").read_text()
    sources = {line.split('"')[1] for line in lock.splitlines() if line.startswith("source = ")}
    assert sources == {"https://pypi.org/simple"}
