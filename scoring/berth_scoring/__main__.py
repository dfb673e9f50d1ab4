"""`python -m berth_scoring`."""

import sys

from berth_scoring.cli import main

sys.exit(main())
