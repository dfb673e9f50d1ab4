import argparse
from pathlib import Path

import yaml

from berth.schema.crd import model_deployment_crd, model_deployment_schema
from berth.schema.reference import capability_reference, field_reference


def files() -> dict[str, str]:
    """Give the generated files: name to content."""
    crd = model_deployment_crd()
    schema = model_deployment_schema()
    return {
        f"{crd['metadata']['name']}.yaml": yaml.dump(crd, Dumper=_PlainDumper, sort_keys=False, width=110),
        "modeldeployment.md": field_reference(schema),
        "capabilities.md": capability_reference(),
    }


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
