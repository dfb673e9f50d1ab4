"""Why a prediction is not answered, in the words of gRPC."""

from grpc import StatusCode


class Rejected(Exception):  # noqa: N818 - most of these are the client's doing, not an error of the server
    """A prediction that ends with `status` and a message that names the tensor it is about."""

    def __init__(self, status: StatusCode, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def invalid(message: str) -> Rejected:
    """Return what a client gets for a request that no retry would mend."""
    return Rejected(StatusCode.INVALID_ARGUMENT, message)
