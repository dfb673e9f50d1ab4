"""Microsoft's description of IoT hubs, schemas and examples of deployments, and a recorded session."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "azure-specs"
DESCRIPTION = FOLDER / "iothub" / "2021-04-12" / "service.json"
SCHEMAS = FOLDER / "iotedge" / "schemas"
EXAMPLES = FOLDER / "iotedge" / "examples"
MISSING = "Microsoft's descriptions are not beside the repository: iothub and iotedge of shared/azure-specs"


def recording() -> list[dict[str, Any]]:
    """Return the exchanges of a real session, in order."""
    path = FOLDER / "iothub" / "observed" / "configuration-lifecycle-and-412.json"
    exchanges: list[dict[str, Any]] = json.loads(path.read_text())["exchanges"]
    return exchanges


def operations() -> set[tuple[str, str]]:
    """Return the id and method of every operation that is described."""
    return {
        (operation["operationId"], method.upper())
        for methods in json.loads(DESCRIPTION.read_text())["paths"].values()
        for method, operation in methods.items()
    }


def example(name: str) -> Any:
    """Return an official example."""
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def modules_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return what an example says of modules; the oldest call it `moduleContent`."""
    content = document.get("content", document)
    modules: dict[str, Any] = content.get("modulesContent") or content["moduleContent"]
    return modules
