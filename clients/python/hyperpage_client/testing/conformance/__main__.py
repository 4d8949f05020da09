"""The laws from the command line: `python -m hyperpage_client.testing.conformance`."""

import sys

from hyperpage_client.testing.conformance.program import main

if __name__ == "__main__":
    sys.exit(main())
