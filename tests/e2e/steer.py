# SPDX-License-Identifier: Apache-2.0
"""What a sidecar sees of the system is steered from outside (tests/torture/steer.c)."""
import mmap
import os
import pathlib
import struct

from conftest import BINARY

LIBRARY = pathlib.Path(BINARY).resolve().parents[1] / "tests/libsteer.so"


class Steer:
    """Give its environment to the sidecar."""
    FIELDS = struct.Struct("4q")

    def __init__(self, path):
        assert LIBRARY.exists(), f"{LIBRARY} is not built: ninja"
        path.write_bytes(bytes(self.FIELDS.size))
        # A sanitizer wants to be the first library, and is content to be the second.
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.environment = {**os.environ, "LD_PRELOAD": str(LIBRARY), "STEER": str(path),
                            "ASAN_OPTIONS": options.lstrip(":")}
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), self.FIELDS.size)

    def forward(self, seconds):
        """Puts the monotonic clock forward, and time(), by which libcurl forgets addresses."""
        self.map[:8] = struct.pack("q", struct.unpack("q", self.map[:8])[0] + seconds)

    def be_patient(self):
        """From now on a request to a service is sent only when its answer is there, up to two seconds."""
        self.map[8:16] = struct.pack("q", 1)

    def actions(self):
        """How often it has changed what a signal does."""
        return self.FIELDS.unpack(self.map[:])[2]

    def turns(self):
        """How often its loop has turned."""
        return self.FIELDS.unpack(self.map[:])[3]
