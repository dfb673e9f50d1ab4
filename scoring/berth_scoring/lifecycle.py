"""Whether this replica lives and whether it wants requests."""

from collections.abc import Callable

from berth_scoring.messages import Request, Response, json_response


class Lifecycle:
    """Readiness ends when the pod is told to go; liveness ends when only a restart helps."""

    def __init__(self, stuck: Callable[[], bool]) -> None:
        self._stuck = stuck
        self._checks: list[Callable[[], str | None]] = []
        self.draining = False

    def add(self, check: Callable[[], str | None]) -> None:
        """Have a part say what is wrong with it, if only a restart helps."""
        self._checks.append(check)

    async def livez(self, _request: Request) -> Response:
        """Answer `/livez`."""
        if self._stuck():
            return json_response(
                {"status": "stuck", "message": "a run has not returned long after its deadline"}, 503
            )
        if failure := self._failure():
            return json_response({"status": "failed", "message": failure}, 503)
        return json_response({"status": "alive"})

    async def readyz(self, _request: Request) -> Response:
        """Answer `/readyz`."""
        if self.draining:
            return json_response({"status": "draining"}, 503)
        if failure := self._failure():
            return json_response({"status": "failed", "message": failure}, 503)
        return json_response({"status": "ready"})

    def _failure(self) -> str | None:
        return next(filter(None, (check() for check in self._checks)), None)
