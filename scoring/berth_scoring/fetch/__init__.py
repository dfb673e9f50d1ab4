"""Bring models and code to where the scoring server reads them: download, verify, unpack, put in place."""
