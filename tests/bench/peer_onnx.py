"""ONNX Runtime: `peer_onnx.py classify|sample MODEL THREADS ROWS_FILE|ROWS`, rows a second of the same weights.

MODEL and ROWS_FILE are streams of gm-save and gm-batch. What it classifies lies in memory already, and what it makes
stays there; `read` reads its rows from a file of bare floats first, batch by batch. It says `absent` if its outputs are
not those of MODEL's own tool, which `expected` holds.
"""
import sys

import peer

ort = peer.need("onnxruntime")
onnx = peer.need("onnx")
msgpack, zstandard, np = peer.need("msgpack"), peer.need("zstandard"), peer.need("numpy")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

work, model, threads, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
BATCHES = (128, 512, 2048, 8192)


def tensors(path):
    """All records of a stream, each as a dictionary of arrays."""
    with open(path, "rb") as f:
        content = zstandard.ZstdDecompressor().stream_reader(f, read_across_frames=True)
        for record in msgpack.Unpacker(content, max_buffer_size=0):
            yield {
                k: np.frombuffer(t["data"], t["type"]).reshape(t["shape"])
                for k, t in record.get("tensors", {}).items()
            }


def session(activations):
    weights = next(tensors(model))
    names = sorted({int(k.split(".")[0]) for k in weights if k.endswith(".W")})
    nodes, initializers, at = [], [], "x"
    for i, name in enumerate(names):
        initializers += [numpy_helper.from_array(weights[f"{name}.{p}"].copy(), f"{name}.{p}") for p in "Wb"]
        nodes.append(helper.make_node("Gemm", [at, f"{name}.W", f"{name}.b"], [f"h{i}"]))
        at = "out" if i + 1 == len(names) else f"a{i}"
        nodes.append(helper.make_node(activations[i], [f"h{i}"], [at]))
    inputs, outputs = weights[f"{names[0]}.W"].shape[0], weights[f"{names[-1]}.W"].shape[1]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", c]) for n, c in (("x", inputs), ("out", outputs))]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], initializers)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"]), inputs


def fastest(run):
    """The batch size with which a turn takes least."""
    return min(BATCHES, key=lambda b: min(peer.seconds(lambda: run(b))() for _ in range(2)))


def classify():
    net, inputs = session(["Relu", "Relu", "Softmax"])
    x = np.concatenate([r["x"] for r in tensors(rows) if "x" in r]).astype(np.float32)
    x.tofile("x.f4")

    def in_memory(batch):
        return (x[i : i + batch] for i in range(0, len(x), batch))

    def from_file(batch):
        with open("x.f4", "rb") as f:
            while len(part := np.fromfile(f, np.float32, batch * inputs)):
                yield part.reshape(-1, inputs)

    def run(batch, parts=in_memory):
        outputs = (net.run(None, {"x": part})[0] for part in parts(batch))
        return np.concatenate([np.stack([p.argmax(1), p.max(1)], 1) for p in outputs])

    expected = np.loadtxt(sys.argv[5], delimiter=",", skiprows=1, dtype=str)
    agree = np.mean(run(512)[: len(expected), 0].astype(int) == expected[:, 0].astype(int))
    if agree < 0.999:
        peer.absent(f"its classes agree in {agree:.4f} of the rows only")
    return run, len(x), {"read": lambda batch: run(batch, from_file)}


def sample():
    net, inputs = session(["Relu", "Relu", "Sigmoid"])
    random, count = np.random.Generator(np.random.SFC64(1)), int(rows)

    def run(batch):
        for _ in range(0, count, batch):
            net.run(None, {"x": random.standard_normal((batch, inputs), np.float32)})

    return run, count, {}


run, count, others = {"classify": classify, "sample": sample}[work]()
batch = fastest(run)


def turn(work):
    took = peer.seconds(lambda: work(batch))
    return lambda: count / took()


peer.serve(turn(run), **{name: turn(other) for name, other in others.items()})
