"""Turns the models of `berth.api` into CustomResourceDefinitions and their reference."""
