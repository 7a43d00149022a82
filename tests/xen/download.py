# SPDX-License-Identifier: BSD-2-Clause
"""A download whose content is checked: nginx in a domU, curl on the wire."""

from netserver import SHARED4

FILE_BYTES = 3_000_000
NGINX_ALONE = """
mkdir -p /www /var/log/nginx /var/lib/nginx
head -c %d /dev/urandom >/www/file
head -c 100000 /www/file >/www/small
echo "nginx in $(hostname)" >/www/index.html
cat >/tmp/nginx.conf <<'END'
daemon off; worker_processes 1; user root; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 64; }
http { access_log off; default_type text/plain; send_timeout 600s; server { listen 80; root /www; } }
END
exec nginx -e stderr -c /tmp/nginx.conf
""" % FILE_BYTES
NGINX = NGINX_ALONE.replace("exec nginx", "exec librettos-guest run --name lr-web -- nginx")


class Downloads:
    """For groups with a `server` and a guest that runs NGINX at `address`; `sha256` is of its file."""

    sha256 = ""
    address = SHARED4

    def fetch(self, rate=""):
        """A step that downloads the file, at a limited rate if one is given."""
        limit = f"--limit-rate {rate}" if rate else ""
        return self.machine.start_step(f"rm -f /tmp/file; ip netns exec wire curl -sS --fail {limit} -o /tmp/file http://{self.address}/file")

    def check_file(self, step):
        self.assertEqual(step.wait(180), 0, step.output)
        self.assertEqual(self.machine.run("sha256sum /tmp/file").split()[0], self.sha256)

    def wait_for_bytes(self, count):
        self.machine.wait_until(f"[ $(stat -c %s /tmp/file) -ge {count} ]", f"{count} bytes of the download")

    def download_through(self, event):
        """A download in whose middle event() happens."""
        step = self.fetch("150k")
        self.wait_for_bytes(300_000)
        event()
        self.check_file(step)

    def kill_and_start_server(self):
        self.server.kill()
        self.server.start()

    def test_content(self):
        self.check_file(self.fetch())

    def test_engine_killed_in_a_download(self):
        self.download_through(self.server.kill_engine)

    def test_everything_killed_in_a_download(self):
        self.download_through(self.kill_and_start_server)
