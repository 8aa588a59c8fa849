# In the guest: carries out the commands that guest-run.py leaves in $ORACLE_RUN/jobs.
#
#   N.job   {"argv", "input"}     appears whole (renamed)
#   N.out, N.err                  grow as the program prints
#   N.rc    its exit status       appears whole, when it has ended
#   N.kill  a signal's number     for its process
import json, os, subprocess, time

jobs = os.path.join(os.environ["ORACLE_RUN"], "jobs")
running = {}
# Beyond what the oracle's guests have (oracle/modules): wires, and ciphers that charon can propose.
modules = "veth serpent_generic twofish_generic blowfish_generic cast5_generic".split()
subprocess.run(["modprobe", "-d", os.environ["UML_ROOT"] + "/usr/lib/uml", "-a", *modules])
print("ready", flush=True)


def settle(n, status):
    with open(f"{jobs}/{n}.tmp", "w") as f:
        f.write(str(status))
    os.rename(f"{jobs}/{n}.tmp", f"{jobs}/{n}.rc")


def begin(n):
    with open(f"{jobs}/{n}.job") as f:
        job = json.load(f)
    os.unlink(f"{jobs}/{n}.job")
    if job["argv"] == ["guest-end"]:
        settle(n, 0)
        return False
    has_input = job["input"] is not None
    out, err = open(f"{jobs}/{n}.out", "wb"), open(f"{jobs}/{n}.err", "wb")
    try:
        child = subprocess.Popen(
            job["argv"], stdin=subprocess.PIPE if has_input else subprocess.DEVNULL, stdout=out, stderr=err
        )
        if has_input:
            child.stdin.write(job["input"].encode())
            child.stdin.close()
        running[n] = child
    except OSError as error:
        err.write(f"{error}\n".encode())
        err.flush()
        settle(n, 127)
    return True


goes_on = True
while goes_on:
    for name in os.listdir(jobs):
        n, _, kind = name.partition(".")
        if kind == "job":
            goes_on = begin(n) and goes_on
        elif kind == "kill" and n in running:
            with open(f"{jobs}/{name}") as f:
                number = f.read()
            if number:
                os.unlink(f"{jobs}/{name}")
                running[n].send_signal(int(number))
    for n, child in list(running.items()):
        if child.poll() is not None:
            del running[n]
            status = child.returncode
            settle(n, status if status >= 0 else 128 - status)
    time.sleep(0.005)
