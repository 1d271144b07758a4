"""A template that asks for everything a system can be told, and what the booted system says of each.

The image brings a unit of its own that answers (own_report), so this works with every systemd. Used for every
distribution that can be built.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.boot.report import Answer, Probe
from os_image_composer.config.spec import Interface, Route
from os_image_composer.image.network import netplan_file
from support.own_report import UNIT, hear, report_script

PASSWORD = "correct horse battery"
NAME = "facts"
# Beside the system's own network: netplan's program must accept the file that would be written for it.
NETPLAN_ROOT = "/usr/share/facts"
PACKAGES = ("console-setup", "iproute2", "locales", "netplan.io", "openssh-server", "sudo", "tzdata")

STATIC = Interface(
    name="dummy0",
    mac_address=None,
    dhcp4=False,
    dhcp6=False,
    addresses=("192.0.2.10/24", "2001:db8::10/64"),
    routes=(Route("198.51.100.0/24", "192.0.2.1"), Route("default", "2001:db8::1")),
    nameservers=("192.0.2.53",),
)

PROBES = (
    Probe("state", "systemctl is-system-running --wait"),
    Probe("failed", "systemctl list-units --failed --plain --no-legend --no-pager"),
    Probe("hostname", "hostname; hostname --fqdn; cat /etc/hostname"),
    Probe("zone", "timedatectl show --property=Timezone --value; date -d '2026-07-01 12:00 UTC' +%H:%M"),
    Probe("locale", "systemctl show-environment | grep ^LANG=; su -l ada -c 'date -d 2026-10-01 +%B'"),
    Probe("keyboard", "localectl status; dumpkeys -C /dev/tty1 | grep '^keycode *21 '"),
    Probe("passwd", "getent passwd ada bob app kiosk root"),
    Probe("password-status", "for u in ada bob app kiosk root; do passwd --status $u; done"),
    Probe("groups", "for u in ada bob; do id -nG $u | tr ' ' '\\n' | sort | tr '\\n' ' '; echo; done"),
    Probe("sudo", f"su -l ada -c \"echo '{PASSWORD}' | sudo -S -p '' id -un\""),
    Probe("no-sudo", f"su -l kiosk -s /bin/sh -c \"echo '{PASSWORD}' | sudo -S -p '' id -un\""),
    Probe("homes", "stat -c '%a %U:%G %n' /home/ada /home/ada/.ssh /home/ada/.ssh/authorized_keys /srv/bob"),
    Probe(
        "ssh",
        "ssh -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=accept-new ada@localhost id -un"
        " && ssh -i /root/key -o BatchMode=yes bob@localhost id -un",
    ),
    Probe("units", "systemctl is-enabled ssh.service fstrim.timer e2scrub_all.timer systemd-timesyncd.service"),
    Probe("running", "systemctl is-active ssh.service systemd-timesyncd.service"),
    Probe("links", "networkctl list --no-legend --no-pager"),
    Probe("link", "networkctl status --no-pager dummy0; networkctl status --no-pager $(ls /sys/class/net | grep ^e)"),
    Probe("network-warnings", "journalctl --boot --unit systemd-networkd --priority warning --output cat --no-pager"),
    Probe("addresses", "ip -brief address"),
    Probe("routes", "ip -4 route show 198.51.100.0/24; ip -6 route show default"),
    Probe("dns", "resolvectl dns dummy0"),
    Probe("netplan", f"netplan generate --root-dir {NETPLAN_ROOT} && cat {NETPLAN_ROOT}/run/systemd/network/*"),
    Probe("mounts", "findmnt --real --noheadings --list --output TARGET,FSTYPE; findmnt --verify"),
    Probe("files", "stat -c '%a %U:%G %n' /srv/secret /home/ada/.config/app/rc /var/log/kept.log"),
    Probe("tree", "cd /srv && find tree -printf '%m %u:%g %p\\n' | sort -k3"),
    Probe("machine-id", "wc -c </etc/machine-id"),
)


@dataclass(frozen=True)
class Facts:
    """Answers by the name of the probe, of an image with this backend of the network."""

    backend: str
    answers: dict[str, Answer]

    def lines(self, name: str) -> list[str]:
        """What a command that succeeded printed."""
        answer = self.answers[name]
        assert answer.status == 0, answer
        return answer.output.splitlines()

    def text(self, name: str) -> str:
        return self.answers[name].output


def write_facts_template(
    folder: Path, os: str = "debian", dist: str = "debian13", backend: str = "systemd-networkd"
) -> Path:
    """The template and the files that it names. The configuration is named after the network's backend."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(key)], check=True)
    (folder / "facts.sh").write_text(report_script(PROBES))
    (folder / "facts.service").write_text(UNIT.format(program="/usr/local/sbin/facts"))
    (folder / "dummy.netdev").write_text("[NetDev]\nName=dummy0\nKind=dummy\n")
    (folder / "netplan.yaml").write_text(netplan_file((STATIC,)).text)
    (folder / "text").write_text("text\n")
    (folder / "tree/below").mkdir(parents=True)
    (folder / "tree/below/tool").write_text("#!/bin/sh\n")
    (folder / "tree/below/tool").chmod(0o755)
    (folder / "tree/note").write_text("note\n")
    template = folder / "facts.yml"
    public = key.with_suffix(".pub").read_text().strip()
    template.write_text(
        _TEMPLATE.format(
            os=os,
            dist=dist,
            backend=backend,
            packages=", ".join(PACKAGES),
            key=public,
            password=PASSWORD,
            netplan=NETPLAN_ROOT,
        )
    )
    return template


