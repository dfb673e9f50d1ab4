"""Messages of the kubelet's protocol, generated from the .proto files beside them by `make wire`."""
