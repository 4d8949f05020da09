"""The same from the command line."""

import sys

from hyperpage_client.testing.conformance.program import main

if __name__ == "__main__":
    sys.exit(main())
