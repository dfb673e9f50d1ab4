class MqttError(Exception):
    """The connection to the edge hub is of no more use, or never was."""


class ConnectionLostError(MqttError):
    """The connection has ended before it was closed."""


class ProtocolError(MqttError):
    """The hub has sent what MQTT 3.1.1 does not allow, or more than fits."""


class RefusedError(MqttError):
    """The hub has refused the connection or a subscription."""


class WorkloadError(Exception):
    """The workload API has not answered as it should."""
