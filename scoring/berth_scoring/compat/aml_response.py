"""`AMLResponse`, for scripts that choose status and headers themselves."""

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response as WerkzeugResponse

__all__ = ["AMLResponse"]

NO_HEADERS: Mapping[str, str] = {}


class AMLResponse(WerkzeugResponse):
    """A response that goes out as it is; None stands for an empty JSON object."""

    default_mimetype = "text/html"

    def __init__(
        self,
        message: Any,  # noqa: ANN401 - text, bytes, or with json_str whatever JSON can hold
        status_code: int,
        response_headers: Mapping[str, str] = NO_HEADERS,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        if message is None or json_str:
            text = json.dumps({} if message is None else message)
            super().__init__(text, status=status_code, mimetype="application/json")
        else:
            super().__init__(message, status=status_code)
            if "Content-Type" in response_headers:
                self.headers.remove("Content-Type")
        self.headers["x-ms-run-function-failed"] = str(run_function_failed)
        for name, values in response_headers.items():
            for value in values.split(","):
                self.headers.add(name, value.strip())
