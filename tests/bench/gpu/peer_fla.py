"""flash-linear-attention on the shapes of gated_delta_bench, timed the same way.

    python3 peer_fla.py [decode] [prompt]

Prints the rates of a device copy and of a bf16 matrix product through PyTorch, then a line per shape. Every figure: a
CUDA graph of calls that walk at least 4 distinct sets of inputs and states of together 512 MB or more, replayed, timed
with events, the median of 9 replays, divided by the calls. q and k are normalised in the kernel; the gates, which Winnow's
kernels compute themselves, are given. Needs torch, triton, flash-linear-attention (tried: 0.5.2).
"""

import sys

import torch
from fla.ops.gated_delta_rule import chunk_gated_delta_rule, fused_recurrent_gated_delta_rule

LEAST_BYTES = 512 << 20
LEAST_SETS = 4
REPLAYS = 9
HEADS = [(8, 256, 256), (8, 128, 128)]


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
    return torch.randn(*shape, device="cuda", dtype=torch.float32).to(torch.bfloat16)


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


def inputs(heads, key_dim, value_dim, sequences, rows):
    """One set: keyword arguments of flash-linear-attention's functions."""
    return dict(
        q=random_bf16(sequences, rows, heads, key_dim),
        k=random_bf16(sequences, rows, heads, key_dim),
        v=random_bf16(sequences, rows, heads, value_dim),
        g=-torch.rand(sequences, rows, heads, device="cuda"),
        beta=torch.rand(sequences, rows, heads, device="cuda").to(torch.bfloat16),
        initial_state=torch.randn(sequences, heads, key_dim, value_dim, device="cuda"),
        output_final_state=True,
        use_qk_l2norm_in_kernel=True,
    )


def bench(name, function, heads, key_dim, value_dim, sequences, rows, rate):
    state_bytes = sequences * heads * key_dim * value_dim * 4
    row_bytes = sequences * rows * heads * (4 * key_dim + 4 * value_dim + 4)
    set_bytes = state_bytes if rows == 1 else row_bytes + state_bytes
    num_sets = max(LEAST_SETS, -(-LEAST_BYTES // set_bytes))
    sets = [inputs(heads, key_dim, value_dim, sequences, rows) for _ in range(num_sets)]
    seconds = seconds_of([lambda s=s: function(**s) for s in sets])
    moved = 2 * state_bytes + row_bytes
    print(f"{name} {heads}x{key_dim}x{value_dim} {sequences} x {rows}: {moved / 1e6:.2f} MB {seconds * 1e6:.2f} us "
          f"{moved / seconds / 1e9:.0f} GB/s {100 * moved / seconds / rate:.1f}% of copy", flush=True)


@torch.no_grad()
def main():
    wanted = sys.argv[1:] or ["decode", "prompt"]
    torch.manual_seed(1)
    rate = copy_rate()
    print(f"copy {rate / 1e9:.0f} GB/s\nproduct {product_rate() / 1e12:.0f} TFLOP/s", flush=True)
    for heads, key_dim, value_dim in HEADS:
        if "decode" in wanted:
            for batch in (1, 16, 64, 256, 1024):
                bench("fla decode", fused_recurrent_gated_delta_rule, heads, key_dim, value_dim, batch, 1, rate)
        if "prompt" in wanted:
            for sequences, rows in ((1, 4096), (1, 32768), (8, 4096)):
                bench("fla prompt", chunk_gated_delta_rule, heads, key_dim, value_dim, sequences, rows, rate)


main()
