from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from berth.api.base import ApiModel, Rule
from berth.api.common import ObjectRef, Sha256
from berth.api.uri import Uri

PathPart = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"

_CREDENTIALS = Rule(
    "!has(self.credentialsSecretRef) || !self.uri.matches('^(configmap|pvc|file)://')",
    "credentialsSecretRef is for remote URIs: configmap://, pvc:// and file:// need none, remove it",
)


class ModelFormat(StrEnum):
    """What a model was saved as; chooses the runtime."""

    SKLEARN = "sklearn"
    ONNX = "onnx"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    MLFLOW = "mlflow"
    PYTORCH = "pytorch"
    TENSORFLOW = "tensorflow"


class ModelSource(ApiModel):
    """A trained model: its name, where it lies and how it was saved."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PathPart)]
    """Name of the model in its folder (`NAME/VERSION`) and in the routes of the V1 and V2 protocols."""
    version: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PathPart)] = "1"
    """Version of the model, as text (quote numbers)."""
    uri: Uri
    """File, archive (`.tar.gz`, `.zip`) or folder that holds the model. Archives are unpacked."""
    sha256: Sha256 | None = None
    """Digest that the fetched content must have, in hex. The one seen is in `status.model.digest`."""
    format: ModelFormat | None = None
    """What the model was saved as. Needed unless `spec.code` or `spec.image` serves the model."""
    credentials_secret_ref: ObjectRef | None = None
    """Secret with the credentials for a remote URI."""

    rules = (_CREDENTIALS,)


class Code(ApiModel):
    """A scoring script with the Azure ML contract: `init()` once, `run(raw_data)` for each request."""

    uri: Uri
    """File, archive or folder that holds the script and what it imports."""
    scoring_script: Annotated[
        str,
        StringConstraints(
            max_length=256, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\.py$"
        ),
    ] = "score.py"
    """Path of the script inside that folder."""
    sha256: Sha256 | None = None
    """Digest that the fetched content must have, in lower-case hex."""
    credentials_secret_ref: ObjectRef | None = None
    """Secret with the credentials for a remote URI."""

    rules = (_CREDENTIALS,)
