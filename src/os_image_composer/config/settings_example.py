"""The file that `config init` writes. A test compares its keys with those that there are, and reads it with every
comment mark taken away."""

from __future__ import annotations

__all__ = ["EXAMPLE"]

EXAMPLE = """\
# Settings of os-image-composer. Every key is optional; what stands here is what counts without it, or an example.
# Flags come before this file, this file before variables of the environment. `os-image-composer config show` tells
# which value counts and where it came from. ~ is your home; relative paths begin at the folder you start in.

# How much runs side by side; the number of processors when left out.
#workers: 4

# Packages, and the results of steps. Readable by you only; on a filesystem that knows extended attributes.
#cache_dir: ~/.cache/os-image-composer

# Where finished images go.
#work_dir: ./workspace

# Unfinished work; must lie on the cache's filesystem. Below the cache when left out.
#temp_dir: ~/.cache/os-image-composer/tmp

# The folder that holds `osv`, the data of the distributions. The program's own when left out.
#config_dir: /usr/share/os-image-composer

# level: debug, info, warning or error. file: gets what the terminal does, with the time of day.
#logging:
#  level: info
#  file: ~/os-image-composer.log

# Where packages are fetched from, by the name that the distribution's data gives its mirror; several are tried in
# turn. Without an entry: the repository's own address, else what this host's own package sources name.
#mirrors:
#  debian: https://mirror.example.org/debian
#  debian-security: [https://mirror.example.org/debian-security, https://other.example.org/debian-security]

# Whom a repository, or all of a distribution, is trusted to be signed by, in place of the distribution's data.
#repositories:
#  debian13:
#    fingerprints: [0123456789ABCDEF0123456789ABCDEF01234567]
#    keyring: /etc/os-image-composer/keys.pgp
#    accept_older_metadata: false

# Archives that keep every state of a mirror, for `lock --as-of`: {date} becomes such as 20261031T235959Z.
#snapshots:
#  debian: https://archive.example.org/debian/{date}

# How the network is reached. Names and passwords stand in the netrc file only (mode 0600), never in a URL.
#network:
#  http_proxy: http://proxy.example.org:3128
#  https_proxy: http://proxy.example.org:3128
#  no_proxy: [localhost, .example.org, 10.0.0.0/8]
#  ca_bundle: /etc/ssl/certs/company.pem
#  credentials: ~/.config/os-image-composer/netrc
#  client_certificate:
#    certificate: ~/.config/os-image-composer/client.pem
#    key: ~/.config/os-image-composer/client.key
#  timeout: 30

# Hours until a build without --refresh asks the mirror for newer packages again; 0: every time.
#metadata_max_age: 24

# Where the programs that write images come from: resolved from Debian's repositories, or the file that `env export`
# wrote, with its SHA-256; then no Debian mirror is asked for them.
#image_tools:
#  archive: ~/image-tools.tar
#  sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

# The keys that sign image, bills of materials and manifest, each file with a signature beside it; --sign-openpgp,
# --sign-x509 and --sign-certificate say the same for one build. Key files have mode 0600; a passphrase is the first
# line of a file of its own.
#signing:
#  openpgp_key: ~/keys/image.pgp
#  openpgp_passphrase_file: ~/keys/image.pgp.passphrase
#  x509_key: ~/keys/image.key
#  x509_certificate: ~/keys/image.pem
#  x509_passphrase_file: ~/keys/image.key.passphrase

# For builds by root only: the ids of this host that stand for those inside images.
#root_id_range:
#  start: 2000000000
#  count: 65536
"""
