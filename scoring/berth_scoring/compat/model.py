"""`azureml.core.model.Model`, as far as scripts need it to find their files."""

import os
from pathlib import Path

__all__ = ["Model"]


class Model:
    """Looks models up in the pod, never in a workspace."""

    @staticmethod
    def get_model_path(model_name: str, version: int | str | None = None, _workspace: object = None) -> str:
        """Return the path of a model's file or folder, of its newest version unless one is named."""
        root = Path(os.environ["AZUREML_MODEL_DIR"])
        # With one model the variable names <root>/<name>/<version>, with several it names <root>.
        parent = root.parent if root.parent.name == model_name else root / model_name
        folder = parent / str(version) if version is not None else _newest(parent)
        if folder is None or not folder.is_dir():
            raise FileNotFoundError(f"Model {model_name} not found in {parent}")
        entries = list(folder.iterdir())
        return str(entries[0] if len(entries) == 1 else folder)


def _newest(parent: Path) -> Path | None:
    versions = [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    return max(
        versions,
        key=lambda path: (path.name.isdecimal(), int(path.name) if path.name.isdecimal() else 0, path.name),
        default=None,
    )
