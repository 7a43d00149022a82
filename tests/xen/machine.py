# SPDX-License-Identifier: BSD-2-Clause
"""An emulated PC with Xen and a dom0 on it, in which steps are run.

    with Machine(work, "stock", folder) as machine:
        print(machine.run("xl list"))

QEMU without KVM runs it (facts about that are in README.md). A boot that shows no progress is ended and tried again. Steps,
their output and whatever else is passed go through the folder that dom0 has as /lab, see dom0/init.sh.
"""

import ctypes
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tarfile
import threading
import time

STALL_CPU_S, STALL_S = 40, 300  # a boot that used so much, or waited so long, without a line on the serial console hangs
BOOT_S = 900
RESPONSE_S = 30  # dom0 takes a step within that time, or the machine hangs
PATIENCE = float(os.environ.get("XEN_PATIENCE", "2"))  # factor of all time limits, for a machine with other work
BOOT_ATTEMPTS = 4
DOM0_MIB = 1536
MACHINE_MIB = 4096
HERE = pathlib.Path(__file__).resolve().parent

_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """Something did not happen; the text says what."""


class MachineDied(Failure):
    """The emulated machine does not answer any more."""


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Step:
    """A bash script that runs in dom0."""

    def __init__(self, machine, number, script):
        self.machine, self._number, self.script = machine, number, script
        self._path = machine.share / "steps"

    @property
    def output(self):
        """Standard output and error as far as they have come."""
        file = self._path / f"{self._number}.out"
        return file.read_text(errors="replace") if file.exists() else ""

    @property
    def status(self):
        """Exit status, or None while it runs."""
        file = self._path / f"{self._number}.status"
        return int(file.read_text()) if file.exists() else None

    def wait(self, timeout_s):
        """The exit status; Failure when the time is over."""
        end = time.monotonic() + timeout_s * PATIENCE
        while (status := self.status) is None:
            if not self.machine.alive:
                raise MachineDied(f"the machine ended during: {self.script}\n{self.machine.serial_tail()}")
            if time.monotonic() > end:
                raise Failure(f"not ready after {timeout_s} s: {self.script}\n{self.output[-2000:]}")
            time.sleep(0.02)
        return status


def waiting_loop(script, timeout_s):
    """A script for any shell that runs this one until its exit status is 0, and ends with its last output and status."""
    return f"end=$(($(date +%s) + {int(timeout_s * PATIENCE)})); until output=$({{ {script}\n}} 2>&1); do " \
           f"[ $(date +%s) -ge $end ] && {{ echo \"$output\"; exit 1; }}; sleep 0.5; done; echo \"$output\""


def wait_for(step, what, timeout_s):
    """Output of a step that is a waiting_loop()."""
    if step.wait(timeout_s + 30) != 0:
        raise Failure(f"waited {timeout_s} s in vain: {what}\n{step.output[-2000:]}")
    return step.output


