"""Whether this replica lives and whether it wants requests."""

from collections.abc import Callable

from berth_scoring.messages import Request, Response, json_response


class Lifecycle:
    """Readiness ends when the pod is told to go; liveness ends when only a restart helps."""

    def __init__(self, stuck: Callable[[], bool]) -> None:
        self._stuck = stuck
        self.draining = False

    async def livez(self, _request: Request) -> Response:
        """Answer `/livez`."""
        if self._stuck():
            return json_response(
                {"status": "stuck", "message": "a run has not returned long after its deadline"}, 503
            )
        return json_response({"status": "alive"})

    async def readyz(self, _request: Request) -> Response:
        """Answer `/readyz`."""
        if self.draining:
            return json_response({"status": "draining"}, 503)
        return json_response({"status": "ready"})
