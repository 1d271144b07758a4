"""From a template to an image: the brief's four operations, and THE list of steps. What differs between
distributions is data under `config/osv`; what differs between families lies in `ospackage` and `chroot`."""
