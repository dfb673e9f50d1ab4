"""The pool of emulated devices that examples/fpga.yaml runs on, and a client of the network there."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from berth_sandbox import folders, images, models
from berth_sandbox.access import Access
from berth_sandbox.cards import CARDS
from berth_sandbox.forward import forwarded
from berth_sandbox.fpga.devices import FILE
from berth_sandbox.fpga.plugin import CONTAINER_FOLDER
from berth_sandbox.progress import step
from berth_sandbox.runner import Runner

PLACE = folders.REPOSITORY / "examples" / "fpga-pool.yaml"
CLASSIFIER = models.FLOWERS.folder  # its kustomization
CLIENT = models.FLOWERS.folder / "client.py"
NAME = "flowers-fpga"

Object = dict[str, Any]


def install(access: Access) -> None:
    """Let the devices of the cluster's nodes be the pool of examples/."""
    found = place(models.FLOWERS.trained())
    with step("making the pool of devices"):
        for name, value in found["spec"]["fpga"]["nodeSelector"].items():
            access.kubectl("label", "nodes", "--all", "--overwrite", f"{name}={value}")
        access.kubectl("apply", "--filename=-", stdin=json.dumps(found))


def place(weights: Path) -> Object:
    """Return the ComputeTarget, the user's but for its devices and for where the weights are."""
    found: Object = yaml.safe_load(PLACE.read_text())
    (stock,) = found["spec"]["fpga"]["featurizers"]
    stock["uri"] = f"file://{images.WEIGHTS}"
    stock["sha256"] = sha256((weights / "resnet50.onnx").read_bytes()).hexdigest()
    found["spec"]["fpga"]["resourceName"] = CARDS.resource
    found["spec"]["fpga"]["deviceFiles"] = [f"{CONTAINER_FOLDER}/*/{FILE}"]
    return found


def ask(access: Access, namespace: str, image: Path) -> Object:
    """Show an image to the network, by a client of TensorFlow Serving, and return what that prints."""
    with forwarded(access, namespace, f"service/{NAME}") as url:
        answer: Object = json.loads(Runner().run(*client_command(urlsplit(url).netloc, image)))
    return answer


def client_command(address: str, image: Path, *key: str) -> list[str]:
    """Return the command line of the client, which brings what it needs by its own lock."""
    uv = os.environ.get("UV", "uv")
    return [uv, "run", "--quiet", "--frozen", "--script", str(CLIENT), address, str(image), *key]


def flower(name: str) -> Path:
    """Return the file of a flower that the classifier has not seen."""
    return models.FLOWERS.output / f"{name}.jpg"
