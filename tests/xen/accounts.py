# SPDX-License-Identifier: BSD-2-Clause
"""What the server, Xen and the store hold for guests: numbers that have to come back to what they were."""

import re


class Accounts:
    """For groups with a `server` in dom0."""

    def held(self, domid):
        """Of all guests, and of this domain."""
        resources = self.server.status()["resources"]
        counted = self.machine.run(f"""
            /usr/lib/xen-4.17/bin/lsevtchn 0 | wc -l
            /usr/lib/xen-4.17/bin/lsevtchn {domid} | wc -l
            xenstore-ls /local/domain/0/backend | wc -l
            xenstore-ls /local/domain/{domid}/device | wc -l
            ls /proc/$(pgrep -P $(cat /run/holder.pid))/fd | wc -l
            grep -c gntdev /proc/$(pgrep -P $(cat /run/holder.pid))/maps || true""").split()
        names = ("channels of dom0", "channels of the guest", "store nodes of dom0", "store nodes of the guest", "descriptors", "maps")
        return {**resources, **dict(zip(names, map(int, counted))), "mapped grants": self.mapped_grants()}

    def mapped_grants(self):
        """Of all domains, by Xen's own word."""
        begin = self.machine.serial.stat().st_size
        self.machine.run("xl debug-keys g")
        said = self.eventually(lambda: (text := self.machine.serial.read_bytes()[begin:]).count(b"] done") and text, "Xen's list of grants")
        return len(re.findall(rb"\(XEN\) +\[0x[0-9a-f]+\]", said))

    def check_gone(self, name, domid):
        """Of a domain that was destroyed nothing stays with the server, Xen and the store."""
        self.eventually(lambda: self.server.guest(name) is None, "the server to let go of it")
        self.eventually(lambda: str(domid) not in {line.split()[-5] for line in self.machine.run("xl list").splitlines()[1:]},
                        "the domain to be gone, not a zombie that somebody still maps")
        self.assertNotEqual(self.machine.status_of(f"xenstore-exists /local/domain/0/backend/lvif/{domid}"), 0)
