"""`python -m evolve` is the command `evolve`."""

import sys

from evolve.cli import main

sys.exit(main())
