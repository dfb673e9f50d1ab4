"""The names that old scripts import, and the way they find them."""
