"""What `inlay serve` takes: to start, for a run of three nodes, for many clients at once, and on the socket.

    python benchmarks/serve/run.py [--rounds 100] [--runs 1000] [--json]

Wall time counts what a person waits for; on a machine that does other work too, read the CPU time beside it: user and
system time of server and worker together.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

HELPERS = Path(__file__).resolve().parents[2] / "tests" / "helpers"
CLIENTS = 20


def cpu_seconds(pids):
    """User and system time so far of some processes."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids):
    """Megabytes of RAM: shared pages count once (proportional set size), and as each process sees it (resident)."""
    sizes = {"Pss": 0, "Rss": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] += int(rest.split()[0]) / 1024
    return {name: round(size) for name, size in sizes.items()}


def starts(serving, folder, port, rounds):
    """Seconds to listening and to a ready worker; the last server stays."""
    listening, ready, cpu = [], [], []
    for number in range(rounds):
        began = time.monotonic()
        server = serving.Process(folder, port, "--device", "cpu")
        server.listening()
        listening.append(time.monotonic() - began)
        cpu.append(cpu_seconds([server.process.pid]))
        server.client.ready()
        ready.append(time.monotonic() - began)
        if number < rounds - 1:
            server.stop()
    return server, {
        "listening, s": statistics.median(listening[1:]),
        "CPU until then, s": statistics.median(cpu[1:]),
        "a worker is ready, s": statistics.median(ready[1:]),
    }


def until_end(socket):
    """Read events until a run ends; the bytes that came."""
    size = 0
    while True:
        text = socket.recv(timeout=300)
        size += len(text.encode())
        event = json.loads(text)
        if event["kind"] in ("done", "failed", "cancelled"):
            assert event["kind"] == "done", event
            return size


def single_runs(serving, server, pids, rounds):
    """Milliseconds from sending three trivial nodes to hearing that they are done, one after the other."""
    from websockets.sync.client import connect

    upload = server.client.upload(serving.picture(64, 64))
    times = []
    with connect(server.client.address.replace("http", "ws") + "/v1/events") as socket:
        for number in range(rounds + 10):
            if number == 10:
                before = cpu_seconds(pids)
            body = serving.trivial("x", grow=number % 4000)
            began = time.perf_counter()
            server.client.submit(body, values={"image": {"upload": upload["id"]}})
            until_end(socket)
            times.append(1000 * (time.perf_counter() - began))
    times = times[10:]
    return {
        "POST to done, ms": statistics.median(times),
        "the fastest, ms": min(times),
        "CPU of server and worker a run, ms": 1000 * (cpu_seconds(pids) - before) / rounds,
    }


def bytes_of_a_long_run(server):
    """Bytes on the socket for a run of 1,000 nodes."""
    from websockets.sync.client import connect

    nodes = {"photo": {"type": "image.load", "params": {"path": "photo.jpg"}}}
    nodes["hole"] = {"type": "mask.load", "params": {"path": "hole.png"}}
    before = "hole.mask"
    for number in range(998):
        nodes[f"n{number}"] = {"type": "mask.grow", "inputs": {"mask": before}}
        before = f"n{number}.mask"
    with connect(server.client.address.replace("http", "ws") + "/v1/events") as socket:
        server.client.submit({"format": 1, "nodes": nodes, "outputs": {"mask": before, "photo": "photo.image"}})
        return {"bytes on the socket, 1,000 nodes": until_end(socket)}


def many_clients(serving, server, runs):
    """Runs from twenty clients at once: none lost, one result each, and the order of each client kept."""
    upload = server.client.upload(serving.picture(32, 32))
    sent = [[] for _ in range(CLIENTS)]

    def send(client):
        own = serving.Client(server.client.address)
        for number in range(runs // CLIENTS):
            body = serving.trivial("x", save=True, grow=number)
            sent[client].append(
                own.submit(body, values={"image": {"upload": upload["id"]}}, client=f"bench{client}")["id"]
            )

    began = time.monotonic()
    threads = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = time.monotonic() - began
    wrong = out_of_order = 0
    for own in sent:
        ended = [server.client.ended(run, 3600) for run in own]
        wrong += sum(run["state"] != "done" or len(run["results"]) != 1 for run in ended)
        out_of_order += sum(a["ended"] > b["started"] for a, b in itertools.pairwise(ended))
    return {
        "runs of 20 clients": sum(map(len, sent)),
        "lost, or without exactly one result": wrong,
        "out of their client's order": out_of_order,
        "all accepted after, s": accepted,
        "all done after, s": time.monotonic() - began,
    }


def main():
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="single runs, one after the other (default: 100)")
    parser.add_argument("--runs", type=int, default=1000, help="runs of twenty clients together (default: 1000)")
    parser.add_argument(
        "--starts", type=int, default=6, help="starts of the server, the first not counted (default: 6)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    sys.path.insert(0, str(HELPERS))
    import serving

    with tempfile.TemporaryDirectory(prefix="inlay-serve-", ignore_cleanup_errors=True) as folder:
        server, found = starts(serving, Path(folder), serving.free_port(), options.starts)
        pids = [server.process.pid, *(worker["pid"] for worker in server.client.ready())]
        sizes = memory(pids)
        found |= {"memory of both when ready, MB": sizes["Pss"], "the same, shared pages twice, MB": sizes["Rss"]}
        found |= single_runs(serving, server, pids, options.rounds)
        found |= bytes_of_a_long_run(server)
        found |= many_clients(serving, server, options.runs)
        found |= {"memory of both at the end, MB": memory(pids)["Pss"], "load of the machine": os.getloadavg()[0]}
        server.stop()
    if options.json:
        print(json.dumps(found))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, value in found.items():
        print(f"{name:42} {value:10.2f}" if isinstance(value, float) else f"{name:42} {value:10,}")


if __name__ == "__main__":
    main()
