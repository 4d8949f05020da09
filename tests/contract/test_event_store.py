"""The eventsourcing library's own cases for recorders and factories, and what this store promises beyond them."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    InfrastructureFactory,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)

# The module, not its classes: pytest would run those as well.
from eventsourcing.tests import persistence as library
from eventsourcing.utils import Environment
from hypothesis import given
from hypothesis import strategies as st

from bus import log
from bus.event_store import Factory
from bus.event_store_database import Database, Location
from bus.event_store_recorders import (
    LogApplicationRecorder,
    LogProcessRecorder,
    TableAggregateRecorder,
    TableTrackingRecorder,
)
