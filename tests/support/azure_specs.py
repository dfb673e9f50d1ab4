"""Microsoft's description of container instances, its examples, and a recording of the real service."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "azure-specs" / "containerinstance"
DESCRIPTIONS = FOLDER / "2023-05-01"
DESCRIPTION = DESCRIPTIONS / "containerInstance.json"
MISSING = f"Microsoft's descriptions are not beside the repository: {FOLDER.name} of shared/azure-specs"


@dataclass(frozen=True)
class Example:
    """An official example: parameters of one request, and answers by status."""

    name: str
    parameters: dict[str, Any]
    answers: dict[int, Any]

    @property
    def body(self) -> Any:
        """Return what is sent."""
        return self.parameters.get("containerGroup")


def examples() -> dict[str, Example]:
    """Return every example by its name."""
    found = {}
    for path in sorted(DESCRIPTIONS.glob("examples/*.json")):
        document = json.loads(path.read_text())
        answers = {int(status): answer.get("body") for status, answer in document["responses"].items()}
        found[path.stem] = Example(path.stem, document["parameters"], answers)
    return found


def recording() -> list[dict[str, Any]]:
    """Return the exchanges of a real session, in order."""
    path = FOLDER / "observed" / "create-poll-logs-delete.2023-05-01.json"
    exchanges: list[dict[str, Any]] = json.loads(path.read_text())["exchanges"]
    return exchanges


def operations() -> set[tuple[str, str]]:
    """Return the id and method of every operation that is described."""
    description = json.loads(DESCRIPTION.read_text())
    return {
        (operation["operationId"], method.upper())
        for methods in description["paths"].values()
        for method, operation in methods.items()
    }
