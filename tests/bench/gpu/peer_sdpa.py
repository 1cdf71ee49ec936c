"""PyTorch's attention on the shapes of attention_bench, timed the same way.

    python3 peer_sdpa.py [decode] [prompt]

Prints the rates of a device copy and of a bf16 matrix product, then a line per shape. Single tokens: one query per
sequence over dense keys and values that somebody has gathered already, 1,282 per kv head. Prompts: causal attention over
everything, which is more work than the kernel under the expiry rule does; TFLOP/s count what the mask leaves. Every figure:
a CUDA graph of calls that walk at least 4 distinct sets of inputs of together 512 MB or more, replayed, timed with events,
the median of 9 replays, divided by the calls. Needs torch.
"""

import sys

import torch
from torch.nn.functional import scaled_dot_product_attention

LEAST_BYTES = 512 << 20
LEAST_SETS = 4
REPLAYS = 9
QUERY_HEADS, KV_HEADS, DIM, KEYS = 32, 8, 64, 769 + 512 + 1


def seconds_of(calls):
    """Seconds of one of `calls`, functions whose results are kept until the graph is gone."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(2):
            calls[0]()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = [call() for call in calls]
    for _ in range(2):
        graph.replay()
    times = []
    for _ in range(REPLAYS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / len(calls))
    del results
    return sorted(times)[REPLAYS // 2]


def random_bf16(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def copy_rate():
    """Bytes read and written per second. Not in a graph: there the driver copies by slower means."""
    source = torch.rand(1 << 30, device="cuda")
    target = torch.empty_like(source)
    times = []
    for _ in range(REPLAYS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3)
    return 2 * 4 * source.numel() / min(times)


def product_rate():
    a, b = random_bf16(8192, 8192), random_bf16(8192, 8192)
    c = torch.empty_like(a)
    return 2 * 8192**3 / seconds_of([lambda: torch.matmul(a, b, out=c)] * 10)


def inputs(sequences, queries, keys):
    return (random_bf16(sequences, QUERY_HEADS, queries, DIM), random_bf16(sequences, KV_HEADS, keys, DIM),
            random_bf16(sequences, KV_HEADS, keys, DIM))


def bench(sequences, queries, keys, causal, rate):
    set_bytes = 2 * sequences * DIM * 2 * (KV_HEADS * keys + QUERY_HEADS * queries)
    num_sets = max(LEAST_SETS, -(-LEAST_BYTES // set_bytes))
    sets = [inputs(sequences, queries, keys) for _ in range(num_sets)]

    def call(q, k, v):
        return scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)

    def grouped(q, k, v):
        # The query heads of a kv head as the rows of one: keys and values are read once.
        rows = q.view(sequences, KV_HEADS, QUERY_HEADS // KV_HEADS, DIM)
        return scaled_dot_product_attention(rows, k, v)

    forms = {"enable_gqa": call} if causal else {"enable_gqa": call, "grouped": grouped}
    for name, form in forms.items():
        try:
            seconds = seconds_of([lambda s=s: form(*s) for s in sets])
        except RuntimeError as error:
            print(f"torch {name} {sequences} x {queries}: {error}", flush=True)
            continue
        flops = sequences * QUERY_HEADS * 4 * DIM * (queries * (queries + 1) / 2 if causal else queries * keys)
        print(f"torch {name} {sequences} x {queries}: {set_bytes / 1e6:.2f} MB {seconds * 1e6:.2f} us "
              f"{set_bytes / seconds / 1e9:.0f} GB/s {100 * set_bytes / seconds / rate:.1f}% of copy "
              f"{flops / seconds / 1e12:.1f} TFLOP/s", flush=True)


@torch.no_grad()
def main():
    wanted = sys.argv[1:] or ["decode", "prompt"]
    torch.manual_seed(1)
    rate = copy_rate()
    print(f"torch {torch.__version__}: copy {rate / 1e9:.0f} GB/s\nproduct {product_rate() / 1e12:.0f} TFLOP/s", flush=True)
    if "decode" in wanted:
        for batch in (1, 16, 64, 256):
            bench(batch, 1, KEYS, False, rate)
    if "prompt" in wanted:
        for sequences in (1, 8):
            bench(sequences, 4096, 4096, True, rate)


main()
