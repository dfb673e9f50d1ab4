"""What the calls to Azure tell to whoever measures them."""


class CallObserver:
    """Hears of each call to Azure and does nothing; telemetry overrides it."""

    def called(self, subscription: str, operation: str, code: str, seconds: float) -> None:
        """Hear of an answer, or of `code` "<error>" if there was none."""

    def remaining(self, subscription: str, counter: str, count: int) -> None:
        """Hear how many more requests Azure takes by one of its counters, such as `reads`."""

    def withheld(self, subscription: str, cause: str, wait: float) -> None:
        """Hear of a call that was not made, and for how long: `rate`, `circuit` or `concurrency`."""

    def circuit(self, subscription: str, *, is_open: bool) -> None:
        """Hear after each call whether a subscription is asked no more because it does not answer."""
