"""Sends every kind of message with the official client and compares the counts at the intake.

    datadog_client.py FOLDER_OF_PROGRAMS

For each transport: an intake and a sidecar agent are started, the client sends, the agent gets
SIGTERM, then the intake's totals must be exactly what was sent. Exit status 1 and the differences
if they are not.
"""

import contextlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from datadog.dogstatsd import DogStatsd

ROUNDS = 200
MEMBERS = 50
KEY = "00112233445566778899aabbccddeeff"
# Longest time that one transport may take; nothing waits for it to pass.
BOUND_S = 60

SUM = sum(range(ROUNDS))
EXPECTED = {
    "count": {"c.count": 3 * ROUNDS, "c.down": -ROUNDS, "c.histogram.count": ROUNDS,
              "c.timing.count": ROUNDS},
    "last": {"c.gauge": ROUNDS - 1, "c.set": MEMBERS, "c.histogram.max": ROUNDS - 0.5},
    "sketch_count": {"c.distribution": ROUNDS},
    "sketch_sum": {"c.distribution": SUM},
}


def send(client):
    """Sends every kind of message through a client that counts what it drops."""
    for number in range(ROUNDS):
        client.increment("c.count", 3, tags=["from:python"])
        client.decrement("c.down")
        client.gauge("c.gauge", number)
        client.histogram("c.histogram", number + 0.5)
        client.timing("c.timing", number)
        client.distribution("c.distribution", number)
    # One datagram, and so one bucket, whose count is that of all members.
    with client:
        for member in list(range(MEMBERS)) * 2:
            client.set("c.set", member)
    client.event("deployed", "line one\nline two", alert_type="info", tags=["a:b"])
    client.event("again", "ünïcode | pipes")
    client.service_check("c.check", DogStatsd.WARNING, message="m: half\nfull", tags=["a:b"])
    client.flush()


def differences(totals, receipt):
    """Says what is not as it was sent."""
    def compare(what, expected, found):
        if found is None or abs(found - expected) > 1e-6:
            yield f"{what}: {expected} expected, {found} found"

    for field, metrics in EXPECTED.items():
        for name, expected in metrics.items():
            found = totals["metrics"].get(name, {}).get(field)
            found = found["value"] if isinstance(found, dict) else found
            yield from compare(f"{name} {field}", expected, found)
    for field, expected in [("events", 2), ("checks", 1), ("undecodable", 0), ("duplicate_points", 0)]:
        yield from compare(field, expected, totals[field])
    yield from compare("malformed lines", 0, sum(receipt["workers"]["malformed"].values()))
    if not receipt["lossless"]:
        yield "the receipt is not lossless"


@contextlib.contextmanager
def started(command, **options):
    """A process that does not outlive the block."""
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(programs, transport):
    """One transport; gives the differences."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = [programs / "lastdrop-lab", "intake"]
        intake = stack.enter_context(started(lab, stdout=subprocess.PIPE))
        (folder / "empty.yaml").touch()
        environment = {
            "DD_API_KEY": KEY,
            "DD_DD_URL": intake.stdout.readline().strip(),
            "DD_DOGSTATSD_PORT": "__random__",
            "DD_DOGSTATSD_SOCKET": str(folder / "datagram"),
            "DD_DOGSTATSD_STREAM_SOCKET": str(folder / "stream"),
            "DD_LOG_LEVEL": "info",
            "LASTDROP_CONFIG": str(folder / "empty.yaml"),
            "LASTDROP_LINGER": "100ms",
            "LASTDROP_RECEIPT": str(folder / "receipt"),
        }
        lastdrop = [programs / "lastdrop", "run"]
        agent = stack.enter_context(started(lastdrop, env=environment, stderr=subprocess.PIPE))
        port, said = listening(agent.stderr)
        address = {
            "udp": {"host": "127.0.0.1", "port": port},
            "unix datagram": {"socket_path": f"unixgram://{folder}/datagram"},
            "unix stream": {"socket_path": f"unixstream://{folder}/stream"},
        }[transport]
        # By default the client gives a datagram up that a unix socket has no room for.
        client = DogStatsd(**address, socket_timeout=BOUND_S, disable_telemetry=True)
        send(client)
        agent.send_signal(signal.SIGTERM)
        said += agent.communicate()[1]
        client.close_socket()
        intake.send_signal(signal.SIGTERM)
        totals = json.loads(intake.communicate()[0])
        receipt = json.loads((folder / "receipt").read_text())
        found = list(differences(totals, receipt))
        if client.packets_dropped or agent.returncode != 0:
            found.append(f"client dropped {client.packets_dropped}, agent {agent.returncode}")
        if found:
            found.append(f"the agent said:\n{said}")
        return found


def listening(stderr):
    """Reads what the agent says up to the last address that it listens on; gives its port."""
    said, port = "", None
    for line in stderr:
        said += line
        if found := re.search(r"listening: Udp\(127\.0\.0\.1:(\d+)\)", line):
            port = int(found[1])
        if re.search(r"listening: Unix\(.*stream", line):
            return port, said
    sys.exit(f"the agent does not listen:\n{said}")


def give_up(*_):
    raise TimeoutError(f"not done after {BOUND_S} s")


def main():
    signal.signal(signal.SIGALRM, give_up)
    programs = pathlib.Path(sys.argv[1]).resolve()
    failed = False
    for transport in ["udp", "unix datagram", "unix stream"]:
        signal.alarm(BOUND_S)
        found = run(programs, transport)
        failed |= bool(found)
        print(f"{transport}: {'FAILED' if found else 'as sent'}", *found, sep="\n  ")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
