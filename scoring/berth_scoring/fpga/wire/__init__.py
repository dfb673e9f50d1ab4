"""Messages of the protocol, generated from the .proto files beside them: see docs/decisions/0018."""
