"""The network of all-MiniLM-L6-v2 as ONNX text: six BERT layers, then the mean of the tokens at unit length.

The graph holds no numbers. Its weights are references into the safetensors file, which is a header and raw numbers, so
nothing is converted, copied or kept beside it.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

LAYERS = 6

_LINEAR_PARTS = ("weight", "bias")
_LAYER_PARTS = [
    *(f"attention.self.{name}.{part}" for name in ("query", "key", "value") for part in _LINEAR_PARTS),
    *(f"attention.output.{name}.{part}" for name in ("dense", "LayerNorm") for part in _LINEAR_PARTS),
    *(f"intermediate.dense.{part}" for part in _LINEAR_PARTS),
    *(f"output.{name}.{part}" for name in ("dense", "LayerNorm") for part in _LINEAR_PARTS),
]

_NETWORK = """
<ir_version: 9, opset_import: ["" : 20, "bert" : 1]>
all_minilm_l6_v2 (int64[batch, length] input_ids, int64[batch, length] attention_mask)
    => (float[batch, 384] embedding)
{
    hidden_0 = bert.embed (input_ids, "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight",
        "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias")
    attended = Cast <to = 1> (attention_mask)
    LAYERS
    embedding = bert.mean_of_unit_length (hidden_6, attended)
}

<domain: "bert", opset_import: ["" : 20]>
embed (ids, words, places, kinds, gain, shift) => (y) {
    word = Gather (words, ids)
    zero = Constant <value = int64[1] {0}> ()
    length = Shape <start = 1, end = 2> (ids)
    place = Slice (places, zero, length, zero)
    first = Constant <value_int = 0> ()
    kind = Gather (kinds, first)
    placed = Add (word, place)
    sum = Add (placed, kind)
    y = LayerNormalization <axis = -1, epsilon = 1e-12> (sum, gain, shift)
}

<domain: "bert", opset_import: ["" : 20]>
linear (x, weight, bias) => (y) {
    turned = Transpose <perm = [1, 0]> (weight)
    product = MatMul (x, turned)
    y = Add (product, bias)
}

<domain: "bert", opset_import: ["" : 20]>
heads (x) => (y) {
    twelve_of_32 = Constant <value = int64[4] {0, 0, 12, 32}> ()
    split = Reshape (x, twelve_of_32)
    y = Transpose <perm = [0, 2, 1, 3]> (split)
}

<domain: "bert", opset_import: ["" : 20, "bert" : 1]>
attention (x, attended, wq, bq, wk, bk, wv, bv) => (y) {
    queries = bert.linear (x, wq, bq)
    keys    = bert.linear (x, wk, bk)
    values  = bert.linear (x, wv, bv)
    q = bert.heads (queries)
    k = bert.heads (keys)
    v = bert.heads (values)
    k_turned = Transpose <perm = [0, 1, 3, 2]> (k)
    products = MatMul (q, k_turned)
    root_of_32 = Constant <value_float = 5.6568542> ()
    scores = Div (products, root_of_32)
    one = Constant <value_float = 1.0> ()
    padding = Sub (one, attended)
    minus_much = Constant <value_float = -1e9> ()
    penalty = Mul (padding, minus_much)
    head_and_query = Constant <value = int64[2] {1, 2}> ()
    penalty_4d = Unsqueeze (penalty, head_and_query)
    masked = Add (scores, penalty_4d)
    weights = Softmax <axis = -1> (masked)
    mixed = MatMul (weights, v)
    together = Transpose <perm = [0, 2, 1, 3]> (mixed)
    width = Constant <value = int64[3] {0, 0, 384}> ()
    y = Reshape (together, width)
}

<domain: "bert", opset_import: ["" : 20, "bert" : 1]>
layer (x, attended, wq, bq, wk, bk, wv, bv, wo, bo, g1, s1, w_up, b_up, w_down, b_down, g2, s2) => (y) {
    seen = bert.attention (x, attended, wq, bq, wk, bk, wv, bv)
    projected = bert.linear (seen, wo, bo)
    with_x = Add (projected, x)
    z = LayerNormalization <axis = -1, epsilon = 1e-12> (with_x, g1, s1)
    up = bert.linear (z, w_up, b_up)
    active = Gelu (up)
    down = bert.linear (active, w_down, b_down)
    with_z = Add (down, z)
    y = LayerNormalization <axis = -1, epsilon = 1e-12> (with_z, g2, s2)
}

<domain: "bert", opset_import: ["" : 20]>
mean_of_unit_length (x, attended) => (y) {
    last = Constant <value = int64[1] {2}> ()
    attended_3d = Unsqueeze (attended, last)
    kept = Mul (x, attended_3d)
    along = Constant <value = int64[1] {1}> ()
    total = ReduceSum <keepdims = 0> (kept, along)
    length = ReduceL2 <keepdims = 1> (total, along)
    y = Div (total, length)
}
"""


def network(weights: Path) -> bytes:
    """The serialised model whose weights lie in this safetensors file; it is looked up by its name when opened."""
    import onnx  # noqa: PLC0415 — a third of a second, and needed this once
    import onnx.parser  # noqa: PLC0415 — the same

    layers = "\n    ".join(_layer_call(number) for number in range(LAYERS))
    model = onnx.parser.parse_model(_NETWORK.replace("LAYERS", layers))
    used = {name for node in model.graph.node for name in node.input}
    for name, (shape, offset, size) in _tensors(weights).items():
        if name not in used:
            continue
        tensor = model.graph.initializer.add(name=name, data_type=onnx.TensorProto.FLOAT, dims=shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": weights.name, "offset": offset, "length": size}.items():
            tensor.external_data.add(key=key, value=str(value))
    return model.SerializeToString()


def _layer_call(number: int) -> str:
    weights = ", ".join(f'"encoder.layer.{number}.{part}"' for part in _LAYER_PARTS)
    return f"hidden_{number + 1} = bert.layer (hidden_{number}, attended, {weights})"


def _tensors(weights: Path) -> dict[str, tuple[list[int], int, int]]:
    """Name → shape, offset in the file, bytes. The file is the header's length, the header in JSON, the numbers."""
    with weights.open("rb") as file:
        (header_size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_size))
    start = 8 + header_size
    return {
        name: (one["shape"], start + one["data_offsets"][0], one["data_offsets"][1] - one["data_offsets"][0])
        for name, one in header.items()
        if one.get("dtype") == "F32"
    }
