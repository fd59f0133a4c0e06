#!/usr/bin/python3
"""Makes streams that are wrong in one way each, and odd ones that are right, for refusals.bats.

usage: craft.py DIRECTORY

Writes DIRECTORY/refused/GROUP/NAME, with NAME.says (how the message begins, behind the tool's and the source's names),
NAME.records (how many whole records come before) and, where the case needs them, NAME.options; DIRECTORY/accepted/NAME
with NAME.shows (what gm-show prints of it); DIRECTORY/cut/NAME with NAME.ends (the offsets at which records end).
What is wrong in a map comes in three files: NAME.zstd, NAME.stored and NAME.raw, as a compressed frame, a stored frame
and without a frame. zstd and msgpack are Debian's Python modules, that is, other code than the tools'.
"""
import pathlib
import struct
import sys

import msgpack
import zstandard

MIB = 1 << 20
BLOCK = 128 << 10  # the largest in a zstd frame
NUMBERS = struct.pack("<6f", 1, 2, 3, 4, 5, 6)


# ---- msgpack ----


class Raw(bytes):
    """Bytes that stand for themselves."""


def pack(value):
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, list):
        return array(len(value)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        return pairs(*value.items())
    return msgpack.packb(value)


def array(n):
    return msgpack.Packer().pack_array_header(n)


def header(n):
    return msgpack.Packer().pack_map_header(n)


def pairs(*items):
    """A map with these keys in this order, some perhaps twice."""
    return Raw(header(len(items)) + b"".join(pack(k) + pack(v) for k, v in items))


def nested(levels, one=b"\x91"):
    return Raw(one * levels + b"\xc0")


# ---- records ----


def tensor(kind="<f4", shape=(2, 3), data=None, **more):
    if data is None:
        data = NUMBERS
    return {"nd": True, "type": kind, "shape": list(shape), "data": data, **more}


def record(**more):
    return {"gm": 1, "rows": 2, **more}


def holding(value, name="bad"):
    return record(tensors={"x": tensor(), name: value})


def end(records, **more):
    return {"gm": 1, "end": True, "records": records, **more}


GOOD = record(tensors={"x": tensor()})


# ---- frames ----


def zstd(content, level=3, checksum=True, size=True, window=None):
    parameters = {"window_log": window} if window else {}
    made = zstandard.ZstdCompressionParameters.from_level(
        level, write_checksum=checksum, write_content_size=size, **parameters
    )
    if not window:
        return zstandard.ZstdCompressor(compression_params=made).compress(content)
    stream = zstandard.ZstdCompressor(compression_params=made).compressobj(size=len(content) if size else -1)
    return stream.compress(content[:1]) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) + stream.compress(content[1:]) + stream.flush()


def block(size, kind, content, last):
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3] + content


def raw_blocks(content, most=BLOCK):
    starts = range(0, max(len(content), 1), most)
    return b"".join(
        block(len(content[i : i + most]), 0, content[i : i + most], i == starts[-1]) for i in starts
    )


def zeros(n):
    """n zeros as blocks of one repeated byte, the last of them the frame's last: 4 bytes for each 128 KiB."""
    whole, rest = divmod(n, BLOCK)
    sizes = [BLOCK] * whole + [rest] * (rest > 0)
    return b"".join(block(size, 1, b"\0", i == len(sizes) - 1) for i, size in enumerate(sizes))


def frame(size, blocks, checksum=b"", window=0x38):
    """A frame by hand: content size in 8 bytes, as stored frames have it."""
    descriptor = 0xC4 if checksum else 0xC0
    return struct.pack("<IBBQ", 0xFD2FB528, descriptor, window, size) + blocks + checksum


def bomb(content, n):
    """A frame that holds `content` and n zeros behind it; without a checksum."""
    return frame(len(content) + n, block(len(content), 0, content, 0) + zeros(n), window=0x68)


def checksum_of(content):
    """As libzstd computes it."""
    return zstd(content)[-4:]


def stored(content):
    return frame(len(content), raw_blocks(content), checksum_of(content))  # without content: one empty block


def skippable(size, content=None, variant=0):
    return struct.pack("<II", 0x184D2A50 + variant, size) + (bytes(size) if content is None else content)


def changed(content, at, byte):
    content = bytearray(content)
    content[at] = byte
    return bytes(content)


def flipped(content, at):
    return changed(content, at, content[at] ^ 1)


FRAMINGS = {"zstd": zstd, "stored": stored, "raw": bytes}


# ---- cases ----


class Cases:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def write(self, path, content, **notes):
        path = self.directory / path
        assert not path.exists(), path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for i in range(0, len(content), BLOCK):
                part = content[i : i + BLOCK]
                if len(content) > MIB and part.count(0) == len(part):
                    file.seek(len(part), 1)  # a hole: takes no room on the disk
                else:
                    file.write(part)
            file.truncate(len(content))
        for suffix, note in notes.items():
            path.with_name(f"{path.name}.{suffix}").write_text(f"{note}\n" if note else "")

    def refused(self, name, content, says, records=0, **notes):
        self.write(f"refused/{name}", content, says=says, records=records or "0", **notes)

    def bad(self, name, what, says, framings=FRAMINGS, before=(GOOD,), **notes):
        """A map that is refused behind a good record, in all framings."""
        for framing in framings:
            put = FRAMINGS[framing]
            content = b"".join(put(pack(m)) for m in (*before, what, end(2)))
            self.refused(f"{name}.{framing}", content, f"record {len(before)}: {says}", len(before), **notes)

    def bad_frame(self, name, content, says):
        """A frame that is refused behind a good record."""
        self.refused(f"frames/{name}", zstd(pack(GOOD)) + content + zstd(pack(end(2))), f"record 1: {says}", 1)

    def accepted(self, name, content, shows):
        self.write(f"accepted/{name}", content, shows=shows)

    def good(self, name, what, shows):
        for framing, put in FRAMINGS.items():
            self.accepted(f"{name}.{framing}", put(pack(what)) + put(pack(end(1))), f"record 0  {shows}")


