"""Emulated FPGAs: a device plugin that a real kubelet takes for that of a vendor."""
