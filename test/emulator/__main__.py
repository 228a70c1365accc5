"""Runs the emulator: `python3 -m test.emulator` or `python3 test/emulator`."""

import os
import sys

if __package__:
    from .server import main
else:  # started as a directory: import it as a package all the same
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from emulator.server import main  # type: ignore[no-redef,import-not-found]

sys.exit(main())
