# SPDX-License-Identifier: Apache-2.0
"""Debian's libfaketime for tests that need a later time and will not wait for it."""
import os
import pathlib

import pytest

from conftest import SLOW

NO_CLOCK = pytest.mark.skipif(SLOW > 1, reason="a sanitizer wants to be loaded first")


class Clock:
    """The clock of a process that is started with its environment; it is put on without waiting for it."""

    def __init__(self, path):
        self.path, self.seconds = path, 0
        self.put_on(0)
        library, = pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(path),
                            "FAKETIME_NO_CACHE": "1"}

    def put_on(self, seconds):
        self.seconds += seconds
        replacement = self.path.with_suffix(".new")
        replacement.write_text(f"+{self.seconds}\n")
        replacement.rename(self.path)