def boot_facts(image: Path, backend: str, seconds: float) -> Facts:
    """Boot `image` and hear it out: until its unit has said all, or for so many seconds."""
    return Facts(backend, hear(image, seconds))


_TEMPLATE = """\
image: {{name: facts, version: "1.0"}}
target: {{os: {os}, dist: {dist}, arch: x86_64, imageType: raw}}
systemConfig:
  name: {backend}
  hostname: edge-01.example.org
  timezone: Europe/Berlin
  # Some of what is asked for is told by files that the image writes below /usr.
  immutability: {{enabled: false}}
  locale: de_DE.UTF-8
  keyboard: {{layout: de, variant: nodeadkeys}}
  packages: [{packages}]
  groups:
    - {{name: app, gid: 2000}}
  users:
    - name: ada
      uid: 1500
      password: {password}
      hash_algo: yescrypt
      passwordMaxAge: 3650
      groups: [app, bob, adm]
      sudo: true
      sshAuthorizedKeys: ['{key}']
    - {{name: bob, home: /srv/bob, shell: /bin/sh, sshAuthorizedKeys: ['{key}']}}
    - {{name: app, shell: /usr/sbin/nologin}}
    - {{name: kiosk, password: {password}, hash_algo: bcrypt, startupScript: /usr/bin/id}}
  network:
    backend: {backend}
    interfaces:
      - {{name: uplink, macAddress: "52:54:00:12:34:56", dhcp4: true}}
      - name: dummy0
        addresses: [192.0.2.10/24, "2001:db8::10/64"]
        routes: [{{to: 198.51.100.0/24, via: 192.0.2.1}}, {{to: default, via: "2001:db8::1"}}]
        nameservers: [192.0.2.53]
  services:
    enable: [facts, fstrim.timer]
    disable: [e2scrub_all.timer]
    mask: [systemd-timesyncd]
  additionalFiles:
    - {{local: facts.sh, final: /usr/local/sbin/facts, mode: "0755"}}
    - {{local: facts.service, final: /etc/systemd/system/facts.service}}
    - {{local: dummy.netdev, final: /etc/systemd/network/dummy.netdev}}
    - {{local: netplan.yaml, final: {netplan}/etc/netplan/10-template.yaml, mode: "0600"}}
    - {{local: key, final: /root/key, mode: "0600"}}
    - {{local: text, final: /srv/secret, mode: "0640", owner: ada, group: app}}
    - {{local: text, final: /home/ada/.config/app/rc, owner: ada}}
    - {{local: text, final: /var/log/kept.log}}
    - {{local: tree, final: /srv/tree, owner: ada}}
"""
