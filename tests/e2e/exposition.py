# SPDX-License-Identifier: Apache-2.0
"""What the shards of a body have to be, worked out independently of scrapeshard: families, keys and shards of the text
formats and of delimited protobuf, whose field numbers are those of io.prometheus.client's metrics.proto."""
import re
import struct

import xxhash

PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
COUNTS = (1, 2, 7, 80)
SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount")


def family_key(name):
    """A metric's name without its suffixes; the key of the default settings."""
    while suffix := next((s for s in SUFFIXES if name.endswith(s) and name != s), None):
        name = name[:-len(suffix)]
    return name


def shard_of(name, count):
    """Which shard a metric of that name is in."""
    return (xxhash.xxh64_intdigest(family_key(name).encode()) & 0xffffffff) % count


def target(shard, count, path="/metrics"):
    return f"{path}{'&' if '?' in path else '?'}shard={shard}&shard_count={count}"


# Text and OpenMetrics, of services that have no raw newline in quotes.


def lines(body):
    return re.findall(rb"[^\n]*\n|[^\n]+$", body)


def line_name(line):
    """The name that a line of metadata or a sample is about; None for any other line."""
    found = re.match(rb"# (?:HELP|TYPE|UNIT) (\S+)|([a-zA-Z_:][a-zA-Z0-9_:]*)", line)
    return (found[1] or found[2]).decode() if found else None


def declared_families(body):
    """The names that TYPE lines declare."""
    return {name.decode() for name in re.findall(rb"^# TYPE (\S+) ", body, re.M)}


def sample_names(body):
    return {line_name(line) for line in lines(body) if not line.startswith(b"#") and line.strip()}


def text_shard(body, shard, count):
    """One shard of a body: its families' lines in their order; what is of no family goes to shard 0. "# EOF" is taken
    for the end of OpenMetrics, which every shard has."""
    def wanted(line):
        name = line_name(line)
        return line.rstrip(b"\n") == b"# EOF" or (shard_of(name, count) if name else 0) == shard
    return b"".join(filter(wanted, lines(body)))


# Protobuf.


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def read_fields(message):
    """The fields of a message: [(number, value)], numbers as they are and everything else as bytes."""
    at, fields = 0, []
    while at < len(message):
        tag, at = read_varint(message, at)
        wire = tag & 7
        if wire == 0:
            value, at = read_varint(message, at)
        else:
            size, at = {1: (8, at), 5: (4, at)}[wire] if wire != 2 else read_varint(message, at)
            value, at = message[at:at + size], at + size
        fields.append((tag >> 3, value))
    assert at == len(message), "a message that is cut"
    return fields


def messages(body):
    """The families of a delimited body: [(name, the message with its length, its fields)]."""
    at, found = 0, []
    while at < len(body):
        start = at
        size, at = read_varint(body, at)
        fields = read_fields(body[at:at + size])
        at += size
        found.append((next(value for number, value in fields if number == 1).decode(), body[start:at], fields))
    assert at == len(body), "a body that is cut"
    return found


def protobuf_shard(body, shard, count):
    return b"".join(raw for name, raw, _ in messages(body) if shard_of(name, count) == shard)


def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number, value):
    """A field: of bytes or text, a float as double, an int as varint, (int,) as a zigzagged one, a list as packed."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, tuple):
        return varint(number << 3) + zigzag(value[0])
    if isinstance(value, list):
        value = b"".join(map(zigzag, value))
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def zigzag(n):
    return varint(n << 1 ^ n >> 63)


def delimited(*fields):
    """A family of these fields, with its length before it."""
    message = b"".join(fields)
    return varint(len(message)) + message


COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM = range(5)


def labels(**pairs):
    return b"".join(field(1, field(1, name) + field(2, value)) for name, value in pairs.items())


def gauge_family(name, values):
    """A family of a gauge for each {label id: value}."""
    return delimited(field(1, name), field(2, "Help."), field(3, GAUGE),
                     *(field(4, labels(id=key) + field(2, field(1, float(value)))) for key, value in values.items()))
