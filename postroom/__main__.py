"""`python -m postroom`: the same as the command `postroom`."""

import sys

from postroom.cli import main

sys.exit(main())
