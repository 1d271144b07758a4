"""Look-alikes of the vendors' RPM repositories, made of Debian 12's packages.

The vendors cannot be reached from where the tests run. So these convert real packages into RPMs with rpmbuild, add
what Debian lacks under the names that the shipped templates ask for, sign everything with a key made for this run, and
lay it out as the vendors do. Needs rpm, createrepo-c and gnupg on the host (scripts/install-host-packages --test);
nothing here is part of the product, which needs none of them.

    relations   Debian's versions and relations as RPM's
    recipe      one RPM to be: its spec, its files, rpmbuild, and the cache of what was built
    convert     a .deb as a recipe, and what its maintainer scripts would have done
    system      the packages that no .deb stands for: setup, filesystem, release, the vendors' names
    probes      packages that exercise what RPM can do
    repository  signing, createrepo_c, layout
    made        all of it together
"""
