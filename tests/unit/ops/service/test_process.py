import subprocess
import sys

from tests.support.repository import ROOT

BEGINNING = """
import gc, weakref
from ops.service.process import leave_alone_what_is_there

class Service:
    def __init__(self):
        self.held_by_nothing_else = self

kept = Service()
service = weakref.ref(kept)
"""


def in_a_process_of_its_own(what: str) -> None:
    """Runs code in a new process: in that of the tests, each garbage collection takes a second."""
    subprocess.run([sys.executable, "-c", BEGINNING + what], cwd=ROOT, check=True)


def test_the_collector_leaves_alone_what_is_there_when_the_service_serves():
    in_a_process_of_its_own("""
del kept
leave_alone_what_is_there()
assert service() is None
# No generation has it any more.
assert gc.get_freeze_count() > len(gc.get_objects())
""")


def test_what_went_with_a_service_is_collected_when_the_next_one_serves():
    in_a_process_of_its_own("""
leave_alone_what_is_there()
del kept
gc.collect()
assert service() is not None

leave_alone_what_is_there()
assert service() is None
""")
