"""A real Kubernetes on one machine: its binaries, its control plane, its node."""