def no_streams(c):
    for name, content in {
        "csv": b"p00,p01\n1,2\n",
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "json": b'{"gm":1,"rows":2}\n',
        "array of 4 billion": b"\xdd\xff\xff\xff\xff" + bytes(64),
        "str": b"\xdb\xff\xff\xff\xff" + bytes(64),
        "number": b"\x07",
        "old zstd": b"\x27\xb5\x2f\xfd" + bytes(64),
        "IDX": b"\0\0\x08\3\0\0\0\1",
        "zeros": bytes(4096),
        "spaces": b" " * 3 + pack(GOOD),
    }.items():
        printable = "".join(chr(b) if 32 <= b < 127 else "\n" for b in content[:7]).split("\n")[0]
        begins = f"'{printable}'" if printable else f"byte {content[0]:02x}"
        c.refused(f"no stream/{name}", content, f"not a gm stream (it begins with {begins})")
        for framing, put in FRAMINGS.items():
            after = put(pack(GOOD)) + content
            says = f"record 1: neither a frame nor a map (it begins with {begins})"
            c.refused(f"no stream/{name} after a record.{framing}", after, says, 1)
            after = put(pack(end(0))) + content
            says = f"record 0: neither a frame nor a map (it begins with {begins})"
            c.refused(f"no stream/{name} after the end.{framing}", after, says)
    c.refused("no stream/empty", b"", "empty: no records and no end record")
    c.refused("no stream/nothing but skipped", skippable(5), "empty: no records and no end record")


def ends(c):
    c.bad("ends/too many", end(3), "the end record counts 3 records, but there were 1")
    c.bad("ends/too few", end(0), "the end record counts 0 records, but there were 1")
    c.bad("ends/most", end(2**64 - 1), "the end record counts 18446744073709551615 records")
    c.bad("ends/negative", end(-1), "'records' is not a whole number")
    c.bad("ends/text", end("1"), "'records' is not a whole number")
    c.bad("ends/no count", {"gm": 1, "end": True}, "an end record that has no 'records'")
    c.bad("ends/tensors", end(1, tensors={"x": tensor()}), "an end record with tensors")
    c.bad("ends/one", {"gm": 1, "end": 1, "records": 1}, "'end' is neither true nor false")
    c.bad("ends/false", {"gm": 1, "end": False, "records": 1}, "the record has no 'rows'")
    c.bad("ends/no version", {"end": True, "records": 1}, "the map has no format version 'gm'")
    c.bad("ends/other version", {"gm": 2, "end": True, "records": 1}, "format version 2; this program reads version 1")
    for framing, put in FRAMINGS.items():
        two = b"".join(put(pack(m)) for m in (GOOD, end(1), GOOD, end(2)))
        says = "record 2: the end record counts 2 records, but there were 1"
        c.refused(f"ends/joined.{framing}", two, says, 2)
        c.refused(f"ends/none.{framing}", put(pack(GOOD)), "stream cut off after record 0 (no end record)", 1)
        joined = put(pack(GOOD)) + put(pack(end(1))) + put(pack(GOOD))
        c.refused(f"ends/joined, none.{framing}", joined, "stream cut off after record 1 (no end record)", 2)


def records(c):
    x = {"x": tensor()}
    whole = "not a whole number"
    c.bad("records/no version", {"rows": 2, "tensors": x}, "the map has no format version 'gm'")
    c.bad("records/empty map", {}, "the map has no format version 'gm'")
    for value, says in ((0, "format version 0"), (2, "format version 2"), (2**64 - 1, "format version 18446744073709551615"),
                        ("1", f"the format version 'gm' is {whole}"), (1.0, f"the format version 'gm' is {whole}"),
                        (True, f"the format version 'gm' is {whole}"), (None, f"the format version 'gm' is {whole}")):
        c.bad(f"records/version {value!r}", {"gm": value, "rows": 2, "tensors": x}, says)
    c.bad("records/no rows", {"gm": 1, "tensors": x}, "the record has no 'rows'")
    for key, most in (("rows", 2**31 - 1), ("step", 2**48)):
        for value in (most + 1, 2**64 - 1):
            c.bad(f"records/{key} {value}", record(**{key: value}), f"'{key}' is {value}, above the limit")
        for value in (-1, -(2**63), 2.0, float("nan"), "2", None, False, [2], {}):
            c.bad(f"records/{key} {value!r}", record(**{key: value}), f"'{key}' is {whole}")
    good = {"gm": 1, "rows": 2, "step": 3, "tensors": x, "scalars": {"s": 1.0}, "info": {"a": 1}, "end": False, "records": 0}
    for key in good:
        c.bad(f"records/{key} twice", pairs(*good.items(), (key, good[key])), f"'{key}' twice")
        c.bad(f"records/{key} as bin twice", pairs(*good.items(), (key.encode(), good[key])), f"'{key}' twice")
    for key in (1, None, -1, 1.5, True, [], {}, msgpack.Timestamp(1)):
        c.bad(f"records/key {type(key).__name__} {key!r}"[:60], pairs(*GOOD.items(), (Raw(pack(key)), 1)), "a key is not text")
    for name in ("tensors", "scalars"):
        for value in (None, 1, "x", [["x", 1]]):
            c.bad(f"records/{name} {value!r}", record(**{name: value}), f"'{name}' is not a map")
        for n in (4097, 2**32 - 1):
            says = f"'{name}': {n} entries, above the limit of 4096"
            c.bad(f"records/{name} {n}", Raw(header(3) + pack("gm") + pack(1) + pack("rows") + pack(1) + pack(name) + header(n)), says)
    c.bad("records/scalar twice", record(scalars=pairs(("s", 1.0), ("t", 1), ("s", 1.0))), "scalar 's': twice")
    for value in (None, True, "1", [1.0], {}):
        c.bad(f"records/scalar {value!r}", record(scalars={"s": value}), "scalar 's': not a number")
    c.bad("records/no msgpack", record(tensors=Raw(b"\xc1")), "byte c1 begins nothing in msgpack")
    c.bad("records/no msgpack as a key", pairs(("gm", 1), (Raw(b"\xc1"), 1)), "byte c1 begins nothing in msgpack")
    c.bad("records/no msgpack unread", record(unknown=[1, Raw(b"\xc1")]), "byte c1 begins nothing in msgpack")


