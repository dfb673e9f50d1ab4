from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from berth.api.base import ApiModel, Rule
from berth.api.common import ObjectRef, Sha256
from berth.api.uri import STORAGE_SCHEMES, Uri

_PATH_PART = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
_SCRIPT_PATH = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\.py$"

_WITH_CREDENTIALS = ("https", *STORAGE_SCHEMES)


class ModelFormat(StrEnum):
    """What a model was saved as; chooses the runtime."""

    SKLEARN = "sklearn"
    ONNX = "onnx"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    MLFLOW = "mlflow"
    PYTORCH = "pytorch"
    TENSORFLOW = "tensorflow"


class Source(ApiModel):
    """Something that is fetched before serving starts."""

    uri: Uri
    """File, archive (unpacked) or folder, such as `https://HOST/PATH`, `configmap://NAME/KEY`, `pvc://NAME/PATH`."""
    sha256: Sha256 | None = None
    """Digest that the fetched content must have, in lower-case hex."""
    credentials_secret_ref: ObjectRef | None = None
    """Secret with `token`, `authorization`, `username` and `password`, `sasToken` or `accountKey`."""

    rules = (
        Rule(
            f"!has(self.credentialsSecretRef) || self.uri.matches('^({'|'.join(_WITH_CREDENTIALS)})://')",
            f"credentialsSecretRef is for URIs of {', '.join(_WITH_CREDENTIALS)}: remove it",
        ),
    )


class ModelSource(Source):
    """A trained model: its name, where it lies and how it was saved."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=_PATH_PART)]
    """Name of the model in its folder (`NAME/VERSION`) and in the routes of the V1 and V2 protocols."""
    version: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_PATH_PART)] = "1"
    """Version of the model, as text (quote numbers)."""
    format: ModelFormat | None = None
    """What the model was saved as. Needed unless `spec.code` or `spec.image` serves the model."""


class Code(Source):
    """A scoring script with the Azure ML contract: `init()` once, `run(raw_data)` for each request."""

    scoring_script: Annotated[str, StringConstraints(max_length=256, pattern=_SCRIPT_PATH)] = "score.py"
    """Path of the script inside the folder that was fetched."""
