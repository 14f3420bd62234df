# SPDX-License-Identifier: GPL-2.0
"""The lab's two machines, for scripts/lab.py: QEMU is the AMD one, Bochs the Intel one.

Each is started by its constructor, and has read(): bytes of the serial line, None while there
are none, b"" at the end; kill(); and hints(): what it has to say about a guest that hangs.
"""

import contextlib
import fcntl
import gzip
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios

CONSOLE = "panic=-1 oops=panic"


class Qemu:
    """An AMD processor with SVM and nested paging."""

    # In make check, every test of the kernel's. In shares that boot side by side: a boot takes seconds.
    name, slower, every, shares = "emulated AMD (QEMU)", 1, True, 2
    # Without a PIT: on a busy host the kernel may measure the TSC against it, find a hundredth of its rate, and
    # believe that rather than the HPET. Every time limit would end too early. Nor is it to compare the two later.
    how = ["-accel", "tcg,thread=multi", "-smp", "2", "-machine", "pc,pit=off"]

    @classmethod
    def command(cls, kernel, image, append):
        return ["qemu-system-x86_64", *cls.how, "-cpu", "EPYC,+svm,+npt,+vgif", "-m", "4096", "-nographic", "-no-reboot",
                "-nic", "none", "-kernel", f"{kernel}/arch/x86/boot/bzImage", "-initrd", str(image), "-append",
                # The parameter where KVM is built in, as lab-init loads it.
                f"console=ttyS0 tsc=reliable {CONSOLE} kvm_amd.vgif=0 {append}"]

    def __init__(self, kernel, image, append, directory):
        self.process = subprocess.Popen(self.command(kernel, image, append), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)

    def read(self):
        return self.process.stdout.read(65536)

    def finish(self):
        """The guest is done: it resets the machine, which ends QEMU."""

    def kill(self):
        self.process.kill()
        self.process.wait()

    def hints(self):
        return []


class CountingQemu(Qemu):
    """The same with one processor, whose time is the number of instructions it executed: the TSC counts them."""

    name = "emulated AMD (QEMU, counting instructions)"
    how = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"]


class Bochs:
    """An Intel processor with VMX and EPT. One: Bochs stops with two."""

    # In make check, of the kernel's tests those that the manifest names.
    name, slower, every, shares = "emulated Intel (Bochs)", 2, False, 1

    CONFIG = """display_library: term
config_interface: textconfig
cpu: model=corei7_skylake_x, count=1, ips=40000000, reset_on_triple_fault=0
megs: 2048
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0: enabled=1
ata0-master: type=cdrom, path={dir}/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={dir}/serial
log: {dir}/log
clock: sync=none
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
sound: driver=dummy
speaker: enabled=0
vga: extension=vbe, update_freq=1
"""
    ISOLINUX = """SERIAL 0 115200
DEFAULT lab
PROMPT 0
LABEL lab
 KERNEL /isolinux/bzImage
 INITRD /isolinux/initrd
 APPEND console=ttyS0,115200 nokaslr {append}
"""

    def __init__(self, kernel, image, append, directory):
        self.dir = directory / "bochs"
        shutil.rmtree(self.dir, ignore_errors=True)
        root = self.dir / "iso/isolinux"
        root.mkdir(parents=True)
        shutil.copy(f"{kernel}/arch/x86/boot/bzImage", root)
        with open(image, "rb") as plain, gzip.open(root / "initrd", "wb", 6) as packed:
            shutil.copyfileobj(plain, packed)
        shutil.copy("/usr/lib/ISOLINUX/isolinux.bin", root)
        shutil.copy("/usr/lib/syslinux/modules/bios/ldlinux.c32", root)
        (root / "isolinux.cfg").write_text(self.ISOLINUX.format(append=f"{CONSOLE} {append}"))
        subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", self.dir / "boot.iso", "-b",
                        "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size",
                        "4", "-boot-info-table", self.dir / "iso"], check=True, capture_output=True)
        shutil.rmtree(self.dir / "iso")
        (self.dir / "bochsrc").write_text(self.CONFIG.format(dir=self.dir))
        (self.dir / "serial").touch()
        self.serial = open(self.dir / "serial", "rb")
        # Its display is a terminal, which nobody looks at but which must be there, and be read. Its keyboard
        # is at its end, always: while the guest idles, Bochs sleeps until a key is pressed, or for a millisecond.
        self.screen, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        os.set_blocking(self.screen, False)
        self.shown = b""
        self.process = subprocess.Popen(["bochs", "-q", "-f", self.dir / "bochsrc"], stdin=subprocess.DEVNULL,
                                        stdout=terminal, stderr=terminal, start_new_session=True,
                                        env={**os.environ, "TERM": "vt100", "COLUMNS": "80", "LINES": "25"})
        os.close(terminal)

    def read(self):
        try:
            self.shown = (self.shown + os.read(self.screen, 1 << 20))[-4000:]
        except OSError:
            pass
        ended = self.process.poll() is not None
        return self.serial.read(65536) or (b"" if ended else None)

    def finish(self):
        self.kill()

    def kill(self):
        # Bochs is started by a script.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def hints(self):
        """Why VMX refused what it refused, and Bochs' own last words."""
        try:
            text = (self.dir / "log").read_text(errors="replace")
        except OSError:
            # It didn't get far enough to have one.
            text = self.shown.decode(errors="replace")
        said = re.findall(r"^\d+[pei]\[.*(?:VMFAIL|VMENTER FAIL|PANIC).*$", text, re.M)
        return [f"Bochs: {line}" for line in dict.fromkeys(said[-6:])]


MACHINES = {"amd": Qemu, "intel": Bochs}
