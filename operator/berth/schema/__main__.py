import argparse
from pathlib import Path
from typing import Any

import yaml

from berth.schema.crd import compute_target_kind, kinds, model_deployment_kind
from berth.schema.reference import capability_reference, field_reference, targets_that_honour


def files() -> dict[str, str]:
    """Give the generated files: name to content."""
    crds = {f"{(crd := kind.crd())['metadata']['name']}.yaml": _as_yaml(crd) for kind in kinds()}
    return crds | {
        "modeldeployment.md": field_reference(model_deployment_kind(), targets_that_honour),
        "computetarget.md": field_reference(compute_target_kind()),
        "capabilities.md": capability_reference(),
    }


def _as_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_PlainDumper, sort_keys=False, width=110)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def main() -> None:
    """Write the CRDs, and the reference if asked."""
    parser = argparse.ArgumentParser(prog="python -m berth.schema", description=main.__doc__)
    parser.add_argument("crds", type=Path, nargs="+", help="folders for the CRDs")
    parser.add_argument(
        "--reference", type=Path, action="append", default=[], help="folder for the reference"
    )
    args = parser.parse_args()
    folders = {".yaml": args.crds, ".md": args.reference}
    for name, content in files().items():
        for folder in folders[Path(name).suffix]:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)


if __name__ == "__main__":
    main()
