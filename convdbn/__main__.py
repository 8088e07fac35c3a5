"""`python -m convdbn` is the command line."""

import sys

from convdbn.cli import main

sys.exit(main())