class Machine:
    """See the module. `hypervisor` is "stock", "patched", "flask", or the path of a Xen image. `folder` gets the serial log and what dom0
    leaves; it must not exist or be of an earlier machine.

    `overlay` are trees to lay over dom0's root, `domu_parts` cpio archives to append to the domUs' initramfs. `outside`: a wires.Outside, in
    whose namespace QEMU runs and finds TAPs."""

    def __init__(self, work, hypervisor, folder, *, overlay=(), domu_parts=(), qemu_options=(), xen_options=(),
                 memory_mib=MACHINE_MIB, dom0_mib=DOM0_MIB, outside=None):
        self.work, self.folder = pathlib.Path(work), pathlib.Path(folder)
        self.hypervisor, self.overlay, self.domu_parts = hypervisor, list(overlay), list(domu_parts)
        self.qemu_options, self.xen_options = list(qemu_options), list(xen_options)
        self.memory_mib, self.dom0_mib, self.outside = memory_mib, dom0_mib, outside
        self.share = self.folder / "lab"
        self.serial = self.folder / "serial.log"
        self._qemu = None
        self._steps = 0
        self._numbering = threading.Lock()

    # --- life

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Boots until dom0 takes steps. Failure after BOOT_ATTEMPTS that hung or ended."""
        for attempt in range(1, BOOT_ATTEMPTS + 1):
            self._make_folder()
            began = time.monotonic()
            self._qemu = self._start_qemu()
            why = self._wait_for_boot()
            if why is None:
                self.boot_s = time.monotonic() - began
                self._install_scripts()
                return
            self.close()
            print(f"boot {attempt} of {BOOT_ATTEMPTS}: {why}; last line: {self.serial_tail(1)}", flush=True)
            shutil.copy(self.serial, self.folder / f"serial-of-boot-{attempt}.log")
        raise Failure(f"the machine did not boot in {BOOT_ATTEMPTS} attempts; serial logs are in {self.folder}")

    def _make_folder(self):
        shutil.rmtree(self.share, ignore_errors=True)
        for path in (self.share / "steps", self.share / "console"):
            path.mkdir(parents=True)
        with open(self.share / "domu.cpio", "wb") as initramfs:
            for part in (self.work / "boot/domu.cpio", *self.domu_parts):
                initramfs.write(pathlib.Path(part).read_bytes())
        if self.overlay:
            with tarfile.open(self.share / "overlay.tar", "w") as tar:
                for tree in self.overlay:
                    tar.add(tree, ".", recursive=True)

    def _before_exec(self):
        _die_with_parent()
        if self.outside:
            self.outside.enter()

    def _start_qemu(self):
        boot = self.work / "boot"
        hypervisor = boot / f"xen-{self.hypervisor}" if "/" not in str(self.hypervisor) else self.hypervisor
        xen = ["com1=115200,8n1", "console=com1", "loglvl=info", "guest_loglvl=warning", "cpuidle=0", "spec-ctrl=eager-fpu", "xpti=off",
               f"dom0_mem={self.dom0_mib}M,max:{self.dom0_mib}M", "dom0_max_vcpus=2", *self.xen_options]
        dom0 = ["console=hvc0", "net.ifnames=0", "mitigations=off", "loglevel=7", "panic=5"]
        command = [
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=1024", "-smp", "2",
            "-cpu", "EPYC,+svm,-rdtscp", "-m", f"{self.memory_mib}M", "-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none",
            "-chardev", f"file,id=serial,path={self.serial}", "-serial", "chardev:serial",
            "-kernel", str(hypervisor), "-append", " ".join(xen),
            "-initrd", f"{boot / 'vmlinux'} {' '.join(dom0)},{boot / 'dom0.cpio'}",
            "-drive", f"if=none,id=disk,file={self.work / 'dom0.ext4'},format=raw,snapshot=on", "-device", "virtio-blk-pci,drive=disk",
            "-virtfs", f"local,path={self.share},mount_tag=lab,security_model=none,multidevs=remap", *self.qemu_options]
        self.serial.write_bytes(b"")
        with open(self.folder / "qemu.log", "wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                    preexec_fn=self._before_exec, env={**os.environ, "TMPDIR": str(self.folder)})

    def _wait_for_boot(self):
        """None when dom0 is ready, else why it is not."""
        began = grown = time.monotonic()
        size = cpu_s = 0
        while not (self.share / "ready").exists():
            now = time.monotonic()
            if self.serial.stat().st_size != size:
                size, grown, cpu_s = self.serial.stat().st_size, now, self._cpu_s()
            if not self.alive:
                return f"QEMU ended with status {self._qemu.returncode}: {(self.folder / 'qemu.log').read_text(errors='replace')[-500:]}"
            if now - grown > STALL_S * PATIENCE or self._cpu_s() - cpu_s > STALL_CPU_S:
                return f"no progress for {now - grown:.0f} s"
            if now - began > BOOT_S * PATIENCE:
                return f"not ready after {now - began:.0f} s"
            time.sleep(0.1)
        return None

    def _cpu_s(self):
        """Processor time that QEMU has used."""
        try:
            fields = pathlib.Path(f"/proc/{self._qemu.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _install_scripts(self):
        shutil.copy(HERE / "dom0/in_domu.sh", self.share / "in_domu.sh")

    def close(self):
        """Ends the machine: in order if dom0 still does that within 20 s, else at once."""
        if self._qemu is None:
            return
        if self.alive and (self.share / "ready").exists():
            (self.share / "off").touch()
            try:
                self._qemu.wait(20)
            except subprocess.TimeoutExpired:
                pass
        if self.alive:
            self._qemu.kill()
        self._qemu.wait()

    @property
    def alive(self):
        return self._qemu is not None and self._qemu.poll() is None

    def responds(self):
        """Whether dom0 still takes steps. One that does not is ended: whoever waits for it learns that it has died."""
        try:
            if self.alive and self.start_step("true").wait(RESPONSE_S) == 0:
                return True
        except Failure:
            pass
        if self.alive:
            self._qemu.kill()
            self._qemu.wait()
        return False

    def serial_tail(self, lines=25):
        return "\n".join(self.serial.read_text(errors="replace").splitlines()[-lines:])

    # --- dom0

    def start_step(self, script):
        """A Step that runs beside others."""
        if not self.alive:
            raise MachineDied(f"the machine has ended\n{self.serial_tail()}")
        with self._numbering:
            self._steps += 1
            part = self.share / "steps" / "part"
            part.write_text(script + "\n")
            part.rename(self.share / "steps" / f"{self._steps}.sh")
            return Step(self, self._steps, script)

    def run(self, script, *, timeout_s=60, check=True):
        """Output of a script that runs in dom0; Failure if its exit status is not 0, unless `check` is False."""
        step = self.start_step(script)
        status = step.wait(timeout_s)
        if check and status != 0:
            raise Failure(f"exit status {status} of: {script}\n{step.output[-3000:]}")
        return step.output

    def status_of(self, script, *, timeout_s=60):
        """Exit status of a script in dom0."""
        return self.start_step(script).wait(timeout_s)

    def wait_until(self, script, what, *, timeout_s=60):
        """Runs the script in dom0 again and again, until its exit status is 0. Returns its output then."""
        return wait_for(self.start_step(waiting_loop(script, timeout_s)), what, timeout_s)

    def put(self, name, content):
        """Writes a file /lab/NAME. Returns that path."""
        path = self.share / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return f"/lab/{shlex.quote(name)}"
