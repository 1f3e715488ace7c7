"""`python -m app.cli`: the same as `postroom`."""

import sys

from app.cli.application import main

sys.exit(main())
