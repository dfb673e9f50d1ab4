"""What the queue and the workers tell to whoever measures them."""


class Observer:
    """Hears of every step of a key and does nothing; telemetry overrides it. Times are in seconds."""

    def added(self) -> None:
        """Hear that a key entered the queue."""

    def started(self, waited: float) -> None:
        """Hear that a worker took a key which had waited so long."""

    def finished(self, worked: float) -> None:
        """Hear that a worker gave a key back after so long."""

    def retried(self) -> None:
        """Hear that a key will come again because its pass failed."""

    def reconciled(self, outcome: str, seconds: float) -> None:
        """Hear how a pass ended: `success`, `requeue_after`, `requeue` or `error`."""
