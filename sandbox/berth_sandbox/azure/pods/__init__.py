"""Pods that run what container groups describe, in the cluster that the emulator runs in."""
