# SPDX-License-Identifier: Apache-2.0
"""What the tests of the operator's tools share."""
import re

PROGRESS = r"scrapeshard: [a-z ]+: \d+( of \d+)?, \d+ s\n"


def complaints(err):
    """Standard error without the lines of progress, which a slow machine gets."""
    return re.sub(PROGRESS, "", err)


def jump(key, count):
    """Jump consistent hash: figure 1 of Lamping and Veach."""
    bucket, following = -1, 0
    while following < count:
        bucket = following
        key = (key * 2862933555777941757 + 1) % 2**64
        following = int((bucket + 1) * (2**31 / ((key >> 33) + 1)))
    return bucket
