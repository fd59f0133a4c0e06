#!/usr/bin/python3
"""clip.py LIMIT: scales the gradients of each record so that their norm is at most LIMIT; see gm-stream(5)."""
import sys
import msgpack, numpy, zstandard

limit = float(sys.argv[1])
compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
source = zstandard.ZstdDecompressor().stream_reader(open(0, "rb", buffering=0), read_across_frames=True)
unpacker = msgpack.Unpacker(max_buffer_size=2**31 - 1)
while chunk := source.read1(1 << 20):  # returns what has come: training is lockstep, nobody may wait for more
    unpacker.feed(chunk)
    for record in unpacker:
        tensors = [t for name, t in record.get("tensors", {}).items() if name.startswith("grad/")]
        grads = [numpy.frombuffer(t["data"], t["type"]) for t in tensors]
        norm = numpy.sqrt(sum(numpy.sum(numpy.square(g, dtype="f8")) for g in grads))
        for t, g in zip(tensors, grads) if norm > limit else ():
            t["data"] = (g * (limit / norm)).astype(t["type"]).tobytes()
        sys.stdout.buffer.write(compressor.compress(msgpack.packb(record)))
        sys.stdout.buffer.flush()