def infos(c):
    c.bad("info/list", record(info=[]), "'info' is not a map")
    c.bad("info/large text", record(info={"a": "b" * MIB}), "info: larger than what is accepted")
    c.bad("info/large bytes", record(info={"a": [b"b" * (MIB // 2)] * 3}), "info: larger than what is accepted")
    c.bad("info/large key", record(info={"a" * MIB: 1}), "info: larger than what is accepted")
    c.bad("info/many values", record(info={"a": [0] * 131072}), "info: larger than what is accepted")
    c.bad("info/many keys", record(info={"a": {str(i): i for i in range(4097)}}), "info: a map of more than 4096 keys")
    c.bad("info/4 billion keys", record(info=Raw(b"\xdf\xff\xff\xff\xff" + pack("k") * 99)), "info: a map of more than 4096 keys")
    c.bad("info/extension", record(info={"a": msgpack.ExtType(5, b"xyz")}), "info: an extension type")
    c.bad("info/time", record(info={"a": msgpack.Timestamp(1)}), "info: an extension type")
    c.bad("info/twice", record(info=pairs(("a", 1), ("b", 1), ("a", 1))), "info: key 'a' twice")
    c.bad("info/key", record(info=pairs((1, 1))), "info: a key is not text")
    c.bad("info/key with NUL", record(info={"a\0b": 1}), "info: a key has a NUL")
    c.bad("info/text of 4 GB", record(info={"a": Raw(b"\xdb\xff\xff\xff\xffabc")}), "info: larger than what is accepted")
    c.bad("info/array of 4 billion", record(info={"a": Raw(b"\xdd\xff\xff\xff\xff" + bytes(131072))}), "info: larger than what is accepted")
    deep = "nested over 16 levels deep"
    c.bad("info/depth of arrays", record(info={"a": nested(16)}), f"info: {deep}")
    c.bad("info/depth of maps", record(info={"a": nested(16, b"\x81\xa1k")}), f"info: {deep}")
    for where, inside in (("", lambda v: record(unknown=v)), (" in a tensor", lambda v: holding(tensor(more=v)))):
        says = f"tensor 'bad': {deep}" if where else deep
        c.bad(f"info/unknown key, depth of arrays{where}", inside(nested(17)), says)
        c.bad(f"info/unknown key, depth of maps{where}", inside(nested(17, b"\x81\xa1k")), says)
        c.bad(f"info/unknown key, depth of keys{where}", inside(nested(17, b"\x81")), says)
        c.bad(f"info/unknown key, a million levels{where}", inside(nested(MIB)), says)


def names(c):
    long = "n" * 65
    for what, field, inside in (("tensor", "tensors", tensor()), ("scalar", "scalars", 1.0)):
        def named(*names):
            return record(**{field: pairs(*((n, inside) for n in names))})

        says = f"the name of a {what}"
        c.bad(f"names/{what} empty", named("a", ""), f"{says} is empty")
        c.bad(f"names/{what} empty bin", named(b""), f"{says} is empty")
        c.bad(f"names/{what} 65 bytes", named("a", long), f"{says} '{long[:64]}...' is longer than 64 bytes")
        c.bad(f"names/{what} 65 bytes bin", named(long.encode()), f"{says} '{long[:64]}...' is longer than 64 bytes")
        c.bad(f"names/{what} a MiB", named("m" * MIB), f"{says} '{'m' * 64}...' is longer than 64 bytes")
        c.bad(f"names/{what} NUL", named("a\0b"), f"{says} 'a...' has a NUL in it")
        for control, shown in (("\n", "?"), ("\x1b[2J", "?[2J"), ("\x7f", "?"), ("\x1f", "?"), ("\x9b", "\x9b")):
            # a tensor's name is in the message once, whichever part of the reader finds it bad
            c.bad(f"names/{what} {control!r}", named(f"a{control}"), f"{what} 'a{shown}': the name has control characters")
        for value in (1, None, ["x"], {}):
            c.bad(f"names/{what} {value!r}", named(Raw(pack(value))), f"{says} is not text")
    c.bad("names/tensor twice", record(tensors=pairs(("x", tensor()), ("y", tensor()), ("x", tensor()))), "tensor 'x': twice in the record")
    c.bad("names/tensor twice as bin", record(tensors=pairs(("x", tensor()), (b"x", tensor()))), "tensor 'x': twice in the record")
    c.bad("names/longest is named", holding({}, "n" * 64), f"tensor '{'n' * 64}': it has no 'type'")
    c.bad("names/UTF-8 is named", holding({}, "größe"), "tensor 'größe': it has no 'type'")


def tensors(c):
    def bad(name, value, says, **notes):
        c.bad(f"tensors/{name}", holding(value), f"tensor 'bad': {says}", **notes)

    whole = tensor()
    for value in (None, 1, "x", b"x", [1.0, 2.0]):
        bad(f"no map {value!r}", value, "it is not a map")
    for key in ("type", "shape", "data"):
        bad(f"no {key}", {k: v for k, v in whole.items() if k != key}, f"it has no '{key}'")
    for key in whole:
        bad(f"{key} twice", pairs(*whole.items(), (key, whole[key])), f"'{key}' twice")
        bad(f"{key} as bin twice", pairs(*whole.items(), (key.encode(), whole[key])), f"'{key}' twice")
    bad("kind twice", pairs(*whole.items(), ("kind", ""), (b"kind", b"")), "'kind' twice")
    bad("key", pairs(*whole.items(), (3, 1)), "a key is not text")
    for kind in (">f4", "<f2", "<f16", "<c8", "|b1", "|i1", "<u4", "|O", "f4", "<F4", " <f4", "<f4 ", "<f4\0", "", "<", "float32",
                 "<f4" * 40, ">i8", "|S5", "<U3", "<M8[ns]"):
        bad(f"type {kind[:9]!r}", tensor(kind), "type '")
    bad("type of a structure", tensor([["a", "<f4"]]), "its type is not text")
    for value in (None, 4, True):
        bad(f"type {value!r}", tensor(value), "its type is not text")
    for value in (False, None, 1, "true"):
        bad(f"nd {value!r}", {**whole, "nd": value}, "its 'nd' is not true")
    for value in ("V", b"O", 0, False, []):
        bad(f"kind {value!r}", {**whole, "kind": value}, "its 'kind' is not empty")
    for value in ("numbers", [1.0, 2.0], None, 7):
        bad(f"data {value!r}", {**whole, "data": value}, "its data is not bin")
    for value in (6, None, "2,3", {"0": 2}, b"\2\3"):
        bad(f"shape {value!r}", {**whole, "shape": value}, "its shape is not an array")
    for value in (-1, 2.0, None, "2", [2]):
        bad(f"axis {value!r}", tensor(shape=(value, 3)), "an axis of its shape is not a whole number")

    bad("rank 9", tensor(shape=[1] * 9, data=bytes(4)), "rank 9, above 8")
    bad("rank 4 billion", {"type": "<f4", "shape": Raw(b"\xdd\xff\xff\xff\xff" + bytes(200))}, "rank 4294967295, above 8")
    for shape in ([2**32, 2**32], [2**63, 2], [2**64 - 1, 2**64 - 1], [2**31] * 8, [2**62], [2**63 - 1], [2**64 - 1, 0, 2], [3, 2**63]):
        bad(f"product of {shape}", tensor(shape=shape), "the product of its shape overflows")
        turned = {"data": bytes(24), "shape": shape, "type": "<f8"}
        bad(f"product of {shape} behind the data", turned, "the product of its shape overflows")
    for kind, shape, n in (("<f4", [2, 3], 23), ("<f4", [2, 3], 25), ("<f8", [2, 3], 24), ("|u1", [2, 3], 24), ("<i4", [], 0),
                           ("<i8", [], 4), ("<f4", [0, 7], 4), ("<f4", [6], 0), ("<f4", [1] * 8, 8)):
        product = 1
        for axis in shape:
            product *= axis
        size = product * int(kind[2])
        says = f"{n} bytes of data, but shape {'×'.join(map(str, shape)) or '()'} of {kind} has {size}"
        bad(f"{n} bytes for {kind} {shape}", tensor(kind, shape, bytes(n)), says)
        turned = {"data": bytes(n), "shape": shape, "type": kind, "nd": True}
        bad(f"{n} bytes before {kind} {shape}", turned, says)


def claims(c):
    """Sizes that are claimed and not there: nothing may be allocated for them."""
    def bad(name, value, says, framings=FRAMINGS, **notes):
        c.bad(f"claims/{name}", holding(value), f"tensor 'bad': {says}", framings, **notes)

    def bin32(n, there=b"abc"):
        return Raw(b"\xc6" + struct.pack(">I", n) + there)

    gib = 1 << 30
    limit = f"above the limit of {gib} (--max-tensor)"
    framed = ("zstd", "stored")
    bad("4 GB", {"data": bin32(2**32 - 1)}, f"4294967295 bytes, {limit}")
    bad("4 GB with its shape", tensor("|u1", [2**32 - 1], bin32(2**32 - 1)), f"4294967295 bytes, {limit}")
    bad("1 byte over", {"data": bin32(gib + 1)}, f"1073741825 bytes, {limit}")
    bad("shape over", {"type": "|u1", "shape": [gib + 1]}, f"1073741825 bytes, {limit}")
    bad("shape far over", tensor(shape=[2**40, 2**10]), f"{2**52} bytes, {limit}")
    bad("shape behind the data", {"data": bytes(4), "shape": [gib], "type": "<f4"}, f"{4 * gib} bytes, {limit}")
    short = "the frame's content ends before its map does"
    bad("a GiB", {"data": bin32(gib)}, short, framed)
    bad("a GiB with its shape", tensor("|u1", [gib], bin32(gib)), short, framed)
    bad("option, data", {"data": bytes(101)}, "101 bytes, above the limit of 100 (--max-tensor)", options="--max-tensor=100")
    bad("option, shape", {"type": "|u1", "shape": [101]}, "101 bytes, above the limit of 100 (--max-tensor)", options="--max-tensor=100")
    many = pairs(*((f"t{i}", tensor("|u1", [100], bytes(100))) for i in range(9)))
    c.bad("claims/a record over its share", record(tensors=many),
          "tensor 't8': with it the record's tensors are above 8 times --max-tensor", options="--max-tensor=100")
    c.bad("claims/text of 4 GB as a name", record(tensors=pairs((Raw(b"\xdb\xff\xff\xff\xffabc"), 1))), short, framed)
    c.bad("claims/text of 4 GB as a key", pairs((Raw(b"\xdb\xff\xff\xff\xffabc"), 1)), short, framed)
    bad("text of 4 GB as a type", {"type": Raw(b"\xdb\xff\xff\xff\xffabc")}, short, framed)
    for name, head in (("array", b"\xdd"), ("map", b"\xdf"), ("bin", b"\xc6"), ("ext", b"\xc9"), ("str", b"\xdb")):
        c.bad(f"claims/{name} of 4 billion unread", Raw(pack(record(unknown=Raw(head + b"\xff\xff\xff\xff")))), short, framed)
    c.bad("claims/record of 4 billion keys", Raw(b"\xdf\xff\xff\xff\xff" + pack("gm") + pack(1)), short, framed)
    bad("4 billion fields", Raw(b"\xdf\xff\xff\xff\xff" + pack("nd") + pack(True)), short, framed)
    good = pack(GOOD)
    for name, cut in (
        ("bin of a GiB", pack(holding({"data": bin32(gib, bytes(5000))}))),
        ("shape of a GiB", pack(holding(tensor("|u1", [gib], bin32(gib, bytes(5000)))))),
        ("key of 4 GB", b"\x81\xdb\xff\xff\xff\xff" + bytes(5000)),
        ("record of 4 billion keys", b"\xdf\xff\xff\xff\xff"),
        ("fields of 4 billion", pack(holding(Raw(b"\xdf\xff\xff\xff\xff")))),
        ("unread array of 4 billion", pack(record(unknown=Raw(b"\xdd\xff\xff\xff\xff" + bytes(5000))))),
        ("unread bin of 4 GB", pack(record(unknown=bin32(2**32 - 1, bytes(5000))))),
    ):
        c.refused(f"claims/cut {name}.raw", good + cut, "stream cut off in record 1", 1)
    small = b"".join(pack(f"t{i}") + pack({"type": "|u1", "shape": [1], "data": b"a"}) for i in range(4095))
    last = pack("t") + b"\x81" + pack("data") + b"\xc6" + struct.pack(">I", gib)
    many = header(3) + pack("gm") + pack(1) + pack("rows") + pack(1) + pack("tensors") + header(4096) + small + last
    c.refused("claims/cut the last of 4096.raw", good + many, "stream cut off in record 1", 1)


def bombs(c):
    """Little input with much content."""
    def start(name, fields):
        return header(3) + pack("gm") + pack(1) + pack("rows") + pack(2) + pack(name) + fields

    def bin32(n):
        return b"\xc6" + struct.pack(">I", n)

    def one(fields):
        return start("tensors", header(1) + pack("bad") + fields)

    gib = 1 << 30
    good = zstd(pack(GOOD))
    limit = f"above the limit of {gib} (--max-tensor)"
    shape = header(3) + pack("type") + pack("|u1") + pack("shape") + pack([gib + 1]) + pack("data") + bin32(gib + 1)
    for name, content, n, says in (
        ("shape above the limit", one(shape), gib + 1, f"tensor 'bad': {gib + 1} bytes, {limit}"),
        ("data above the limit", one(header(3) + pack("data") + bin32(gib + 1)), gib + 1, f"tensor 'bad': {gib + 1} bytes, {limit}"),
        ("info", start("info", header(1) + pack("a") + b"\xdb" + struct.pack(">I", gib)), gib, "info: larger than"),
        ("name", start("tensors", header(1) + b"\xdb" + struct.pack(">I", gib // 8)), gib // 8, "the name of a tensor '...' is longer than 64 bytes"),
        ("values in info", start("info", header(1) + pack("a") + b"\xdd" + struct.pack(">I", gib)), gib, "info: larger than"),
        ("entries", start("tensors", header(4097)), gib, "'tensors': 4097 entries"),
        ("behind the map", pack(record()), gib, f"{gib} bytes behind the map"),
    ):
        c.refused(f"bombs/{name}", good + bomb(content, n), f"record 1: {says}", 1)
    # content that is longer than the frame declares
    map_of_8 = one(header(3) + pack("type") + pack("|u1") + pack("shape") + pack([8]) + pack("data") + bin32(8))
    damaged = "record 1: the zstd frame is damaged: "
    lie = frame(len(map_of_8) + 8, block(len(map_of_8), 0, map_of_8, 0) + zeros(gib), window=0x68)
    c.refused("bombs/longer than declared", good + lie, damaged, 1)
    data = one(header(3) + pack("type") + pack("|u1") + pack("shape") + pack([gib]) + pack("data") + bin32(gib))
    lie = frame(len(data) + gib, block(len(data), 0, data, 0) + zeros(8), window=0x68)
    c.refused("bombs/shorter than declared", good + lie, damaged, 1)
    # a tensor as large as is allowed, where there is less memory
    c.refused("memory/a tensor as large as is allowed", good + bomb(data, gib), "record 1: tensor 'bad': out of memory", 1)


def frames(c):
    content = pack(GOOD)
    good, kept = zstd(content), stored(content)
    damaged = "the zstd frame is damaged: "
    unsized = "the zstd frame does not declare its content's size"
    for at in range(1, 5):
        c.bad_frame(f"checksum, byte {at}", flipped(good, -at), f"{damaged}its content does not have its checksum")
        c.bad_frame(f"checksum of a stored frame, byte {at}", flipped(kept, -at), f"{damaged}its content does not have its checksum")
    c.bad_frame("content of a stored frame", flipped(kept, -6), f"{damaged}its content does not have its checksum")
    c.bad_frame("no content size", zstd(content, size=False), unsized)
    c.bad_frame("no content size, no checksum", zstd(content, size=False, checksum=False), unsized)
    stream = zstandard.ZstdCompressor(level=1).compressobj()
    c.bad_frame("streamed", stream.compress(content) + stream.flush(), unsized)

    # a content size in one byte, at offset 5 (libzstd's own choice for what is small)
    assert good[4] >> 5 == 1 and good[5] == len(content), good[:6].hex()
    short = "the frame's content ends before its map does"
    c.bad_frame("declared 1 more", changed(good, 5, len(content) + 1), damaged)
    c.bad_frame("declared 1 less", changed(good, 5, len(content) - 1), damaged)
    c.bad_frame("declared 0", changed(good, 5, 0), short)
    c.bad_frame("declared 255", changed(good, 5, 255), damaged)
    for n, says in ((1, "1 bytes behind the map"), (-1, f"{damaged}its content is longer than declared"),
                    (2**31, f"{2**31} bytes behind the map"), (2**40, damaged), (2**64 - 1 - len(content), "1844674407370955"),
                    (-len(content), short)):
        lie = frame(len(content) + n, raw_blocks(content), checksum_of(content))
        c.bad_frame(f"by hand, declared {n:+}", lie, says)
        lie = frame(len(content) + n, raw_blocks(content))
        c.bad_frame(f"by hand, declared {n:+}, no checksum", lie, says if n > 2**63 or n == -len(content) else damaged)
    # what is damaged within a tensor
    half = len(content) - 12
    for name, lie in (
        ("reserved block", block(half, 0, content[:half], 0) + block(12, 3, content[half:], 1)),
        ("early end", block(half, 0, content[:half], 1)),
    ):
        c.bad_frame(f"in a tensor, {name}", frame(len(content), lie), damaged)
        c.bad_frame(f"in a tensor, stored, {name}", frame(len(content), lie, checksum_of(content)), f"tensor 'x': {damaged}")
    large = pack(record(tensors={"x": tensor("|u1", [200000], bytes(200000))}))
    lie = frame(len(large), block(BLOCK, 0, large[: BLOCK], 0) + block(9, 3, bytes(9), 1))
    c.bad_frame("in a large tensor", lie, f"tensor 'x': {damaged}")
    # content behind the map and less than the map, declared as it is
    for name, put in (("zstd", zstd), ("stored", stored)):
        c.bad_frame(f"behind the map.{name}", put(content + b"\xc0"), "1 bytes behind the map")
        c.bad_frame(f"two maps.{name}", put(content + content), f"{len(content)} bytes behind the map")
        for n in range(len(content)):
            c.bad_frame(f"{n} of the map.{name}", put(content[:n]), f"tensor 'x': {short}" if n > 21 else short)
        c.bad_frame(f"no map.{name}", put(b"\x93\1\2\3"), "the frame's content is not a map")
        c.bad_frame(f"text.{name}", put(b"p00,p01\n"), "the frame's content is not a map")

    wide = "the zstd frame's window is above 8 MiB"
    for log in (24, 27):
        c.bad_frame(f"window of 2^{log}", zstd(content + bytes((1 << log) - 1), level=1, window=log), wide)
    for window in ((23 - 10) << 3 | 1, (24 - 10) << 3, 0xFF):
        c.bad_frame(f"window descriptor {window:02x}", frame(len(content), raw_blocks(content), window=window), wide)
    single = struct.pack("<IBI", 0xFD2FB528, 0xA0, 8 * MIB + 1)
    c.bad_frame("content as window", single + block(len(content), 0, content, 0) + zeros(8 * MIB + 1 - len(content)), wide)
    claim = struct.pack("<IBQ", 0xFD2FB528, 0xE0, 2**63)
    c.bad_frame("content of 2^63 as window", claim + raw_blocks(content), wide)

    for bits, size in ((1, 1), (2, 2), (3, 4)):
        c.bad_frame(f"dictionary in {size} bytes", good[:4] + bytes([good[4] | bits]) + b"\7" * size + good[5:], "the zstd frame needs a dictionary")
    c.bad_frame("reserved bit", changed(good, 4, good[4] | 8), "a zstd frame of an unknown kind")
    whole = raw_blocks(content)
    c.bad_frame("reserved block", frame(len(content), block(len(content), 3, content, 1)), damaged)
    c.bad_frame("block over 128 KiB", frame(len(content), block(BLOCK + 1, 0, content, 1)), damaged)
    c.bad_frame("compressed block of nonsense", frame(len(content), block(20, 2, b"\xff" * 20, 1)), damaged)
    check = checksum_of(content)
    for name, blocks, says in (
        ("reserved block", block(len(content), 3, content, 1), "a compressed block after"),
        ("compressed block", block(len(content), 2, content, 1), "a compressed block after"),
        ("repeated byte", block(len(content), 1, b"\x83", 1), "a compressed block after"),
        ("block over 128 KiB", block(BLOCK + 1, 0, content, 1), "a block of more than 128 KiB"),
        ("block over the content", block(len(content) + 1, 0, content + b"\0", 1), "its content is longer than declared"),
        ("blocks over the content", block(9, 0, content[:9], 0) + block(len(content), 0, content, 1), "its content is longer than declared"),
        ("block behind the content", block(len(content), 0, content, 0) + block(1, 0, b"\0", 1), "its content is longer than declared"),
        ("empty block", block(0, 0, b"", 0) + whole, "an empty block before the last"),
        ("early last block", block(9, 0, content[:9], 1) + whole, "its content is shorter than declared"),
    ):
        c.bad_frame(f"stored, {name}", frame(len(content), blocks, check), f"{damaged}{says}")

    skipped = "skippable frames of more than 16 MiB in a row"
    c.bad_frame("skippable, 17 of a MiB", b"".join(skippable(MIB, variant=i % 16) for i in range(17)), skipped)
    c.bad_frame("skippable, claims 4 GB", skippable(2**32 - 1, b"abc"), skipped)
    c.refused("frames/skippable, 17 MiB at first", skippable(17 * MIB) + good + zstd(pack(end(1))), f"record 0: {skipped}")
    c.refused("frames/skippable, 17 MiB at last", good + zstd(pack(end(1))) + skippable(17 * MIB), f"record 1: {skipped}", 1)
    c.refused("frames/skippable, cut", good + skippable(100, b"abc"), "stream cut off in record 1", 1)
    c.refused("frames/skippable, cut header", good + skippable(100, b"")[:6], "stream cut off in record 1", 1)


def empty_skippables(c):
    good = zstd(pack(GOOD))
    c.refused("empty skippables/17 MiB", good + skippable(0) * (17 * MIB // 8) + zstd(pack(end(1))),
              "record 1: skippable frames of more than 16 MiB in a row", 1)


def firsts(c):
    """What is wrong already in the first record, for tools that read no second one."""
    content = pack(GOOD)
    good, last = zstd(content), zstd(pack(end(1)))
    damaged = "record 0: the zstd frame is damaged: its content does not have its checksum"
    c.refused("first/checksum", flipped(good, -1) + last, damaged)
    c.refused("first/checksum of a stored frame", flipped(stored(content), -1) + last, damaged)
    c.refused("first/cut", good[:-5], "stream cut off in record 0")
    c.refused("first/cut.raw", content[:-5], "stream cut off in record 0")
    c.refused("first/4 GB.raw", pack(holding({"data": Raw(b"\xc6\xff\xff\xff\xffabc")})), "record 0: tensor 'bad': 4294967295 bytes")
    c.refused("first/overflow", zstd(pack(holding(tensor(shape=[2**63, 2])))) + last, "record 0: tensor 'bad': the product of its shape")
    c.refused("first/no rows", zstd(pack({"gm": 1})) + last, "record 0: the record has no 'rows'")


X = "x <f4 2×3 [1, 6] mean 3.5"


def acceptable(c):
    plain = f"rows 2   {X}"
    x = {"x": tensor()}

    def whole(*fields):
        return pairs(("gm", 1), ("rows", 2), *fields)

    c.good("plain", GOOD, plain)
    c.good("any order", pairs(("tensors", x), ("rows", 2), ("gm", 1)), plain)
    c.good("keys as bin", {b"gm": 1, b"rows": 2, b"tensors": {b"x": {k.encode(): v for k, v in tensor().items()}}}, plain)
    c.good("type as bin", record(tensors={"x": tensor(b"<f4")}), plain)
    c.good("no nd", record(tensors={"x": {k: v for k, v in tensor().items() if k != "nd"}}), plain)
    c.good("data first", record(tensors={"x": dict(reversed(tensor().items()))}), plain)
    for name, value in (("text", ""), ("bin", b""), ("nil", None)):
        c.good(f"kind {name}", record(tensors={"x": {**tensor(), "kind": value}}), plain)
        c.good(f"kind {name} as bin", record(tensors={b"x": {**tensor(), b"kind": value}}), plain)
    unknown = {"new": [1, {"a": b"b"}, None, 1.5, msgpack.ExtType(1, b"x"), Raw(b"\xca\0\0\0\0")], "n" * 100: 1, "gm2": -1}
    c.good("unknown keys", {**unknown, **GOOD}, plain)
    c.good("unknown keys twice", pairs(*GOOD.items(), ("new", 1), ("new", 2)), plain)
    c.good("unknown keys of tensors", record(tensors={"x": {**unknown, **tensor()}}), plain)
    c.good("unknown keys, 16 levels", record(new=nested(16), tensors=x), plain)
    c.good("info, 16 levels", record(tensors=x, info={"a": nested(15)}), plain)
    c.good("info nil", record(tensors=x, info=None), plain)
    c.good("info, most values", record(tensors=x, info={"a": [0] * (131072 - 3)}), plain)
    c.good("info, most keys", record(tensors=x, info={"a": {str(i): i for i in range(4096)}}), plain)
    c.good("no tensors", record(), "rows 2")
    c.good("empty maps", record(tensors={}, scalars={}, info={}), "rows 2")
    c.good("most rows", {"gm": 1, "rows": 2**31 - 1}, "rows 2147483647")
    c.good("no rows", {"gm": 1, "rows": 0, "tensors": {"x": tensor(shape=[0, 3], data=b"")}}, "rows 0   x <f4 0×3")
    c.good("most steps", record(step=2**48), "step 281474976710656  rows 2")
    c.good("end false", record(end=False, records=7), "rows 2")
    c.good("wide heads", Raw(
        b"\xdf\0\0\0\4" + b"\xd9\2gm" + b"\xcf" + bytes(7) + b"\1" + b"\xda\0\4rows" + b"\xce\0\0\0\2"
        + b"\xc4\4step" + b"\xd3" + bytes(7) + b"\5" + b"\xdb\0\0\0\7tensors" + b"\xde\0\1" + b"\xc5\0\1x"
        + b"\xde\0\4" + b"\xa2nd\xc3" + b"\xc6\0\0\0\4type" + b"\xda\0\3<f4" + b"\xa5shape" + b"\xdd\0\0\0\2\xd0\2\xd1\0\3"
        + b"\xa4data\xc6\0\0\0\x18" + NUMBERS), f"step 5  {plain}")
    c.good("scalars", record(scalars={"a": 1, "b": -2, "c": 0.5, "d": Raw(b"\xca\x3f\x80\0\0"), b"e": 2**64 - 1}),
           "rows 2   a 1   b -2   c 0.5   d 1   e 1.84467e+19")
    c.good("longest names", record(tensors={"n" * 64: tensor()}, scalars={"s" * 64: 1}), f"rows 2   {'n' * 64}{X[1:]}   {'s' * 64} 1")
    c.good("UTF-8", record(tensors={"größe": tensor()}), f"rows 2   größe{X[1:]}")
    for kind, numbers in (("<f4", "<fff"), ("<f8", "<ddd"), ("|u1", "<BBB"), ("<i4", "<iii"), ("<i8", "<qqq")):
        spread = " [1, 3] mean 2" if "f" in kind else ""
        c.good(f"type {kind[1:]}", record(tensors={"x": tensor(kind, [3], struct.pack(numbers, 1, 2, 3))}), f"rows 2   x {kind} 3{spread}")
    c.good("rank 0", record(tensors={"x": tensor("<i4", [], bytes(4))}), "rows 2   x <i4 ()")
    c.good("rank 8", record(tensors={"x": tensor("<i4", [1, 2, 1, 1, 3, 1, 1, 1])}), "rows 2   x <i4 1×2×1×1×3×1×1×1")
    many = {f"t{i}": tensor("|u1", [1], b"a") for i in range(4096)}
    c.good("4096 tensors", record(tensors=many), "rows 2" + "".join(f"   t{i} |u1 1" for i in range(4096)))

    def lines(n):
        return "\n".join(f"record {i}  {plain}" for i in range(n))

    content, last = pack(GOOD), pack(end(1))
    for level in (-7, 1, 3, 19, 22):
        c.accepted(f"level {level}", zstd(content, level) + zstd(last, level), lines(1))
    c.accepted("no checksum", zstd(content, checksum=False) + zstd(last, checksum=False), lines(1))
    c.accepted("stored, no checksum", frame(len(content), raw_blocks(content)) + zstd(last), lines(1))
    c.accepted("stored, blocks of a byte", frame(len(content), raw_blocks(content, 1), checksum_of(content)) + zstd(last), lines(1))
    c.accepted("stored, empty last block", frame(len(content), block(len(content), 0, content, 0) + block(0, 0, b"", 1), checksum_of(content)) + zstd(last), lines(1))
    c.accepted("window of 8 MiB", zstd(content, window=23) + zstd(last), lines(1))
    c.accepted("no record", zstd(pack(end(0))), "")
    c.accepted("no record, raw", pack(end(0)), "")
    c.accepted("end record with more keys", content + pack(pairs(("new", 1), ("rows", 7), ("step", 8), ("records", 1), ("end", True), ("gm", 1))), lines(1))
    c.accepted("joined", b"".join(put(content) + put(last) for put in FRAMINGS.values()) + zstd(pack(end(0))), lines(3))
    c.accepted("mixed", zstd(content) + content + stored(content) + content + content + pack(end(5)), lines(5))
    skipped = skippable(5, variant=15)
    c.accepted("skippable frames", skipped + skipped + zstd(content) + skipped + content + skipped + zstd(pack(end(2))) + skipped, lines(2))
    fits = skippable(16 * MIB - 64)
    c.accepted("skippable, 16 MiB", fits + zstd(content) + zstd(last) + skipped, lines(1))
    # unread content of a size that would not fit
    unread = header(4) + pack("gm") + pack(1) + pack("rows") + pack(2) + pack("tensors") + pack(x) + pack("new")
    c.accepted("unread, 256 MiB", bomb(unread + b"\xc6" + struct.pack(">I", 256 * MIB), 256 * MIB) + zstd(last), lines(1))


def cuts(c):
    maps = [pack(m) for m in (GOOD, record(tensors={"x": tensor()}, scalars={"s": 1.5}, info={"a": "b"}), end(2))]
    for framing, put in FRAMINGS.items():
        parts = [put(m) for m in maps]
        offsets = [len(b"".join(parts[: i + 1])) for i in range(2)]
        c.write(f"cut/{framing}", b"".join(parts), ends=" ".join(map(str, offsets)))


def main():
    c = Cases(sys.argv[1])
    for part in (no_streams, ends, records, infos, names, tensors, claims, bombs, frames, empty_skippables, firsts, acceptable, cuts):
        part(c)


main()
