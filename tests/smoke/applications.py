# SPDX-License-Identifier: BSD-2-Clause
"""Real programs for a lab: nginx, redis, and a download by curl that is watched as it comes."""

import hashlib
import os
import subprocess
import threading
import time

import lab

ECHO_PORT = 7007


def nginx(directory, ports=(80,), name="nginx", file_bytes=0):
    """The command of an nginx that serves directory/www on these ports, IPv4 and IPv6; `file_bytes`: of random content, as www/file."""
    listens = "".join(f"listen {port}; listen [::]:{port}; " for port in ports)
    temporary = " ".join(f"{kind}_temp_path {directory}/{name}-{kind};"
                         for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    # It makes what it needs: not every guest sees our files.
    return ["sh", "-ec", f"""\
mkdir -p {directory}/www
{f"head -c {file_bytes} /dev/urandom >{directory}/www/file" if file_bytes else ""}
cat >{directory}/{name}.conf <<'END'
daemon off; worker_processes 1; user root; pid {directory}/{name}.pid; error_log stderr;
events {{ worker_connections 256; }}
http {{ access_log off; default_type text/plain; {temporary}
    server {{ {listens} root {directory}/www; }} }}
END
exec nginx -e stderr -c {directory}/{name}.conf
"""]


def redis(port=6379):
    """The command of a redis that keeps nothing."""
    return ["redis-server", "--port", str(port), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]


def echo(laboratory):
    """The command of a server that sends back what comes to ECHO_PORT, by UDP and TCP."""
    return [laboratory.guest_program("smoke_echo"), str(ECHO_PORT)]


def sha256_of_file(laboratory, guest):
    """Of the file that the guest's nginx serves."""
    return laboratory.guests[guest].run(["sha256sum", f"{laboratory.directory}/www/file"]).split()[0]


def random_file(path, size_bytes):
    """Writes a file of random bytes. Returns its SHA-256."""
    path.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        while size_bytes > 0:
            block = os.urandom(min(size_bytes, 1 << 20))
            file.write(block)
            digest.update(block)
            size_bytes -= len(block)
    return digest.hexdigest()


class Download:
    """curl in a namespace, its output read by a thread that notes when bytes come, and takes no more than bytes_per_s: what it does not
    take waits at the sender, but for a socket's buffer."""

    def __init__(self, laboratory, url, *, namespace=None, bytes_per_s=None):
        command = ["ip", "netns", "exec", namespace or laboratory.wire, "curl", "-sS", "--fail",
                   "--max-time", str(3 * lab.PATIENCE_S)]
        self._curl = subprocess.Popen(
            [*command, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.received, self._bytes_per_s = 0, bytes_per_s
        self.arrivals, self.sizes = [time.monotonic()], [0]
        self._digest = hashlib.sha256()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        descriptor = self._curl.stdout.fileno()
        while block := os.read(descriptor, 1 << 16):
            self.arrivals.append(time.monotonic())
            self.sizes.append(len(block))
            if self._bytes_per_s:
                time.sleep(len(block) / self._bytes_per_s)
            self.received += len(block)
            self._digest.update(block)

    def wait_for(self, size_bytes):
        """Until so many bytes are here."""
        def arrived():
            if self._curl.poll() is not None and self.received < size_bytes:
                raise lab.Ended(f"the download ended early: {self._error()}")
            return self.received >= size_bytes
        lab.wait_until(arrived, f"{size_bytes} bytes of the download")

    def _error(self):
        return self._curl.stderr.read().decode(errors="replace").strip() or f"curl's exit status {self._curl.poll()}"

    def finish(self):
        """Waits for the end. Returns the SHA-256 of what came; raises lab.Failure if curl failed."""
        self._thread.join(3.5 * lab.PATIENCE_S)
        if self._curl.wait(5) != 0:
            raise lab.Failure(f"curl after {self.received} bytes: {self._error()}")
        return self._digest.hexdigest()

    def pause_s(self, since):
        """The longest time without a byte that ended after `since` (of time.monotonic)."""
        gaps = [later - earlier for earlier, later in zip(self.arrivals, self.arrivals[1:]) if later >= since]
        return max(gaps, default=0.0)

    def close(self):
        if self._curl.poll() is None:
            self._curl.kill()
        self._curl.wait()
        self._thread.join(5)
        self._curl.stdout.close()
        self._curl.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
