# guest-run.py FOLDER COMMAND...: runs a command in the guest whose jobs are in FOLDER/jobs, as if it were here.
# Input is taken to its end first, unless it is /dev/null; signals are passed on.
import json, os, signal, sys, time

folder, argv = sys.argv[1] + "/jobs", sys.argv[2:]
n = f"{os.getpid()}-{time.monotonic_ns()}"
base = f"{folder}/{n}"
feed = sys.stdin.read() if not os.path.samestat(os.fstat(0), os.stat("/dev/null")) else None


def forward(number, _):
    with open(f"{base}.new", "w") as f:
        f.write(str(int(number)))
    os.rename(f"{base}.new", f"{base}.kill")


for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, forward)
with open(f"{base}.new", "w") as f:
    json.dump({"argv": argv, "input": feed}, f)
os.rename(f"{base}.new", f"{base}.job")

done = {"out": 0, "err": 0}


def drain():
    for name, to in (("out", sys.stdout), ("err", sys.stderr)):
        try:
            with open(f"{base}.{name}", "rb") as f:
                f.seek(done[name])
                data = f.read()
        except FileNotFoundError:
            continue
        if data:
            done[name] += len(data)
            to.buffer.write(data)
            to.buffer.flush()


status = None
while status is None:
    if os.path.exists(f"{base}.rc"):
        with open(f"{base}.rc") as f:
            status = int(f.read())
    drain()
    time.sleep(0.005)
drain()
for name in ("rc", "out", "err", "kill"):
    try:
        os.unlink(f"{base}.{name}")
    except FileNotFoundError:
        pass
sys.exit(status)
