"""Who serves no container groups does not pay for Azure's libraries."""

import subprocess
import sys


def test_the_operator_starts_without_azures_libraries() -> None:
    probe = (
        "import sys, berth.app; print([name for name in sys.modules if name.startswith(('azure', 'msal'))])"
    )
    printed = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert printed.stdout.strip() == "[]"
