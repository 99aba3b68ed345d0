"""A real SLURM of one node, or two, with two made-up GPUs each, for tests; needs root.

Debian's slurm-wlm and munge, without systemd and cgroups. Its configuration has to be
in /etc/slurm, because the jobs' nested srun loses SLURM_CONF; a foreign one is left
alone.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from study import wait_until

from polycal.storage.files import exclusive

CONFIG = Path("/etc/slurm")
STATE = Path("/var/lib/polycal-slurm")
SAVED_JOBS = STATE / "ctld/job_state"
_MARK = "ClusterName=polycal-tests"
_PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
_GPUS = 2
_SECOND = "polycal-second"  # down, but for tests of several nodes

_SLURM = f"""{_MARK}
SlurmctldHost={{host}}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MinJobAge=600
OverTimeLimit=0
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,\
batch_sched_delay=0
MailProg=/bin/true
AuthInfo=cred_expire=5
GresTypes=gpu
StateSaveLocation={STATE}/ctld
SlurmdSpoolDir={STATE}/d-%n
SlurmctldPidFile={STATE}/slurmctld.pid
SlurmdPidFile={STATE}/slurmd-%n.pid
SlurmctldLogFile={STATE}/slurmctld.log
SlurmdLogFile={STATE}/slurmd-%n.log
NodeName=DEFAULT CPUs=4 RealMemory=64000 Gres=gpu:toy:{_GPUS}
NodeName={{host}} NodeAddr=127.0.0.1 Port=16818
NodeName={_SECOND} NodeHostname={{host}} NodeAddr=127.0.0.1 Port=16819 State=DOWN
PartitionName=main Nodes={{host}},{_SECOND} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """The reason why no SLURM can be started here; None if one can."""
    if os.environ.get("POLYCAL_SLURM") != "1":
        return "POLYCAL_SLURM=1 lets the tests start a SLURM, for ten minutes"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing (apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "only root can start SLURM's services"
    found = CONFIG / "slurm.conf"
    if found.exists() and _MARK not in found.read_text():
        return f"{found} belongs to another cluster"
    return None


class Cluster:
    """The services of a cluster that runs while a `with` block does.

    There is one on a machine at a time; tests of another process wait for it.
    """

    def __enter__(self) -> "Cluster":
        self._alone = exclusive(STATE)
        self._alone.__enter__()
        try:
            return self._begin()
        except BaseException:
            self.__exit__()  # what has started would meet the next one
            raise

    def _begin(self) -> "Cluster":
        self._munged = None
        self._host = socket.gethostname().split(".")[0]
        shutil.rmtree(STATE, ignore_errors=True)
        spools = (STATE / f"d-{node}" for node in (self._host, _SECOND))
        for folder in (CONFIG, STATE / "ctld", *spools):
            folder.mkdir(parents=True, exist_ok=True)
        for index in range(_GPUS):
            device = STATE / f"gpu{index}"
            subprocess.run(["mknod", device, "c", "1", "3"], check=True)
        gpus = f"{STATE}/gpu[0-{_GPUS - 1}]"
        (CONFIG / "slurm.conf").write_text(_SLURM.format(host=self._host))
        (CONFIG / "gres.conf").write_text(
            f"NodeName={self._host},{_SECOND} Name=gpu Type=toy File={gpus}\n"
        )
        (CONFIG / "cgroup.conf").write_text("CgroupAutomount=no\n")
        self._munged = _start_munge()
        self.start_controller()
        self._start_node(self._host)
        return self

    def __exit__(self, *_: object) -> None:
        call("scancel", "--user=root")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not call("squeue", "-h"), 60)
        _stop(f"slurmd-{_SECOND}")
        _stop(f"slurmd-{self._host}")
        _stop("slurmctld")
        if self._munged is not None:
            self._munged.terminate()
            self._munged.wait()
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            (CONFIG / name).unlink(missing_ok=True)
        shutil.rmtree(STATE, ignore_errors=True)
        self._alone.__exit__(None, None, None)

    def start_controller(self) -> None:
        """Start the controller; it goes on with the jobs that it knew."""
        subprocess.run(["slurmctld"], check=True)
        wait_until(lambda: "UP" in call("scontrol", "ping"))

    def stop_controller(self) -> None:
        """Stop the controller as a crash does; jobs go on."""
        _stop("slurmctld", signal.SIGKILL)

    def _start_node(self, name: str) -> None:
        subprocess.run(["slurmd", "-N", name], check=True)
        wait_until(lambda: call("sinfo", "-h", "-n", name, "-o", "%T") == "idle")

    @contextlib.contextmanager
    def second_node(self) -> Iterator[None]:
        """Inside, there are two nodes."""
        call("scontrol", "update", f"nodename={_SECOND}", "state=resume")
        try:
            self._start_node(_SECOND)
            yield
        finally:
            _stop(f"slurmd-{_SECOND}")
            call("scontrol", "update", f"nodename={_SECOND}", "state=down", "reason=-")

    def set_node(self, state: str) -> None:
        """`drain` takes no further job; `resume` does; `down` ends all of them."""
        words = ["scontrol", "update", f"nodename={self._host}", f"state={state}"]
        reason = [] if state == "resume" else ["reason=test"]
        subprocess.run([*words, *reason], check=True)

    def running(self, rule: str) -> list[str]:
        """Ids of the running jobs of a rule, as their comments name it."""
        lines = call("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines()
        return [line.split()[0] for line in lines if f"rule_{rule}_" in line]


def call(*command: str) -> str:
    """What a command prints; nothing if it fails."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _start_munge() -> subprocess.Popen | None:
    """The service that signs SLURM's messages, unless one runs already."""
    if _munge_answers():
        return None
    user = pwd.getpwnam("munge")
    for folder, mode in {
        "/run/munge": 0o755,
        "/var/log/munge": 0o700,
        "/var/lib/munge": 0o700,
        "/etc/munge": 0o700,
    }.items():
        Path(folder).mkdir(exist_ok=True)
        os.chmod(folder, mode)
        os.chown(folder, user.pw_uid, user.pw_gid)
    key = Path("/etc/munge/munge.key")
    if not key.exists():
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        os.chown(key, user.pw_uid, user.pw_gid)
    service = subprocess.Popen(
        ["munged", "--foreground"],
        user="munge",
        group="munge",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(_munge_answers)
    return service


def _munge_answers() -> bool:
    signed = subprocess.run(["munge", "-n"], capture_output=True)
    if signed.returncode:
        return False
    read = subprocess.run(["unmunge"], input=signed.stdout, capture_output=True)
    return read.returncode == 0


def _stop(service: str, how: signal.Signals = signal.SIGTERM) -> None:
    """End a service by its process id, and wait for its end."""
    path = STATE / f"{service}.pid"
    if not path.exists():
        return
    number = int(path.read_text())
    os.kill(number, how)
    wait_until(lambda: not _is_alive(number))
    path.unlink(missing_ok=True)


def _is_alive(number: int) -> bool:
    """Whether a process runs; one that nobody has asked for its end does not."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
