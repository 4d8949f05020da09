"""`python -m hyperpage_client.testing.client_conformance`."""

import sys

from hyperpage_client.testing.client_conformance.program import main

sys.exit(main())
