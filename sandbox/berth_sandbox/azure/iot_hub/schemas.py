"""Microsoft's schemas of deployment manifests, where a folder holds them."""

import json
import re
from pathlib import Path

from jsonschema import Draft4Validator

from berth_sandbox.azure.iot_hub.content import AGENT, DESIRED, EDGE_HUB, Manifest
from berth_sandbox.azure.iot_hub.manifest_rules import Status, own_rules

FILE = re.compile(r"azure-iot-edge(agent|hub)-deployment-(.+)\.json")
MODULES = {"agent": AGENT, "hub": EDGE_HUB}


class OfficialRules:
    """The rules of the agent, and what the schemas say besides."""

    def __init__(self, folder: Path) -> None:
        self._validators = {
            (MODULES[found[1]], found[2]): Draft4Validator(json.loads(path.read_text()))
            for path in folder.glob("*.json")
            if (found := FILE.fullmatch(path.name))
        }

    def __call__(self, manifest: Manifest) -> Status | None:
        """Return why the agent does not act on a manifest."""
        return own_rules(manifest) or next(
            ((400, problem) for module in (AGENT, EDGE_HUB) for problem in self.problems(manifest, module)),
            None,
        )

    def problems(self, manifest: Manifest, module: str) -> list[str]:
        """Return what the schema of a module finds; of a version that has none nothing is known."""
        desired = manifest.twins.get(module)
        validator = self._validators.get((module, (desired or {}).get("schemaVersion", "")))
        if validator is None:
            return []
        errors = validator.iter_errors({module: {DESIRED: desired}})
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
