"""The shapes of what a hub is sent, as far as it reads them."""

from typing import Any

from berth_sandbox.azure.iot_hub.errors import invalid_argument
from berth_sandbox.azure.names import Document
from berth_sandbox.azure.shape import misfits, without_nulls

TEXTS = {str: str}
CONFIGURATION = {
    "id!": str,
    "schemaVersion": str,
    "labels": TEXTS,
    "content": {str: {str: object}},
    "targetCondition": str,
    "priority": int,
    "metrics": {"queries": TEXTS},
}
QUERIES = {"targetCondition": str, "customMetricQueries": TEXTS}
QUERY = {"query!": str}
DEVICE = {"status": str, "capabilities": {"iotEdge": bool}}
TWIN = {"tags": dict, "properties": {"desired": dict}}
CONTENT = {"modulesContent!": {str: {str: object}}}


def checked(shape: Document, body: Any) -> Document:  # noqa: ANN401 - any JSON
    """Return a body of that shape, or refuse it."""
    for place in misfits(shape, without_nulls(body)):
        raise invalid_argument(
            f"The value of {place.lstrip('.') or 'the body'} is missing or of another kind."
        )
    found: Document = body
    return found
